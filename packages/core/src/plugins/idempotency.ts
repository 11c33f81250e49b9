import { type CellKind, getCell, kind, putCells } from "../engine/cells.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program, Records } from "../engine/store.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { EnqueueReceipt, NumberedRequest } from "../engine/verbs.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { QuaysideError } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import type { NewJob } from "../job/new-job.ts";

/** Idempotency records (R7): a repeated numbered request returns the same receipts and adds nothing. */
export const idempotency: Plugin = {
  name: "idempotency",
  quietCells: ["mark"],
  lapsing: {
    collection: "cells",
    // "0" is the next character after "/": with the marks of shards and quotas.
    ranges: [{ from: ["mark"], to: ["mark0"] }],
    until: ({ value }: Records["cells"]) => (value as Mark).until,
  },
  once(tx, jobs, request, work) {
    tx.used.add(idempotency.name);
    return runOnce(tx, jobs, request, work);
  },
};

/** The record of a sender's last numbered request (R7). */
export interface Mark {
  readonly number: number;
  readonly digest: string;
  readonly receipts: readonly EnqueueReceipt[];
  readonly until: number;
  /** Requests before the last one, oldest first, limited in number. */
  readonly past?: readonly (readonly [number: number, digest: string])[] | undefined;
}

/** The records of numbered requests, by sender. */
const MARKS = kind<Mark>("mark");

/** Maximum number of earlier requests in `Mark.past`. A restored browser profile may repeat them. */
const PAST = 100;

/**
 * Runs the work of a numbered request once (R7). A repeat of the last number with the same digest gets the same
 * receipts; with another digest or an older number, the request is refused. An older request that is listed in `past`,
 * and whose jobs have the sender's ids, counts as done, because a restored browser profile repeats its requests (R27).
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
  tx.lapses(next.until);
  return receipts;
}

/**
 * Finds the receipts of a request that was already done. Without `receipts`, the request is new.
 *
 * @throws {QuaysideError} `mark_conflict` if the number was used for other jobs, `stale_exchange` if later requests
 * were made and this request is not listed in `past`.
 */
export function* findOutcome(
  tx: Transaction,
  jobs: readonly NewJob[],
  { sender, number, digest }: NumberedRequest,
  marks: CellKind<Mark>,
): Program<{ readonly mark?: Mark | undefined; readonly receipts?: readonly EnqueueReceipt[] | undefined }> {
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
