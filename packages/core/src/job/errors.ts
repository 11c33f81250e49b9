import { cutText, describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import * as LIMITS from "./limits.ts";

/**
 * Every error that Quayside throws or stores carries one of these codes. Branch on `code`: it is stable and survives
 * HTTP, RPC and storage, where `instanceof` does not.
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
  | "bad_request"
  | "route_not_found"
  | "method_not_allowed"
  | "in_progress"
  | "rate_limited"
  | "unsupported_version"
  | "internal";

/** Details of an error besides its message: the field or option that was wrong, the queue or job it is about. */
export interface ErrorDetails {
  readonly [field: string]: unknown;
}

/**
 * Thrown when Quayside itself refuses or cannot do something. `code` says what, `details` where.
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

/** Thrown when a settlement or a renewal comes from an attempt that no longer holds its job. The job is untouched. */
export class LeaseLostError extends QuaysideError {
  override readonly name = "LeaseLostError";
  constructor(id: string) {
    super("lease_lost", `The lease of job ${id} was lost: another worker may be running it.`, { id });
  }
}

/** Thrown when the site's storage is full. Nothing of what was to be written is there: it can be tried again. */
export class StorageFullError extends QuaysideError {
  override readonly name = "StorageFullError";
  constructor(message: string, details?: ErrorDetails, cause?: unknown) {
    super("storage_full", message, details, cause);
  }
}

/** Thrown by a handler to end its job as `failed` at once, whatever attempts are left. */
export class UnrecoverableError extends QuaysideError {
  override readonly name = "UnrecoverableError";
  constructor(message: string, cause?: unknown) {
    super("unrecoverable", message, {}, cause);
  }
}

/**
 * Thrown by a handler to have its job tried again after `delay`, whatever its backoff says. Making one with a delay that
 * is not a duration throws `invalid_option`, which then is the attempt's failure.
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

/** Whether it is an error of Quayside's with one of these codes. */
export const hasCode = (error: unknown, ...codes: readonly ErrorCode[]): error is QuaysideError =>
  isA(QuaysideError, error) && codes.includes(error.code);

/** The error for an option that cannot be meant. */
export const invalidOption = (option: string, message: string): QuaysideError =>
  new QuaysideError("invalid_option", message, { option });

/** The error for a value that an option may not have: it names the option, says what is allowed, and shows the value. */
export const refused = (option: string, rule: string, value: unknown): QuaysideError =>
  invalidOption(
    option,
    `${option} ${rule}, got ${cutText(typeof value === "string" ? JSON.stringify(value) : describe(value), 200)}.`,
  );

/** `instanceof` for a value that may refuse to be looked at (a revoked proxy throws). */
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

/** Returns a field of a thrown error; undefined where its getter throws. */
export function fieldOf(thrown: Error, field: string): unknown {
  try {
    return (thrown as unknown as Record<string, unknown>)[field];
  } catch {
    return undefined;
  }
}
