import { TAG_LENGTH, tagEnd } from "../job/job-keys.ts";
import type { QueuePosition } from "../job/transitions.ts";

/** Number of `order` values per millisecond. With it, `order` stays below 2^53 until the year 2248. */
export const ORDERS_PER_MS = 1024;

/**
 * Largest difference of a stored time from the clock, in ms, that does not count as a clock set back: the clocks of
 * tabs differ slightly.
 */
export const SET_BACK_MS = 60_000;

/** Returns whether a stored past time is in the future, because the clock was set back. */
export const isAhead = (at: number, now: number): boolean => at > now + SET_BACK_MS;

/**
 * Generates `order` and `tag`, the last parts of a job's key: `order` increases within a process, `tag` is random per
 * process, so keys are unique across tabs. An odd `order` marks a delayed job, so that it can be recognised after the
 * clock was set back. The tag is generated at first use, because Workers forbid randomness while modules load.
 */
export class SequenceGenerator {
  /** The `order` that was generated last, as an even number. */
  #last = 0;
  #tag: string | undefined;
  readonly #random: () => number;
  readonly store: number;

  /**
   * Creates a generator.
   *
   * @param store number of the store, part of the ids: see `storeOfId`.
   */
  constructor(random: () => number, store = 0) {
    this.#random = random;
    this.store = store;
  }

  /** The `order` that was generated last. */
  get last(): number {
    return this.#last;
  }

  nextPosition(now: number, delayMs = 0): QueuePosition {
    // After the clock was set back, orders follow it, so that they show when a job was placed. A new tag keeps keys
    // unique when the same times recur.
    if (isAhead(this.#last / ORDERS_PER_MS, now)) {
      this.#last = 0;
      this.#tag = undefined;
    }
    this.#last = Math.max(this.#last + 2, now * ORDERS_PER_MS);
    this.#tag ??=
      Array.from({ length: TAG_LENGTH }, () => Math.floor(this.#random() * 36).toString(36)).join("") +
      tagEnd(this.store);
    return { at: now + delayMs, order: delayMs > 0 ? this.#last + 1 : this.#last, tag: this.#tag };
  }
}
