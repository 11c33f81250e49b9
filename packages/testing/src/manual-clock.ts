import { type Clock, type Duration, toMs } from "@quayside/core";
import { integer, LAST_INSTANT } from "@quayside/core/engine";

/** A clock that only its methods move. */
export interface ManualClock extends Clock {
  /**
   * Moves the time forward by a duration, in whole ms. Fires each timer at its time, and lets the work that it starts
   * continue before the next one. Work that waits for real I/O (a database, HTTP) needs real time: wait for its result.
   */
  advance(duration: Duration): Promise<void>;
  /** Sets the wall clock forward, or back by a negative number. Timers and `monotonic` are not affected. */
  jump(duration: Duration): void;
  /** Number of timers that are set and have not fired. */
  readonly pending: number;
}

/** Number of microtask turns after each timer: enough for the longest chain of awaits in memory. */
const TASKS = 200;

/**
 * Creates a clock that only its methods move.
 *
 * @param start wall-clock time in whole ms since epoch. Default: 2026-01-01T00:00:00Z.
 * @throws {QuaysideError} `invalid_option`, also in its methods, for an invalid time or duration.
 * @example
 * const clock = createManualClock();
 * const queue = new Queue<Jobs>("mail", memoryDriver({ clock }));
 * await queue.addJob("email", payload, { delay: "5m" });
 * await clock.advance("5m");
 */
export function createManualClock(start: number = Date.UTC(2026, 0, 1)): ManualClock {
  /** The wall clock's time minus `elapsed`, in whole ms. */
  let offset = integer(start, 0, LAST_INSTANT, "start");
  let elapsed = 0;
  let sequence = 0;
  const timers = new Map<number, { at: number; run: () => void }>();

  const next = (until: number) => {
    let first: [number, { at: number; run: () => void }] | undefined;
    for (const entry of timers) if (entry[1].at <= until && (!first || entry[1].at < first[1].at)) first = entry;
    return first;
  };
  const breathe = async () => {
    for (let task = 0; task < TASKS; task++) await undefined;
  };

  return {
    // Whole, like `Date.now()`: a timer of a third of a lease may fire between two ms.
    now: () => Math.floor(offset + elapsed),
    monotonic: () => elapsed,
    after(ms, run) {
      const id = sequence++;
      timers.set(id, { at: elapsed + Math.max(0, ms), run });
      return () => timers.delete(id);
    },
    nextTask: async () => {},
    async advance(duration) {
      const until = elapsed + toMs(duration, "duration");
      await breathe();
      for (let due = next(until); due; due = next(until)) {
        timers.delete(due[0]);
        elapsed = Math.max(elapsed, due[1].at);
        due[1].run();
        await breathe();
      }
      elapsed = until;
      await breathe();
    },
    jump(duration) {
      const back = typeof duration === "number" && duration < 0;
      offset += back ? -toMs(-duration, "duration") : toMs(duration, "duration");
    },
    get pending() {
      return timers.size;
    },
  };
}
