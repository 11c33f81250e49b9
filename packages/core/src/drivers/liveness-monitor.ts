import type { Judge } from "../engine/recover.ts";
import type { LeaseRecord, Liveness } from "../engine/store.ts";
import * as DEFAULTS from "../job/defaults.ts";

interface Sighting {
  readonly renewal: string;
  readonly since: number;
}

/**
 * The leases of other workers, as this process has seen them. A lease is condemned by its silence only after this process
 * has itself watched it, by its monotonic clock, unrenewed for half a lease: a live owner renews at a third, so neither
 * a jump of the wall clock nor a suspended machine makes anyone steal from the living (R23).
 *
 * Sightings are of committed records, so they stay true when the program that made them is undone.
 */
export class LivenessMonitor {
  readonly #monotonic: () => number;
  readonly #sightings = new Map<string, Sighting>();
  #seen = new Map<string, Liveness>();
  #lastLook = Number.NEGATIVE_INFINITY;

  constructor(monotonic: () => number) {
    this.#monotonic = monotonic;
  }

  /** Workers with a lease, as of the last look. Undefined before the first. */
  get workers(): readonly { readonly worker: string; readonly liveness: Liveness }[] | undefined {
    if (this.#lastLook === Number.NEGATIVE_INFINITY) return undefined;
    return [...this.#seen].map(([worker, liveness]) => ({ worker, liveness }));
  }

  /** Whether this worker had a lease as of the last look. */
  knows(worker: string): boolean {
    return this.#seen.has(worker);
  }

  /** Looks once over all leases; deletes its notes of those that are gone. */
  look(leases: readonly LeaseRecord[]): void {
    const now = this.#monotonic();
    const gap = now - this.#lastLook;
    this.#lastLook = now;
    this.#seen = new Map(leases.map((lease) => [lease.key[0], lease.liveness]));
    for (const lease of leases) {
      const renewal = `${lease.exchange} ${lease.renewedAt}`;
      // A process that did not look for so long was itself suspended: what it remembers proves nothing.
      if (this.#sightings.get(lease.key[0])?.renewal !== renewal || gap > 2 * lease.leaseMs)
        this.#sightings.set(lease.key[0], { renewal, since: now });
    }
    for (const worker of this.#sightings.keys()) if (!this.#seen.has(worker)) this.#sightings.delete(worker);
  }

  /** `dead`: the workers known to be gone, found among `workers`. */
  judge(dead: ReadonlySet<string>): Judge {
    const silentInMs = (lease: LeaseRecord) => {
      const sighting = this.#sightings.get(lease.key[0]);
      const watched = sighting ? this.#monotonic() - sighting.since : 0;
      // One that is alive by its lock, or by its process, is given up only after the cap.
      const patience = lease.liveness === "time" ? lease.leaseMs / 2 : DEFAULTS.silenceCapMs;
      return Math.max(0, patience - watched);
    };
    return {
      look: (leases) => this.look(leases),
      isDead: (lease) => dead.has(lease.key[0]),
      isSilent: (lease) => silentInMs(lease) === 0,
      silentInMs,
    };
  }
}
