import type { Registration, WorkerSession } from "../engine/driver.ts";
import type { Change } from "../engine/store.ts";
import type { LivenessMonitor } from "./liveness-monitor.ts";

export interface PeerWatcherOptions {
  /** Calls `died` as soon as one of these workers is gone. Each call replaces those meant before. */
  readonly onPeerExit: ((workers: readonly string[], died: () => void) => void) | undefined;
  /** Reads the leases again. */
  readonly look: () => Promise<void>;
}

/** A session, and what ends it for a worker that stopped by itself. */
interface ShownSession extends WorkerSession {
  leave(): void;
}

/**
 * The workers elsewhere that hold jobs: while a worker is active here, the exit of each is waited for, so that its
 * jobs are looked for at once and not when a lease would next be judged.
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

  /** A worker of this driver's own, until it leaves: not one of the peers. */
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

  /** The session, with its begin and end seen here. */
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

  /** Has the workers of this driver look for work now. */
  wake(): void {
    for (const session of [...this.#active]) session.look();
  }

  /** Waits for the exit of those seen at the last look. */
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

  /** The store was changed: a worker that was not seen yet may hold jobs now. */
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
      // The next exchange looks again, and tells its worker why it cannot.
    } finally {
      this.#looking = false;
    }
  }
}
