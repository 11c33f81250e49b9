import { type Driver, type Duration, toMs } from "@quayside/core";
import type { ManualClock } from "./manual-clock.ts";

/** The part of a `Queue` that `drain` uses. */
export interface Drainable {
  readonly name: string;
  readonly driver: Driver;
  drain(): Promise<void>;
}

/** Maximum number of rounds of `drain`. After more, throws, because jobs seem to add jobs without end. */
const ROUNDS = 10_000;

/**
 * Works queues until no job is left to run, moving the clock through delays, backoffs and rate limits. A recurrence
 * without an end needs `until`.
 *
 * @param options.clock the clock of queues and driver. Without it, only jobs that are due now are worked.
 * @param options.until the maximum total time to move the clock, in ms. Default: one year.
 * @example
 * const clock = createManualClock();
 * const queue = new Queue<Jobs>("mail", memoryDriver({ clock }));
 * await queue.addJob("email", payload, { delay: "1d" });
 * await drain(queue, { clock });
 */
export async function drain(
  queues: Drainable | readonly Drainable[],
  { clock, until = "365d" }: { readonly clock?: ManualClock | undefined; readonly until?: Duration | undefined } = {},
): Promise<void> {
  const all = Array.isArray(queues) ? (queues as readonly Drainable[]) : [queues as Drainable];
  let left = toMs(until, "until");
  for (let round = 0; round < ROUNDS; round++) {
    for (const queue of all) await queue.drain();
    const waits = await Promise.all(all.map(({ driver, name }) => driver.nextWake([name])));
    const wait = Math.min(...waits.map((ms) => ms ?? Number.POSITIVE_INFINITY));
    if (wait === Number.POSITIVE_INFINITY) return;
    if (wait === 0) continue;
    if (!clock || wait > left) return;
    left -= wait;
    await clock.advance(wait);
  }
  throw new Error(`Work was still due after ${ROUNDS} rounds: does a job add itself again, or has one no handler?`);
}
