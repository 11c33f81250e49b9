import { cutText, describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import * as LIMITS from "./limits.ts";

/**
 * Codes of the errors that Quayside throws or stores. Branch on `code`: it is stable and is kept by HTTP, RPC and
 * storage, unlike the class.
 */
export type ErrorCode =
  | "invalid_option"
  | "invalid_payload"
  | "payload_too_large"
  | "invalid_result"
  | "result_too_large"
  | "unknown_job"
  | "job_not_found"
  | "conflict"
  | "lease_lost"
  | "timeout"
  | "cancelled"
  | "expired"
  | "interrupted"
  | "handler_failed"
  | "unrecoverable"
  | "child_failed"
  | "child_exists"
  | "missing_key"
  | "decryption_failed"
  | "mark_conflict"
  | "retry_after"
  | "stale_exchange"
  | "closed"
  | "storage_full"
  | "storage_unavailable"
  | "network"
  | "unauthorized"
  | "forbidden"
  | "subject_required"
  | "wrong_subject"
  | "too_large"
  | "unsupported_media_type"
  | "bad_request"
  | "route_not_found"
  | "method_not_allowed"
  | "in_progress"
  | "rate_limited"
  | "unsupported_version"
  | "internal";

/** Further fields of an error, such as the refused field or option, or the queue or job. */
export interface ErrorDetails {
  readonly [field: string]: unknown;
}

/**
 * Thrown when Quayside refuses or cannot do something. `code` is the cause; `details` has further fields.
 *
 * @example
 * try { await queue.addJob("email", payload) } catch (error) {
 *   if (error instanceof QuaysideError && error.code === "invalid_payload") show(error.details);
 * }
 */
export class QuaysideError extends Error {
  override readonly name: string = "QuaysideError";
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.details = details;
  }
}

/** Thrown when an attempt settles or renews a job that it no longer holds. The job is unchanged. */
export class LeaseLostError extends QuaysideError {
  override readonly name = "LeaseLostError";
  constructor(id: string) {
    super("lease_lost", `The lease of job ${id} was lost: another worker may be running it.`, { id });
  }
}

/** Thrown when the site's storage is full. Nothing was written; the call may be repeated. */
export class StorageFullError extends QuaysideError {
  override readonly name = "StorageFullError";
  constructor(message: string, details?: ErrorDetails, cause?: unknown) {
    super("storage_full", message, details, cause);
  }
}

/** Throw it in a handler to end the job as `failed` at once, even if attempts are left. */
export class UnrecoverableError extends QuaysideError {
  override readonly name = "UnrecoverableError";
  constructor(message: string, cause?: unknown) {
    super("unrecoverable", message, {}, cause);
  }
}

/**
 * Throw it in a handler to retry the job after `delay`, in place of its backoff. The constructor throws
 * `invalid_option` for an invalid delay, which then is the attempt's failure.
 */
export class RetryAfterError extends QuaysideError {
  override readonly name = "RetryAfterError";
  readonly delay: Duration;
  constructor(delay: Duration, message = "To be tried again later.", cause?: unknown) {
    toMs(delay, "RetryAfterError.delay");
    super("retry_after", message, { delay }, cause);
    this.delay = delay;
  }
}

/** Returns whether an error is a `QuaysideError` with one of these codes. */
export const hasCode = (error: unknown, ...codes: readonly ErrorCode[]): error is QuaysideError =>
  isA(QuaysideError, error) && codes.includes(error.code);

/** Creates the error for an option that is invalid. */
export const invalidOption = (option: string, message: string): QuaysideError =>
  new QuaysideError("invalid_option", message, { option });

/** Creates the error for an invalid value of an option. Its message has the option, the rule and the value. */
export const refused = (option: string, rule: string, value: unknown): QuaysideError =>
  invalidOption(
    option,
    `${option} ${rule}, got ${cutText(typeof value === "string" ? JSON.stringify(value) : describe(value), 200)}.`,
  );

/** Returns whether a value is an instance of a class. False if the check itself throws, as for a revoked proxy. */
export function isA<T>(type: abstract new (...args: never) => T, value: unknown): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/** Returns the message of a thrown value, at most `LIMITS.errorTextBytes` long. Never throws. */
export const messageOf = (thrown: unknown): string =>
  cutText(describe(isA(Error, thrown) ? fieldOf(thrown, "message") : thrown), LIMITS.errorTextBytes);

/** Returns a field of a thrown error, or undefined if its getter throws. */
export function fieldOf(thrown: Error, field: string): unknown {
  try {
    return (thrown as unknown as Record<string, unknown>)[field];
  } catch {
    return undefined;
  }
}
