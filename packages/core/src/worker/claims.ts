import { LIMITS } from "../job/limits.ts";
import type { ClaimQueue } from "../store/verbs.ts";
import type { Share, Slots } from "./slots.ts";
import type { WorkerQueue } from "./worker-options.ts";

/** The claims of one life of a worker. */
export interface ClaimLimits {
  /** The one queue to claim from; undefined: all. */
  readonly only: string | undefined;
  /** How many jobs it may claim in all. */
  readonly quota: JobQuota;
}

/** How many more jobs may be claimed: by one worker, or by all that share this. */
export interface JobQuota {
  left: number;
  /** Of those, asked for by exchanges that are on their way. */
  asked: number;
}

/** What a worker may claim: how many jobs, by its share of the room and its quota, and from which queues. */
export class Claims<Ctx extends object> {
  readonly #slots: Slots;
  readonly #queues: readonly WorkerQueue<Ctx>[];
  readonly #running: (queue: string) => number;
  /** Outlives `close`: handlers that come back later still return their room to it. */
  #share: Share | undefined;
  #only: string | undefined;
  #quota: JobQuota = { left: Number.POSITIVE_INFINITY, asked: 0 };
  #turn = 0;

  /** @param running how many jobs of a queue run now. */
  constructor(slots: Slots, queues: readonly WorkerQueue<Ctx>[], running: (queue: string) => number) {
    this.#slots = slots;
    this.#queues = queues;
    this.#running = running;
  }

  /**
   * @param limits absent: those of the last time, with what is left of the quota.
   * @param onFree called when there may be room again.
   */
  open(limits: ClaimLimits | undefined, onFree: () => void): void {
    if (limits) {
      this.#only = limits.only;
      this.#quota = limits.quota;
    }
    this.#share = this.#slots.join(onFree);
  }

  close(): void {
    this.#share?.leave();
  }

  /** Nothing is left of the quota. */
  get spent(): boolean {
    return this.#quota.left <= 0;
  }

  /** How many jobs it may claim now. */
  get free(): number {
    return Math.max(0, Math.min(this.#share?.free ?? 0, this.#left));
  }

  /** Takes all the room that it may use now; answers how much. */
  take(): number {
    return this.#share?.take(this.free) ?? 0;
  }

  /** Takes room for so many that are claimed already; answers for how many there is some. */
  takeFor(count: number): number {
    return count > 0 ? (this.#share?.take(count) ?? 0) : 0;
  }

  /** Returns room that is not used, or no longer. */
  give(count: number): void {
    this.#share?.give(count);
  }

  /** Stands in line for room, unless nothing is left of the quota. */
  stand(): void {
    if (!this.spent) this.#share?.stand();
  }

  /** How many jobs it may claim beside `free`, of so many. */
  beside(free: number, count: number): number {
    return Math.max(0, Math.min(count, this.#left - free, LIMITS.claim - free));
  }

  /** An exchange that asks for so many is on its way; fewer than none: it is answered. */
  asked(count: number): void {
    this.#quota.asked += count;
  }

  get #left(): number {
    return this.#quota.left - this.#quota.asked;
  }

  /** So many were claimed; fewer than none: given back. */
  claimed(count: number): void {
    this.#quota.left -= count;
    if (count > 0) this.#turn++;
  }

  /** What to claim from: who brought something makes the next one begin with another queue, so that none is always last. */
  queues(): ClaimQueue[] {
    const queues = this.#only === undefined ? this.#queues : this.#queues.filter(({ name }) => name === this.#only);
    const first = this.#turn % Math.max(1, queues.length);
    return [...queues.slice(first), ...queues.slice(0, first)].flatMap(({ name, concurrency, names }) => {
      const known = names?.();
      // Without any handler there is nothing to claim, and nothing to call unknown.
      if (known?.length === 0) return [];
      const limit = concurrency && { limit: Math.max(0, concurrency - this.#running(name)) };
      return [{ queue: name, ...limit, ...(known && { names: known }) }];
    });
  }
}
