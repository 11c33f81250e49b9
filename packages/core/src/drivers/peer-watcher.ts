import type { Registration, WorkerSession } from "../engine/driver.ts";
import type { Change } from "../engine/store.ts";
import type { LivenessMonitor } from "./liveness-monitor.ts";
import type { StoreDriverOptions } from "./store-driver-options.ts";

export interface PeerWatcherOptions extends Pick<StoreDriverOptions, "deadWorkers" | "onPeerExit"> {
  /** Reads all leases again, to find the workers that hold jobs. */
  readonly look: () => Promise<void>;
}

/** A worker's session, and a function that ends the observation of the session. */
interface ShownSession extends WorkerSession {
  leave(): void;
}

/**
 * Watches workers of other tabs that hold jobs. While a worker is active here, it recovers the jobs of a dead one at
 * once, not when the lease expires.
 */
export class PeerWatcher {
  readonly #watch: LivenessMonitor;
  readonly #options: PeerWatcherOptions;
  readonly #active = new Set<WorkerSession>();
  readonly #own = new Set<string>();
  #looking = false;

  constructor(watch: LivenessMonitor, options: PeerWatcherOptions) {
    this.#watch = watch;
    this.#options = options;
  }

  /** Adds a worker of this driver, which must not be watched, until it leaves. */
  registered(worker: string, { liveness, leave }: Registration): Registration {
    this.#own.add(worker);
    return {
      liveness,
      leave: () => {
        this.#own.delete(worker);
        leave();
      },
    };
  }

  /** Wraps a session, to observe when it begins and ends. */
  showTo(session: WorkerSession): ShownSession {
    const leave = () => {
      this.#active.delete(session);
      if (this.#active.size === 0) this.#options.onPeerExit?.([], () => {});
    };
    return {
      get urgent() {
        return session.urgent === true;
      },
      begin: () => {
        this.#active.add(session);
        session.begin();
      },
      end: (cause) => {
        leave();
        return session.end(cause);
      },
      look: () => session.look(),
      leave,
    };
  }

  /** Makes the active workers of this driver run an exchange now. */
  wake(): void {
    for (const session of [...this.#active]) session.look();
  }

  /**
   * Returns the workers that are dead, of those that had a lease at the last look. A worker that came later is not
   * checked: it may have taken its lock after the locks were read.
   */
  async dead(): Promise<ReadonlySet<string>> {
    const { deadWorkers, look } = this.#options;
    if (!deadWorkers) return new Set();
    if (!this.#watch.workers) await look();
    const others = (this.#watch.workers ?? []).filter(({ liveness }) => liveness !== "time");
    return others.length > 0 ? deadWorkers(others) : new Set();
  }

  /** Watches the workers that had a lease at the last look. */
  follow(): void {
    const { onPeerExit } = this.#options;
    if (!onPeerExit || this.#active.size === 0) return;
    const others = (this.#watch.workers ?? []).filter(
      ({ worker, liveness }) => liveness === "lock" && !this.#own.has(worker),
    );
    onPeerExit(
      others.map(({ worker }) => worker),
      () => this.wake(),
    );
  }

  /** Handles changes of the store: a worker that was not seen yet may hold jobs now. */
  heed(changes: readonly Change[]): void {
    if (!this.#options.onPeerExit || this.#active.size === 0 || this.#looking) return;
    const seen = new Set(this.#watch.workers?.map(({ worker }) => worker));
    if (changes.some(({ kind, by }) => kind === "active" && by !== undefined && !seen.has(by))) void this.#lookAround();
  }

  async #lookAround(): Promise<void> {
    this.#looking = true;
    try {
      await this.#options.look();
      this.follow();
    } catch {
      // The next exchange reads the leases again and reports the error.
    } finally {
      this.#looking = false;
    }
  }
}
