import { type CellKind, getCell, kind, putCells, sweepCells } from "../engine/cells.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { EnqueueReceipt, NumberedRequest } from "../engine/verbs.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { QuaysideError } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import type { NewJob } from "../job/new-job.ts";

/** Idempotency records (R7): a numbered request that is sent again is answered as before, and adds nothing. */
export const idempotency: Plugin = {
  name: "idempotency",
  quietCells: ["mark"],
  once(tx, jobs, request, work) {
    tx.used.add(idempotency.name);
    return runOnce(tx, jobs, request, work);
  },
};

/** The outcome of the last numbered request of a sender (R7). */
export interface Mark {
  readonly number: number;
  readonly digest: string;
  readonly receipts: readonly EnqueueReceipt[];
  readonly until: number;
  /** The requests before the last one, oldest first, a bounded number of them. */
  readonly past?: readonly (readonly [number: number, digest: string])[];
}

/** The records of numbered requests, by sender. */
const MARKS = kind<Mark>("mark");

/** Requests before the last one that a mark remembers, by number and digest: what a restored profile may send again. */
const PAST = 100;

/**
 * Does the work of a numbered request once (R7): a repeat of the last number with the same digest answers the same and
 * does nothing; with another digest, or an older number, it is refused. An older one that is remembered, of jobs with
 * ids of their sender's, has been done: a profile restored from a copy goes through its numbers again (R27).
 */
export function* runOnce(
  tx: Transaction,
  jobs: readonly NewJob[],
  request: NumberedRequest | undefined,
  work: () => Program<readonly EnqueueReceipt[]>,
  marks = MARKS,
): Program<readonly EnqueueReceipt[]> {
  if (!request) return yield* work();
  const { sender, number, digest, ttlMs = DEFAULTS.markMs } = request;
  const { mark, receipts: known } = yield* findOutcome(tx, jobs, request, marks);
  if (known) return known;
  const receipts = yield* work();
  const next: Mark = { number, digest, receipts, until: tx.now + ttlMs };
  const past = mark && [...(mark.past ?? []), [mark.number, mark.digest] as const].slice(-PAST);
  yield* putCells(marks, [[sender, past ? { ...next, past } : next]]);
  yield* sweepCells(marks, sender, tx.now);
  return receipts;
}

/**
 * Finds the answer to a request that was made before. Without `receipts` it was not made.
 *
 * @throws {QuaysideError} `mark_conflict` where the number was used for something else, `stale_exchange` where later
 * ones were made and this one is not remembered.
 */
export function* findOutcome(
  tx: Transaction,
  jobs: readonly NewJob[],
  { sender, number, digest }: NumberedRequest,
  marks: CellKind<Mark>,
): Program<{ readonly mark?: Mark | undefined; readonly receipts?: readonly EnqueueReceipt[] }> {
  checkName(sender, "sender");
  const mark = yield* getCell(marks, sender);
  if (mark && mark.until > tx.now) {
    if (number < mark.number) {
      const done = mark.past?.some(([before, of]) => before === number && of === digest);
      const ids = jobs.flatMap(({ id }) => id ?? []);
      if (done && ids.length === jobs.length) return { mark, receipts: ids.map((id) => ({ id, deduplicated: true })) };
      throw new QuaysideError("stale_exchange", `Request ${number} came after request ${mark.number}.`, {
        number,
        last: mark.number,
      });
    }
    if (number === mark.number) {
      if (digest === mark.digest) return { mark, receipts: mark.receipts };
      throw new QuaysideError("mark_conflict", `Request ${number} was made before with other content.`, { number });
    }
  }
  return { mark };
}
