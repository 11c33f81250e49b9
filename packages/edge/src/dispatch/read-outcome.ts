import { type JobRecord, LIMITS, QuaysideError } from "@quayside/core";
import { LONGEST_DURATION_MS } from "@quayside/core/engine";
import { reviveFailure, type SentFailure } from "./sent-failure.ts";

/** The outcome of an attempt in a consumer, with the error as an `Error` and the result as a JSON value. */
export type ReadOutcome =
  | { readonly outcome: "completed"; readonly result: unknown }
  | { readonly outcome: "failed"; readonly error: Error }
  | { readonly outcome: "released"; readonly delayMs: number; readonly fault?: Error | undefined }
  | { readonly outcome: "unknown" };

/**
 * Checks a consumer's reply, which may come from any entrypoint or another version. `delayMs` of a released job
 * defaults to 0; the store lengthens the delay of repeated releases (R40).
 *
 * @throws {QuaysideError} `network` if the reply is not a `JobOutcome`; the attempt then fails and counts.
 */
export function readOutcome(answer: unknown, job: JobRecord): ReadOutcome {
  if (typeof answer !== "object" || answer === null) throw unreadable(job, named(answer));
  const { outcome, result, failure, delayMs = 0, fault } = answer as Fields;
  switch (outcome) {
    case "completed":
      return { outcome, result: resultOf(result, job) };
    case "failed":
      return { outcome, error: errorOf(failure, job) };
    case "released":
      if (typeof delayMs !== "number" || !(delayMs >= 0 && delayMs <= LONGEST_DURATION_MS))
        throw unreadable(job, "a release whose delay is not a number of ms from 0 to 100 years");
      return { outcome, delayMs, ...(fault !== undefined && { fault: errorOf(fault, job) }) };
    case "unknown":
      return { outcome };
    default:
      throw unreadable(job, outcome === undefined ? "an object without an outcome" : "an object with another outcome");
  }
}

type Fields = { readonly [Field in "outcome" | "result" | "failure" | "delayMs" | "fault"]?: unknown };

function resultOf(text: unknown, job: JobRecord): unknown {
  if (text === undefined) return undefined;
  try {
    if (typeof text === "string") return JSON.parse(text);
  } catch {
    // Invalid JSON is refused below.
  }
  throw unreadable(job, "a result that is no JSON text");
}

function errorOf(failure: unknown, job: JobRecord): Error {
  const sent = failure as Partial<SentFailure> | null | undefined;
  try {
    if (typeof sent?.code === "string" && sent.code.length <= LIMITS.nameLength && typeof sent.message === "string")
      return reviveFailure(sent as SentFailure);
  } catch {
    // An invalid delay or header is refused below.
  }
  throw unreadable(job, "a failure without a readable error");
}

/** Returns the type of a value, not the value, which may be plaintext of an encrypted job (R36). */
const named = (answer: unknown): string =>
  answer === undefined ? "nothing" : answer === null ? "null" : `a ${typeof answer}`;

const unreadable = ({ name }: JobRecord, what: string) =>
  new QuaysideError(
    "network",
    `The consumer of job ${JSON.stringify(name)} answered ${what}, so the attempt failed. Export a class made by jobConsumer, of the same version, and do not change what its runJob answers.`,
    { job: name },
  );
