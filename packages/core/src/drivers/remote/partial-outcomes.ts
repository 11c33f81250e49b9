import type { EnqueueReceipt } from "../../engine/verbs.ts";
import { isA, QuaysideError } from "../../job/errors.ts";
import type { NewJob } from "../../job/new-job.ts";

/** The outcome of one job: its receipt, or the error after which it is unknown whether the job is stored. */
interface Outcome {
  readonly receipt: EnqueueReceipt | undefined;
  readonly error: unknown;
}

/**
 * The outcomes of the jobs of calls that were stored only in part. A caller of such a call asks again with the same job
 * objects, and gets their outcomes without sending anything again. Several callers may share a call.
 */
export class Outcomes {
  readonly #outcomes = new WeakMap<NewJob, Outcome>();

  /**
   * Records the outcomes of a call. A job that was refused or not sent has no outcome and may be sent again.
   *
   * @param receipts by index of the job; undefined for a job without one.
   * @param errors by index, the errors of the jobs that were sent and have no receipt.
   */
  note(
    jobs: readonly NewJob[],
    receipts: readonly (EnqueueReceipt | undefined)[],
    errors: readonly (unknown | undefined)[],
  ): void {
    for (const [index, job] of jobs.entries()) {
      const receipt = receipts[index];
      const error = errors[index];
      if (receipt ?? (error !== undefined && isTrouble(error))) this.#outcomes.set(job, { receipt, error });
    }
  }

  /**
   * Returns the receipts of recorded jobs, and removes the record; undefined if some of the jobs are not recorded.
   *
   * @throws the error of the first job without a receipt; `details.stored` lists the stored jobs by index in `jobs`.
   */
  take(jobs: readonly NewJob[]): readonly EnqueueReceipt[] | undefined {
    const outcomes = jobs.map((job) => this.#outcomes.get(job));
    if (outcomes.length === 0 || outcomes.includes(undefined)) return undefined;
    for (const job of jobs) this.#outcomes.delete(job);
    const receipts = outcomes.map((outcome) => outcome?.receipt);
    const broken = outcomes.find((outcome) => !outcome?.receipt);
    if (broken) throw storedInPart(broken.error, receipts);
    return receipts as readonly EnqueueReceipt[];
  }
}

const STORED = / Of the call's jobs \d+ are stored.*$/;

/** Returns the error with a list of the jobs that are stored although the call failed. */
export function storedInPart(error: unknown, receipts: readonly (EnqueueReceipt | undefined)[]): unknown {
  const stored = [...receipts.keys()].filter((index) => receipts[index] !== undefined);
  const { code, message, details } =
    error instanceof QuaysideError ? error : new QuaysideError("internal", "A part of the call failed.");
  const { stored: others, ids: _, cause = code, ...rest } = details;
  if (stored.length === 0)
    return others === undefined ? error : new QuaysideError(code, message.replace(STORED, ""), rest, error);
  return new QuaysideError(
    // Not the original code: some jobs are stored, and repeating the call without a number would add them twice.
    code === "network" ? code : "internal",
    `${message.replace(STORED, "")} Of the call's jobs ${stored.length} are stored.`,
    { ...rest, cause, stored, ids: stored.map((index) => receipts[index]?.id) },
    error,
  );
}

/** Error codes whose cause is the called server or object, not the request: see `isTrouble`. */
const TROUBLES: ReadonlySet<string> = new Set([
  "network",
  "internal",
  "storage_unavailable",
  "storage_full",
  "rate_limited",
  "queue_full",
  "unsupported_version",
  "timeout",
  "unauthorized",
  "forbidden",
]);

/** Returns whether an error concerns the called server or object: the same request may succeed later or elsewhere. */
export const isTrouble = (error: unknown): boolean =>
  isA(QuaysideError, error) ? TROUBLES.has(error.code) || error.details["bare"] === true : !isUnclonable(error);

const isUnclonable = (error: unknown): boolean => isA(Error, error) && error.name === "DataCloneError";
