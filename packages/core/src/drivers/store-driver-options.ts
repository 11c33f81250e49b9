import type { Clock } from "../engine/clock.ts";
import type { Connectivity, Registration, WorkerSession } from "../engine/driver.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { ReplyRoom } from "../engine/reply-budget.ts";
import type { Liveness } from "../engine/store.ts";

/** Options of a `StoreDriver`: plugins, clock, and how dead workers are detected. */
export interface StoreDriverOptions {
  /** Plugins in the order in which their hooks run, in addition to the kernel. `everything()` returns all. */
  readonly plugins: readonly Plugin[];
  /** Returns the import that provides a missing plugin, option, setting, command or read, for error messages. */
  readonly advise?: ((name: string) => string | undefined) | undefined;
  /**
   * Whether the store records which plugins own records, so that this driver refuses to work without one of them. Read
   * in the first transaction (`first`) or in `each`, which notices another driver's first use of a plugin at the next
   * call.
   */
  readonly readOwners?: "first" | "each" | undefined;
  readonly clock?: Clock | undefined;
  /** Returns a number in [0, 1). Default: `Math.random`; pass a seeded generator to repeat a run. */
  readonly random?: (() => number) | undefined;
  /** Creates the byte limit of a reply that leaves the process (R31). Default: no limit. */
  readonly reply?: (() => ReplyRoom) | undefined;
  /** Registers a worker as alive, for example by a Web Lock. Default: only its lease shows that it is alive. */
  readonly register?: ((worker: string) => Promise<Registration>) | undefined;
  /** Returns those of the given workers that are certainly gone. */
  readonly deadWorkers?:
    | ((workers: readonly { readonly worker: string; readonly liveness: Liveness }[]) => Promise<ReadonlySet<string>>)
    | undefined;
  /** Calls `died` as soon as one of these workers is gone. Each call replaces the workers of the previous call. */
  readonly onPeerExit?: ((workers: readonly string[], died: () => void) => void) | undefined;
  /** Decides when workers may be active: see `Driver.onActiveChange`. Default: always. */
  readonly onActiveChange?: ((session: WorkerSession) => () => void) | undefined;
  readonly connectivity?: Connectivity | undefined;
  /** Number of this store among the stores of a split queue, from 0. Part of the ids that it generates. Default: 0. */
  readonly storeNumber?: number | undefined;
}
