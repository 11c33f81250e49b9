/**
 * The one door to time and timers. Pass `createManualClock()` from `@quayside/core/testing` to move it by hand.
 */
export interface Clock {
  /** Ms since epoch. May jump, back too. */
  now(): number;
  /** Ms that only ever go forward, from any origin. */
  monotonic(): number;
  /** Calls `run` once after `ms` (at least 0); returns the function that prevents it. */
  after(ms: number, run: () => void): () => void;
}

/** Longest delay of `setTimeout`: 2^31 − 1 ms; a longer one fires at once (HTML standard). */
const LONGEST_TIMER_MS = 2_147_483_647;

/** The clock of the platform. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    let timer: ReturnType<typeof setTimeout>;
    const arm = (left: number) => {
      const step = Math.min(left, LONGEST_TIMER_MS);
      timer = setTimeout(() => (left > step ? arm(left - step) : run()), step);
    };
    arm(Math.max(0, ms));
    return () => clearTimeout(timer);
  },
};
