import type { Registration, WorkerSession } from "../engine/driver.ts";
import type { Change } from "../engine/store.ts";
import type { LivenessMonitor } from "./liveness-monitor.ts";

export interface PeerWatcherOptions {
  /** Calls `died` as soon as one of these workers is gone. Each call replaces those meant before. */
  readonly onPeerExit: ((workers: readonly string[], died: () => void) => void) | undefined;
  /** Looks over the leases anew. */
  readonly look: () => Promise<void>;
}

/** A shift, and how the driver is done with it where its worker has stopped without an end. */
interface ShownSession extends WorkerSession {
  leave(): void;
}

/**
 * The workers elsewhere that hold jobs: while somebody works here, the death of one of them is waited for, so that its
 * jobs are looked for at once and not when a lease would next be judged.
 */
export class PeerWatcher {
  readonly #watch: LivenessMonitor;
  readonly #options: PeerWatcherOptions;
  readonly #onDuty = new Set<WorkerSession>();
  readonly #own = new Set<string>();
  #looking = false;

  constructor(watch: LivenessMonitor, options: PeerWatcherOptions) {
    this.#watch = watch;
    this.#options = options;
  }

  /** A worker of this driver's own, until it leaves: it is none of the neighbours. */
  enlisted(worker: string, { liveness, leave }: Registration): Registration {
    this.#own.add(worker);
    return {
      liveness,
      leave: () => {
        this.#own.delete(worker);
        leave();
      },
    };
  }

  /** The shift, with its begin and end seen here. */
  showTo(shift: WorkerSession): ShownSession {
    const leave = () => {
      this.#onDuty.delete(shift);
      if (this.#onDuty.size === 0) this.#options.onPeerExit?.([], () => {});
    };
    return {
      get urgent() {
        return shift.urgent === true;
      },
      begin: () => {
        this.#onDuty.add(shift);
        shift.begin();
      },
      end: (cause) => {
        leave();
        return shift.end(cause);
      },
      look: () => shift.look(),
      leave,
    };
  }

  /** Has the workers of this driver look for work now. */
  wake(): void {
    for (const shift of [...this.#onDuty]) shift.look();
  }

  /** Waits for the death of those seen at the last look. */
  follow(): void {
    const { onPeerExit } = this.#options;
    if (!onPeerExit || this.#onDuty.size === 0) return;
    const others = (this.#watch.workers ?? []).filter(
      ({ worker, liveness }) => liveness === "lock" && !this.#own.has(worker),
    );
    onPeerExit(
      others.map(({ worker }) => worker),
      () => this.wake(),
    );
  }

  /** Somebody changed the store: one who was not seen yet may hold jobs now. */
  heed(changes: readonly Change[]): void {
    if (!this.#options.onPeerExit || this.#onDuty.size === 0 || this.#looking) return;
    const seen = new Set(this.#watch.workers?.map(({ worker }) => worker));
    if (changes.some(({ kind, by }) => kind === "active" && by !== undefined && !seen.has(by))) void this.#lookAround();
  }

  async #lookAround(): Promise<void> {
    this.#looking = true;
    try {
      await this.#options.look();
      this.follow();
    } catch {
      // The next exchange looks again, and tells its worker why it cannot.
    } finally {
      this.#looking = false;
    }
  }
}
