import { TAG_LENGTH, tagEnd } from "../job/job-keys.ts";
import type { QueuePosition } from "../job/transitions.ts";

/** Orders in a millisecond before a process borrows from the next one: 2^53 / 1024 ms lasts until the year 2248. */
export const ORDERS_PER_MS = 1024;

/** How far a clock may go back, or be ahead of others, and not count as set back: clocks of tabs differ a little. */
export const SET_BACK_MS = 60_000;

/** Whether an instant in the past of a record is in the future: the clock was set back since. */
export const isAhead = (at: number, now: number): boolean => at > now + SET_BACK_MS;

/**
 * Mints what orders jobs of equal instants: `order` only ever grows in a process, `tag` is random per process, so no two
 * adds share a key, in whatever tabs. An odd `order` says that a delay was asked for: after the clock was set back, that
 * tells a job that has to wait from one that does not. The tag is made at first use: Workers forbid randomness at module scope.
 */
export class SequenceGenerator {
  /** The last order, made even. */
  #last = 0;
  #tag: string | undefined;
  readonly #random: () => number;
  readonly store: number;

  /** @param store the number that its ids carry: see `storeOfId`. */
  constructor(random: () => number, store = 0) {
    this.#random = random;
    this.store = store;
  }

  /** The last order that was minted. */
  get last(): number {
    return this.#last;
  }

  nextPosition(now: number, delayMs = 0): QueuePosition {
    // A clock that was set back: orders follow it, so that they tell when a job was placed. Under a tag of their own, for
    // the same instants come again.
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
