import type { Clock } from "../driver/clock.ts";

/** A clock that stands still until it is moved. */
export interface ManualClock extends Clock {
  /**
   * Moves time forward by `ms`, firing each timer at its instant and letting the work it starts go on before the next.
   * Work that waits for real I/O (a database, HTTP) goes on in its own time: wait for its result, not for the clock.
   */
  advance(ms: number): Promise<void>;
  /** Sets the wall clock forward or back; timers and `monotonic` do not notice. */
  jump(ms: number): void;
  /** Timers that are armed. */
  readonly pending: number;
}

/** Turns of the microtask queue granted after each timer: enough for the longest await chain of an in-memory round. */
const TURNS = 200;

/**
 * @param start wall-clock time in ms since epoch. Default 2026-01-01T00:00:00Z.
 * @example
 * const clock = createManualClock();
 * const queue = new Queue<Jobs>("mail", memoryDriver({ clock }), { clock });
 * await queue.addJob("email", payload, { delay: "5m" });
 * await clock.advance(300_000);
 */
export function createManualClock(start: number = Date.UTC(2026, 0, 1)): ManualClock {
  let wall = start;
  let elapsed = 0;
  let sequence = 0;
  const timers = new Map<number, { at: number; run: () => void }>();

  const next = (until: number) => {
    let first: [number, { at: number; run: () => void }] | undefined;
    for (const entry of timers) if (entry[1].at <= until && (!first || entry[1].at < first[1].at)) first = entry;
    return first;
  };
  const moveTo = (instant: number) => {
    wall += instant - elapsed;
    elapsed = instant;
  };
  const breathe = async () => {
    for (let turn = 0; turn < TURNS; turn++) await undefined;
  };

  return {
    now: () => wall,
    monotonic: () => elapsed,
    after(ms, run) {
      const id = sequence++;
      timers.set(id, { at: elapsed + Math.max(0, ms), run });
      return () => timers.delete(id);
    },
    turn: async () => {},
    async advance(ms) {
      const until = elapsed + ms;
      await breathe();
      for (let due = next(until); due; due = next(until)) {
        timers.delete(due[0]);
        moveTo(Math.max(elapsed, due[1].at));
        due[1].run();
        await breathe();
      }
      moveTo(until);
      await breathe();
    },
    jump(ms) {
      wall += ms;
    },
    get pending() {
      return timers.size;
    },
  };
}
