import type { Judge } from "../engine/recover.ts";
import type { LeaseRecord, Liveness } from "../engine/store.ts";
import * as DEFAULTS from "../job/defaults.ts";

interface Sighting {
  readonly renewal: string;
  readonly since: number;
}

/**
 * Decides which workers' leases have expired for good, so that their jobs are run again. A lease that is not renewed is
 * given up only after this process itself has watched it for half a lease, by its monotonic clock. A live worker renews
 * after a third of its lease, so neither a clock change nor a suspended machine takes jobs from it (rule R23).
 *
 * Watches only leases of committed transactions, so a rollback does not affect the result.
 */
export class LivenessMonitor {
  readonly #monotonic: () => number;
  readonly #sightings = new Map<string, Sighting>();
  #seen = new Map<string, Liveness>();
  #lastLook = Number.NEGATIVE_INFINITY;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Workers that had a lease at the last call of `look`. Undefined before the first call. */
  get workers(): readonly { readonly worker: string; readonly liveness: Liveness }[] | undefined {
    if (this.#lastLook === Number.NEGATIVE_INFINITY) return undefined;
    return [...this.#seen].map(([worker, liveness]) => ({ worker, liveness }));
  }

  /** Returns whether this worker had a lease at the last call of `look`. */
  knows(worker: string): boolean {
    return this.#seen.has(worker);
  }

  /** Records which leases exist and when each was last renewed. Removes the notes about leases that no longer exist. */
  look(leases: readonly LeaseRecord[]): void {
    const now = this.#monotonic();
    const gap = now - this.#lastLook;
    this.#lastLook = now;
    this.#seen = new Map(leases.map((lease) => [lease.key[0], lease.liveness]));
    for (const lease of leases) {
      const renewal = `${lease.exchange} ${lease.renewedAt}`;
      // A process that has not looked for so long was itself suspended, so its notes are discarded.
      if (this.#sightings.get(lease.key[0])?.renewal !== renewal || gap > 2 * lease.leaseMs)
        this.#sightings.set(lease.key[0], { renewal, since: now });
    }
    for (const worker of this.#sightings.keys()) if (!this.#seen.has(worker)) this.#sightings.delete(worker);
  }

  /** Returns the judge for one exchange. `dead`: workers that are certainly gone. */
  judge(dead: ReadonlySet<string>): Judge {
    const silentInMs = (lease: LeaseRecord) => {
      const sighting = this.#sightings.get(lease.key[0]);
      const watched = sighting ? this.#monotonic() - sighting.since : 0;
      // A worker that is alive by its lock or process is given up only after the cap.
      const patience = lease.liveness === "time" ? lease.leaseMs / 2 : DEFAULTS.silenceCapMs;
      return Math.max(0, patience - watched);
    };
    return {
      look: (leases) => this.look(leases),
      isDead: (lease) => dead.has(lease.key[0]),
      silentInMs,
    };
  }
}
