import { toMs } from "../job/duration.ts";
import { hasCode, invalidOption, isA, RetryAfterError } from "../job/errors.ts";
import type { BackoffFunction } from "../job/handler.ts";
import type { JobRecord } from "../job/record.ts";
import { retryDelay } from "../job/retry.ts";

/** What a definition says of the errors of its jobs: functions, so not stored with them. */
export interface RetryPolicy {
  readonly retryIf?: ((error: unknown, attempt: number) => boolean) | undefined;
  readonly backoff?: BackoffFunction | undefined;
}

export interface FailedAttempt {
  readonly job: JobRecord;
  readonly error: unknown;
  /** A timeout counts as an attempt but not as an exception. */
  readonly timedOut: boolean;
  readonly now: number;
  /** In [0, 1). */
  readonly random: number;
}

/**
 * Ms until the next attempt; undefined when the job has failed for good. What ends a job goes before what delays it; of
 * the delays the error's own word (`RetryAfterError`, an HTTP `Retry-After`) goes first, then a backoff stored with the
 * job, then the definition's function, then the default.
 *
 * @throws what the policy's functions throw.
 */
export function decideRetry(failed: FailedAttempt, policy: RetryPolicy | undefined): number | undefined {
  const { job, error, timedOut, now, random } = failed;
  if (!timedOut && job.maxExceptions !== undefined && job.exceptions + 1 >= job.maxExceptions) return undefined;
  // The payload will not become readable by trying again, nor the result smaller.
  if (hasCode(error, "decryption_failed", "result_too_large")) return undefined;
  const retryMs = retryDelay(job, job.attempts, error, random);
  if (retryMs === undefined || atOnce(policy?.retryIf?.(error, job.attempts), "retryIf") === false) return undefined;
  if (isA(RetryAfterError, error)) return retryMs;
  const asked = httpRetryAfter(error, now);
  if (asked !== undefined) return asked;
  if (!policy?.backoff || job.backoff) return retryMs;
  const delay = atOnce(policy.backoff(job.attempts, error), "backoff");
  return delay === "fail" ? undefined : toMs(delay, "backoff");
}

/** @throws {QuaysideError} for a promise: its answer would come too late, and its rejection would be unhandled. */
function atOnce<T>(answer: T, name: string): T {
  if (typeof (answer as { then?: unknown } | undefined)?.then !== "function") return answer;
  Promise.resolve(answer).catch(() => {});
  throw invalidOption(name, `${name} returned a promise. It must return its answer at once.`);
}

interface HasHeaders {
  readonly headers?: { get?(name: string): unknown };
}

/** Longest wait that a server may ask for. */
const LONGEST_MS = 86_400_000;

/**
 * The wait that a server asked for, where the error carries its response (or is one). An error that cannot be read, and a
 * header that is neither whole seconds nor a date, ask for nothing.
 */
function httpRetryAfter(error: unknown, now: number): number | undefined {
  try {
    if (hasCode(error, "rate_limited")) {
      const asked = Number(error.details["retryAfterMs"]);
      return asked >= 0 ? Math.min(asked, LONGEST_MS) : undefined;
    }
    const { headers, response } = error as HasHeaders & { readonly response?: HasHeaders };
    const ms = retryAfterMs((headers ?? response?.headers)?.get?.("retry-after"), now);
    return ms === undefined ? undefined : Math.min(ms, LONGEST_MS);
  } catch {
    return undefined;
  }
}

/**
 * Ms that a `Retry-After` header asks for: whole seconds, or the time until an HTTP date (0 when it is past). Undefined
 * for anything else, which `Date.parse` would take for a year.
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
export function retryAfterMs(header: unknown, now: number): number | undefined {
  if (typeof header !== "string") return undefined;
  const text = header.trim();
  if (/^\d{1,15}$/.test(text)) return Number(text) * 1_000;
  if (!/^[A-Z][a-z]{2,8},? .*\d\d:\d\d:\d\d/.test(text)) return undefined;
  const ms = Date.parse(text) - now;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}
