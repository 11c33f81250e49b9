import type { Clock } from "@quayside/core";

const FIRST_MS = 1_000;
const LONGEST_MS = 300_000;
/** Longest that a server is heeded: a mistaken `Retry-After` shall not hold jobs back for ever. */
const LONGEST_ASKED_MS = 86_400_000;

/** After so many failures: 1 s, 2 s, 4 s … up to 5 min, half of it random. A server that asks for more gets it. */
export function lengthAfter(failures: number, askedMs: number, random: number): number {
  const own = Math.round(Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS) * (0.5 + 0.5 * random));
  return Math.max(own, heeded(askedMs));
}

/** The delay that a server asked for, within the bounds that the outbox accepts. */
export const heeded = (askedMs: number): number => (askedMs > 0 ? Math.min(askedMs, LONGEST_ASKED_MS) : 0);

/** The rest between two rounds. A wake-up that comes while a round runs counts for the rest after it. */
export class Pause {
  readonly #clock: Clock;
  /** The shortest rest that a wake-up has asked for since `begin`. */
  #shortestMs = Number.POSITIVE_INFINITY;
  #stopped = false;
  #look: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  begin(): void {
    this.#shortestMs = Number.POSITIVE_INFINITY;
  }

  /** Ends the rest once it has lasted for so long. */
  wake(afterMs: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, afterMs);
    this.#look?.();
  }

  stop(): void {
    this.#stopped = true;
    this.#look?.();
  }

  /** Rests until there is something new: any wake-up ends it at once. */
  untilWoken(): Promise<void> {
    return this.#rest(() => (this.#shortestMs < Number.POSITIVE_INFINITY ? 0 : Number.POSITIVE_INFINITY));
  }

  /** Rests for `ms` after a failure. A wake-up shortens it, but never below `leastMs`. */
  rest(ms: number, leastMs: number): Promise<void> {
    return this.#rest(() => Math.max(leastMs, Math.min(ms, this.#shortestMs)));
  }

  #rest(length: () => number): Promise<void> {
    const begun = this.#clock.monotonic();
    let disarm: (() => void) | undefined;
    return new Promise((resolve) => {
      this.#look = () => {
        disarm?.();
        disarm = undefined;
        const left = this.#stopped ? 0 : length() - (this.#clock.monotonic() - begun);
        if (left <= 0) {
          this.#look = undefined;
          resolve();
        } else if (left < Number.POSITIVE_INFINITY) disarm = this.#clock.after(left, () => this.#look?.());
      };
      this.#look();
    });
  }
}
