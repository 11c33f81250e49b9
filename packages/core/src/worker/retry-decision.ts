import { toMs } from "../job/duration.ts";
import { type ErrorCode, QuaysideError, RetryAfterError } from "../job/errors.ts";
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

/** The payload will not become readable by trying again. */
const FINAL: ReadonlySet<ErrorCode> = new Set(["decryption_failed"]);

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
  if (error instanceof QuaysideError && FINAL.has(error.code)) return undefined;
  const retryMs = retryDelay(job, job.attempts, error, random);
  if (retryMs === undefined || policy?.retryIf?.(error, job.attempts) === false) return undefined;
  if (error instanceof RetryAfterError) return retryMs;
  const asked = httpRetryAfter(error, now);
  if (asked !== undefined) return asked;
  if (!policy?.backoff || job.backoff) return retryMs;
  const delay = policy.backoff(job.attempts, error);
  return delay === "fail" ? undefined : toMs(delay, "backoff");
}

interface HasHeaders {
  readonly headers?: { get?(name: string): string | null };
}

/** Longest wait that a server may ask for. */
const LONGEST_MS = 86_400_000;

/**
 * What a server asked for, where the error carries its response (or is one): seconds or a date.
 * @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
function httpRetryAfter(error: unknown, now: number): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if (error instanceof QuaysideError && error.code === "rate_limited") {
    const asked = Number(error.details["retryAfterMs"]);
    return asked >= 0 ? Math.min(asked, LONGEST_MS) : undefined;
  }
  const { headers, response } = error as HasHeaders & { readonly response?: HasHeaders };
  const bearer = headers ?? response?.headers;
  if (typeof bearer?.get !== "function") return undefined;
  const value = bearer.get("retry-after");
  if (!value) return undefined;
  const ms = /^\d+$/.test(value.trim()) ? Number(value) * 1_000 : Date.parse(value) - now;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(0, ms), LONGEST_MS);
}
