import type { Liveness, Registration } from "@quayside/core/engine";
import { databaseName } from "../idb/database-name.ts";

/** How a store's workers show that they live, and who of them does not. */
export interface WebLockLiveness {
  /** Resolves once the worker's lock is held. */
  register(worker: string): Promise<Registration>;
  /** Those of the workers whose tab, frame or worker thread is gone. */
  deadWorkers(
    workers: readonly { readonly worker: string; readonly liveness: Liveness }[],
  ): Promise<ReadonlySet<string>>;
  /** Calls `died` as soon as one of these workers is gone. Each call replaces those meant before. */
  onPeerExit(workers: readonly string[], died: () => void): void;
}

/**
 * Liveness by Web Locks: a worker holds a lock for as long as it lives, and the engine takes it back when its tab is
 * closed, crashes or navigates away. So a dead tab's jobs need not wait for the end of its lease. A frozen tab keeps
 * its lock; what that can hold up is bounded by the cap on silent workers.
 *
 * Where Web Locks are missing workers are `liveness: "time"`, and no worker counts as dead.
 *
 * @param name The name given to the store whose workers these are.
 * @example
 * const driver = new StoreDriver(new IndexedDbStore({ name: "my-app" }), { plugins: everything(), ...tabs("my-app") });
 */
export function webLockLiveness(name: string): WebLockLiveness {
  const prefix = `${databaseName(name)}:`;
  const waits = new Map<string, AbortController>();
  return {
    register: (worker) => holdLock(prefix + worker),
    async deadWorkers(workers) {
      const lockers = workers.filter(({ liveness }) => liveness === "lock").map(({ worker }) => worker);
      const held = lockers.length > 0 ? await heldLocks() : undefined;
      return new Set(held && lockers.filter((worker) => !held.has(prefix + worker)));
    },
    onPeerExit(workers, died) {
      const meant = new Set(workers);
      for (const [worker, wait] of waits) {
        if (meant.has(worker)) continue;
        waits.delete(worker);
        wait.abort();
      }
      // A dead worker stays here until it is watched no longer, so that its death is reported once.
      for (const worker of meant) if (!waits.has(worker)) waits.set(worker, awaitLock(prefix + worker, died));
    },
  };
}

/** Lives by its lease alone. */
const byTime: Registration = { liveness: "time", leave() {} };

function holdLock(name: string): Promise<Registration> {
  const locks = lockManager();
  if (!locks) return Promise.resolve(byTime);
  return new Promise((resolve) => {
    const hold = () => new Promise<void>((leave) => resolve({ liveness: "lock", leave }));
    // Refused where the page may not use locks (a sandboxed frame, a page going away): then time has to do.
    locks.request(name, hold).catch(() => resolve(byTime));
  });
}

/**
 * Waits for a lock only to learn when its holder lets go; shared, so that it resolves for all waiting callers
 * at once.
 */
function awaitLock(name: string, free: () => void): AbortController {
  const wait = new AbortController();
  const { signal } = wait;
  // Refused, or called off: then others, or the next look at the leases, must do.
  lockManager()
    ?.request(name, { mode: "shared", signal }, () => {
      if (!signal.aborted) free();
    })
    .catch(() => {});
  return wait;
}

/** Returns the locks that are held; undefined where the platform cannot tell. */
async function heldLocks(): Promise<ReadonlySet<string> | undefined> {
  try {
    const snapshot = await lockManager()?.query();
    // Shared ones are held, for a moment, by those who waited for the end of the worker.
    const lives = snapshot?.held?.filter(({ mode }) => mode === "exclusive");
    return lives && new Set(lives.map(({ name = "" }) => name));
  } catch {
    return undefined;
  }
}

/** Absent on insecure origins and in older engines, whatever the types say. */
export function lockManager(): LockManager | undefined {
  return typeof navigator === "undefined" ? undefined : (navigator.locks as LockManager | undefined);
}
