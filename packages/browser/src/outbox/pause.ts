import type { Clock } from "@quayside/core";

const FIRST_MS = 1_000;
const LONGEST_MS = 300_000;
/** Longest that a server is heeded: a mistaken `Retry-After` shall not hold jobs back for ever. */
const LONGEST_ASKED_MS = 86_400_000;

/** The rest between two rounds. A wake-up that comes while a round runs counts for the rest after it. */
export class Pause {
  readonly #clock: Clock;
  #woken = false;
  #stopped = false;
  #end: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** After so many failures: as long as was asked for, or 1 s, 2 s, 4 s … up to 5 min, half of it random. */
  lengthAfter(failures: number, askedMs: number | undefined, random: number): number {
    if (askedMs !== undefined) return Math.min(askedMs, LONGEST_ASKED_MS);
    return Math.round(Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS) * (0.5 + 0.5 * random));
  }

  begin(): void {
    this.#woken = false;
  }

  wake(): void {
    this.#woken = true;
    this.#end?.();
  }

  stop(): void {
    this.#stopped = true;
    this.#end?.();
  }

  /** Until it is woken, `ms` are over (absent: no timer), or it is stopped. A wake-up does not shorten it below `leastMs`. */
  async rest(ms?: number, leastMs = 0): Promise<void> {
    if (leastMs > 0) await this.#wait(leastMs, () => this.#stopped);
    else await this.#wait(ms, () => this.#stopped || this.#woken);
  }

  #wait(ms: number | undefined, isOver: () => boolean): Promise<void> {
    if (isOver()) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        disarm?.();
        this.#end = undefined;
        resolve();
      };
      const disarm = ms === undefined ? undefined : this.#clock.after(ms, done);
      this.#end = () => {
        if (isOver()) done();
      };
    });
  }
}
