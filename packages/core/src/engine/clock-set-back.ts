import { readyLane } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import { again, isUndelayed } from "../job/transitions.ts";
import { type Move, moveJobs } from "./job-writer.ts";
import { isAhead, ORDERS_PER_MS } from "./sequence-generator.ts";
import type { Key, Program } from "./store.ts";
import { after, get, scanKeys } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";

/**
 * Repairs jobs after a clock that was ahead was set back: a retry of 7 s might otherwise wait a year. The `order` in a
 * job's key has the time at which it was placed, so its delay is known, and the job is placed again with that delay
 * from now (R24).
 */

/** Number of keys read per program. */
const STEP = 256;

const placedAt = (key: JobKey): number => Math.floor(key[4] / ORDERS_PER_MS);

/** Returns whether a delayed job has a time that was computed while the clock was far ahead of `now`. */
export const isStranded = (key: JobKey, now: number): boolean => standsAhead(key, now) && !isUndelayed(key);

/** Returns whether a job's key was created while the clock was far ahead of `now`. */
export const standsAhead = (key: JobKey, now: number): boolean =>
  isAhead(placedAt(key), now) && key[3] >= placedAt(key);

/**
 * Moves the jobs that were placed by a clock far ahead to their delay from now, among the next 256 keys of a queue.
 * Returns the number of moved jobs and the key at which to continue; `null` at the end.
 *
 * @param fits selects jobs by key. A claim passes `isStranded`: jobs without a delay may be claimed by the same program
 * but not yet listed in a lease, and would be claimed twice if they moved. Default: all jobs placed by a clock far
 * ahead.
 */
export function* bringBack(
  tx: Transaction,
  queue: string,
  from?: Key,
  fits = standsAhead,
): Program<{ moved: number; next: Key | null }> {
  const lane: Key = ["ready", readyLane(queue)];
  const keys = yield* scanKeys("jobs", { from: from ?? lane, to: after(lane) }, STEP);
  const leases = yield* tx.leases();
  const ahead = keys.filter((key) => fits(key, tx.now) && !leases.holderOf(key));
  const jobs = yield* get("jobs", ahead);
  const moves: Move[] = [];
  for (const job of jobs) {
    if (!job) continue;
    const at = yield* homeOf(tx, job);
    const delayMs = isUndelayed(job.key) ? 0 : Math.max(1, at - tx.now);
    moves.push({ before: job, job: again(job, tx.nextPosition(delayMs)) });
  }
  yield* moveJobs(tx, moves);
  const last = keys[STEP - 1];
  return { moved: moves.length, next: last ? after(last) : null };
}

/**
 * Returns the time at which a job that was placed by a clock far ahead is due: now and its delay, or what a plugin
 * says.
 */
function* homeOf(tx: Transaction, job: StoredJob): Program<number> {
  let at = tx.now + job.key[3] - placedAt(job.key);
  for (const plugin of tx.plugins.with("dueAgain")) at = yield* plugin.dueAgain(tx, job, at);
  return at;
}
