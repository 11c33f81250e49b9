import type { EnqueueReceipt } from "../../engine/verbs.ts";
import { isA, QuaysideError } from "../../job/errors.ts";
import type { NewJob } from "../../job/new-job.ts";

/** A job's receipt, or the error by which it is not known whether the job is stored. */
type Outcome = { readonly receipt: EnqueueReceipt } | { readonly error: unknown };

/**
 * The outcome of each job of a call that was stored in part. Several callers may share such a call: each asks again with
 * its own jobs, the same objects, and gets what became of those. Nothing is sent again.
 */
export class Outcomes {
  readonly #outcomes = new WeakMap<NewJob, Outcome>();

  /**
   * Notes the outcomes of a call, by position. A job that was refused, or not sent, has none: it may be sent again.
   *
   * @param errors of the jobs that were sent and have no receipt.
   */
  note(
    jobs: readonly NewJob[],
    receipts: readonly (EnqueueReceipt | undefined)[],
    errors: readonly (unknown | undefined)[],
  ): void {
    for (const [index, job] of jobs.entries()) {
      const receipt = receipts[index];
      const error = errors[index];
      if (receipt) this.#outcomes.set(job, { receipt });
      else if (error !== undefined && isTrouble(error)) this.#outcomes.set(job, { error });
    }
  }

  /**
   * The receipts of jobs that were noted, once; undefined where some were not.
   *
   * @throws the error of the first that has no receipt; `details.stored` are those that have, by position in `jobs`.
   */
  take(jobs: readonly NewJob[]): readonly EnqueueReceipt[] | undefined {
    const outcomes = jobs.map((job) => this.#outcomes.get(job));
    if (outcomes.length === 0 || outcomes.includes(undefined)) return undefined;
    for (const job of jobs) this.#outcomes.delete(job);
    const receipts = outcomes.map((outcome) => (outcome && "receipt" in outcome ? outcome.receipt : undefined));
    const broken = outcomes.find((outcome) => outcome && "error" in outcome);
    if (broken && "error" in broken) throw storedInPart(broken.error, receipts);
    return receipts as readonly EnqueueReceipt[];
  }
}

const STORED = / Of the call's jobs \d+ are stored.*$/;

/** The error, and where some of the jobs are stored nevertheless, which. */
export function storedInPart(error: unknown, receipts: readonly (EnqueueReceipt | undefined)[]): unknown {
  const stored = [...receipts.keys()].filter((index) => receipts[index] !== undefined);
  const { code, message, details } =
    error instanceof QuaysideError ? error : new QuaysideError("internal", "A part of the call failed.");
  const { stored: others, ids: _, cause = code, ...rest } = details;
  if (stored.length === 0)
    return others === undefined ? error : new QuaysideError(code, message.replace(STORED, ""), rest, error);
  return new QuaysideError(
    // Not for what the jobs are: some of them stand, and who tries again without a number adds them twice.
    code === "network" ? code : "internal",
    `${message.replace(STORED, "")} Of the call's jobs ${stored.length} are stored.`,
    { ...rest, cause, stored, ids: stored.map((index) => receipts[index]?.id) },
    error,
  );
}

/** Codes of errors that come from the place that was asked, not from the request. */
const TROUBLES: ReadonlySet<string> = new Set([
  "network",
  "internal",
  "storage_unavailable",
  "storage_full",
  "rate_limited",
  "unsupported_version",
  "timeout",
  "unauthorized",
  "forbidden",
]);

/** Returns whether an error comes from the place that was asked: the same request may succeed later, or at another place. */
export const isTrouble = (error: unknown): boolean =>
  isA(QuaysideError, error) ? TROUBLES.has(error.code) || error.details["bare"] === true : !isUnclonable(error);

const isUnclonable = (error: unknown): boolean => isA(Error, error) && error.name === "DataCloneError";
