import type { Clock } from "@quayside/core";

const FIRST_MS = 1_000;
const LONGEST_MS = 300_000;
/** Longest accepted `Retry-After`, in ms: a wrong value must not hold jobs back forever. */
const LONGEST_ASKED_MS = 86_400_000;

/**
 * Returns the delay after this many failures: 1 s, 2 s, 4 s … up to 5 min, half of it random, or longer if the server
 * asks for it.
 */
export function retryDelayMs(failures: number, askedMs: number, random: number): number {
  const own = Math.round(Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS) * (0.5 + 0.5 * random));
  return Math.max(own, boundedRetryAfter(askedMs));
}

/** Returns the delay that a server asked for, at most one day. */
export const boundedRetryAfter = (askedMs: number): number => (askedMs > 0 ? Math.min(askedMs, LONGEST_ASKED_MS) : 0);

/** The pause between two rounds of a repeated task. A wake-up during a round shortens the pause after it. */
export class Pause {
  readonly #clock: Clock;
  /** The shortest `afterMs` of the calls of `wake` since `reset`, in ms. */
  #shortestMs = Number.POSITIVE_INFINITY;
  #stopped = false;
  #check: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Starts a round: earlier calls of `wake` no longer count. */
  reset(): void {
    this.#shortestMs = Number.POSITIVE_INFINITY;
  }

  /** Ends the pause once it has lasted `afterMs`. */
  wake(afterMs: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, afterMs);
    this.#check?.();
  }

  stop(): void {
    this.#stopped = true;
    this.#check?.();
  }

  /** Waits until the next call of `wake`. */
  untilWoken(): Promise<void> {
    return this.#wait(() => (this.#shortestMs < Number.POSITIVE_INFINITY ? 0 : Number.POSITIVE_INFINITY));
  }

  /** Waits `ms` after a failure. A call of `wake` shortens the pause, but not below `leastMs`. */
  wait(ms: number, leastMs: number): Promise<void> {
    return this.#wait(() => Math.max(leastMs, Math.min(ms, this.#shortestMs)));
  }

  #wait(length: () => number): Promise<void> {
    const begun = this.#clock.monotonic();
    let disarm: (() => void) | undefined;
    return new Promise((resolve) => {
      this.#check = () => {
        disarm?.();
        disarm = undefined;
        const leftMs = this.#stopped ? 0 : length() - (this.#clock.monotonic() - begun);
        if (leftMs <= 0) {
          this.#check = undefined;
          resolve();
        } else if (leftMs < Number.POSITIVE_INFINITY) disarm = this.#clock.after(leftMs, () => this.#check?.());
      };
      this.#check();
    });
  }
}
