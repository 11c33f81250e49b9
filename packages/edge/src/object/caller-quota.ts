import { type Plugin, QuaysideError, type RateLimit } from "@quayside/core";
import {
  type CellKind,
  checkName,
  type EnqueueReceipt,
  enqueue,
  getCell,
  kind,
  type Mark,
  type NewJob,
  type NumberedRequest,
  type Program,
  putCells,
  runOnce,
  type StoredJob,
  sweepCells,
  type Transaction,
} from "@quayside/core/engine";

/**
 * The number of jobs that a caller may add to each queue: a token bucket of `max` jobs that refills evenly within
 * `perMs`.
 */
export interface Quota extends RateLimit {
  /** The caller. Callers with the same subject share the quota. */
  readonly subject: string;
}

/** The part of a caller's quota in one queue that is used at a time. */
export interface QuotaUse {
  /** The used part, in jobs × `perMs`. */
  readonly used: number;
  readonly perMs: number;
  readonly at: number;
  /** Time at which the quota is unused again, in ms since epoch. */
  readonly until: number;
}

/** Plugin that declares the records of quotas. `enqueueWithin` reads and writes them. */
export const quota: Plugin = { name: "quota", quietCells: ["quota"] };

/** The outcome of an add within a quota: receipts, or the error. A refused add stores nothing. */
export type Admission =
  | { readonly receipts: readonly EnqueueReceipt[]; readonly refused?: never }
  | { readonly refused: QuaysideError };

/**
 * Adds jobs if the caller's quota allows it. Checks and spends the quota in the transaction that stores the jobs, so
 * the limit holds under concurrent requests. Jobs that exist already and repeated requests spend nothing.
 *
 * @returns the receipts, or the error `rate_limited` with `details.retryAfterMs`. The error is a value, not thrown,
 * because the transaction may have to correct the bucket.
 * @throws {QuaysideError} `too_large` if the call adds more jobs to a queue than its bucket can hold;
 * `invalid_option` if the quota itself is invalid.
 */
export const enqueueWithin = (
  tx: Transaction,
  jobs: readonly NewJob[],
  request: NumberedRequest | undefined,
  quota: Quota,
): Program<Admission> => within(tx, quota, (admit) => enqueue(tx, jobs, request, admit));

/**
 * Spends a caller's quota for jobs that will then be added to the shards of a split queue. A repeated request spends
 * nothing. A job that exists already does spend, because only its shard could detect it.
 */
export const spendQuota = (
  tx: Transaction,
  queues: readonly string[],
  request: NumberedRequest | undefined,
  quota: Quota,
): Program<Admission> =>
  within(tx, quota, (admit) => {
    function* work(): Program<readonly EnqueueReceipt[]> {
      yield* admit(queues.map((queue) => ({ queue })));
      return [];
    }
    return runOnce(tx, [], request, work, kind<Mark>("mark", "quota"));
  });

function* within(
  tx: Transaction,
  quota: Quota,
  work: (admit: (placed: readonly Pick<StoredJob, "queue">[]) => Program<void>) => Program<readonly EnqueueReceipt[]>,
): Program<Admission> {
  checkQuota(quota);
  let refused: QuaysideError | undefined;
  let corrections: readonly Use[] = [];
  try {
    const receipts = yield* work(function* (placed) {
      const uses = yield* usesOf(tx, quota, placed);
      const waitMs = uses.reduce((most, use) => Math.max(most, waitFor(use, quota)), 0);
      if (waitMs > 0) {
        // After the clock was set back, refilling starts from now; otherwise it would wait until the clock reaches `at`
        // again.
        corrections = uses.filter(({ before }) => before && before.at > tx.now).map((use) => ({ ...use, count: 0 }));
        refused = exceeded(quota, waitMs);
        throw refused;
      }
      for (const use of uses) yield* save(tx, quota, use);
    });
    return { receipts };
  } catch (error) {
    if (!refused || error !== refused) throw error;
    for (const use of corrections) yield* save(tx, quota, use);
    return { refused };
  }
}

/** The number of jobs that a call adds to one queue, and the used part of the caller's quota in that queue. */
interface Use {
  readonly of: CellKind<QuotaUse>;
  readonly before: QuotaUse | undefined;
  /** The used part at the time of the call, in jobs × `perMs`. */
  readonly used: number;
  readonly count: number;
}

function* usesOf(tx: Transaction, quota: Quota, placed: readonly Pick<StoredJob, "queue">[]): Program<readonly Use[]> {
  const counts = new Map<string, number>();
  for (const { queue } of placed) counts.set(queue, (counts.get(queue) ?? 0) + 1);
  const uses: Use[] = [];
  for (const [queue, count] of counts) {
    if (count > quota.max) throw tooMany(quota, count);
    const of = kind<QuotaUse>("quota", queue);
    const before = yield* getCell(of, quota.subject);
    uses.push({ of, before, used: usedNow(before, quota, tx.now), count });
  }
  return uses;
}

/**
 * Returns the part of the quota that is still used at `now`. In integers: a job uses `perMs` of `max` × `perMs`, and
 * each millisecond gives `max` back, so no rounding errors add up. Time that runs backwards counts as 0 (R18).
 */
function usedNow(use: QuotaUse | undefined, { max, perMs }: Quota, now: number): number {
  if (!use) return 0;
  const elapsed = Math.min(Math.max(0, now - use.at), perMs);
  // The last given quota applies.
  const used = use.perMs === perMs ? use.used : Math.ceil((use.used / use.perMs) * perMs);
  return Math.max(0, Math.min(used, max * perMs) - elapsed * max);
}

/** Returns the ms until the quota has room for all jobs of the call; 0 if it has now. */
const waitFor = ({ used, count }: Use, { max, perMs }: Quota): number =>
  Math.ceil(Math.max(0, used + count * perMs - max * perMs) / max);

function* save(tx: Transaction, quota: Quota, { of, before, used, count }: Use): Program<void> {
  const { max, perMs, subject } = quota;
  const next = used + count * perMs;
  yield* putCells(of, [[subject, { used: next, perMs, at: tx.now, until: tx.now + Math.ceil(next / max) }]]);
  if (!before) yield* sweepCells(of, subject, tx.now);
}

function checkQuota({ subject, max, perMs }: Quota): void {
  checkName(subject, "quota.subject");
  const whole = [max, perMs].every((number) => Number.isSafeInteger(number) && number > 0);
  if (whole && Number.isSafeInteger(max * perMs)) return;
  throw new QuaysideError(
    "invalid_option",
    `quota must be a whole number of jobs within a whole number of milliseconds, both from 1 and their product below 2^53, got ${max} within ${perMs}.`,
    { option: "quota" },
  );
}

const exceeded = ({ max, perMs }: Quota, retryAfterMs: number) =>
  new QuaysideError("rate_limited", `The quota of ${max} jobs within ${perMs} ms is used up.`, {
    retryAfterMs,
    limit: max,
    perMs,
  });

const tooMany = ({ max, perMs }: Quota, count: number) =>
  new QuaysideError("too_large", `At most ${max} jobs at once fit into the quota (${perMs} ms), got ${count}.`, {
    limit: max,
  });
