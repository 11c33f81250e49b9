import { type Clock, type Duration, toMs } from "@quayside/core";
import { integer, LAST_INSTANT } from "@quayside/core/engine";

/** A clock whose time changes only by its methods. */
export interface ManualClock extends Clock {
  /**
   * Moves time forward by a duration, in whole ms, firing each timer at its instant and letting the work it starts go on before the next.
   * Work that waits for real I/O (a database, HTTP) goes on in its own time: wait for its result, not for the clock.
   */
  advance(duration: Duration): Promise<void>;
  /** Sets the wall clock forward, or back by a negative number; timers and `monotonic` do not notice. */
  jump(duration: Duration): void;
  /** Timers that are armed. */
  readonly pending: number;
}

/** Turns of the microtask queue granted after each timer: enough for the longest await chain of an in-memory round. */
const TASKS = 200;

/**
 * @param start wall-clock time in whole ms since epoch. Default 2026-01-01T00:00:00Z.
 * @throws {QuaysideError} `invalid_option` here and in its methods for what is no instant or duration.
 * @example
 * const clock = createManualClock();
 * const queue = new Queue<Jobs>("mail", memoryDriver({ clock }), { clock });
 * await queue.addJob("email", payload, { delay: "5m" });
 * await clock.advance("5m");
 */
export function createManualClock(start: number = Date.UTC(2026, 0, 1)): ManualClock {
  /** Wall clock minus `elapsed`, in whole ms. */
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
    // Whole, as `Date.now()` is: a timer of a third of a lease may fire between two ms.
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
