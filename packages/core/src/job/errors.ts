import { cutText, describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import type { PayloadIssue } from "./job-map.ts";
import * as LIMITS from "./limits.ts";

/** Codes of errors that calls of a queue, worker or driver throw, also over HTTP and RPC. */
export type ThrownCode =
  | "invalid_option"
  | "invalid_payload"
  | "payload_too_large"
  | "unknown_job"
  | "job_not_found"
  | "conflict"
  | "child_exists"
  | "mark_conflict"
  | "stale_exchange"
  | "lease_lost"
  | "missing_key"
  | "decryption_failed"
  | "cancelled"
  | "timeout"
  | "closed"
  | "queue_full"
  | "storage_full"
  | "storage_unavailable"
  | "network"
  | "internal";

/**
 * Codes with which attempts and jobs end, in `job.error.code`. A handler that throws a `QuaysideError` with another code
 * stores that one.
 */
export type StoredCode =
  | "handler_failed"
  | "unrecoverable"
  | "retry_after"
  | "invalid_payload"
  | "invalid_result"
  | "result_too_large"
  | "unknown_job"
  | "timeout"
  | "cancelled"
  | "expired"
  | "interrupted"
  | "child_failed"
  | "missing_key"
  | "decryption_failed";

/** Codes that only the HTTP API answers, in addition to those that calls throw; `httpDriver` throws them. */
export type HttpCode =
  | "unauthorized"
  | "forbidden"
  | "subject_required"
  | "wrong_subject"
  | "too_large"
  | "unsupported_media_type"
  | "bad_request"
  | "queue_not_found"
  | "route_not_found"
  | "method_not_allowed"
  | "in_progress"
  | "rate_limited"
  | "unsupported_version";

/**
 * Codes of errors that Quayside throws, stores or answers. Branch on `code`: it is stable and is kept by HTTP, RPC and
 * storage, unlike the class.
 */
export type ErrorCode = ThrownCode | StoredCode | HttpCode;

/** The fields of `details` that errors with a code have, the same locally and over HTTP. */
export interface DetailsByCode {
  /** Name of the refused option; undefined if no option can be named. */
  readonly invalid_option: { readonly option?: string | undefined };
  /** The wrong fields, with paths that begin at the payload. */
  readonly invalid_payload: { readonly issues: readonly PayloadIssue[]; readonly job?: string | undefined };
  readonly invalid_result: { readonly issues: readonly PayloadIssue[]; readonly job?: string | undefined };
  readonly payload_too_large: {
    readonly bytes: number;
    readonly limit: number;
    readonly job?: string | undefined;
  };
  readonly result_too_large: { readonly bytes: number; readonly limit: number };
  readonly too_large: { readonly limit?: number | undefined };
  readonly unknown_job: { readonly job?: string | undefined };
  readonly job_not_found: { readonly id: string; readonly queue?: string | undefined };
  readonly queue_not_found: { readonly queue: string };
  readonly child_exists: { readonly queue: string; readonly id: string };
  readonly rate_limited: { readonly retryAfterMs?: number | undefined; readonly limit?: number | undefined };
  readonly queue_full: { readonly queue: string; readonly limit: number; readonly retryAfterMs: number };
  /** The wrong fields of the request, with paths that begin at its body or query. */
  readonly bad_request: { readonly issues?: readonly PayloadIssue[] | undefined };
  readonly network: { readonly retryAfterMs?: number | undefined };
  readonly stale_exchange: { readonly last?: number | undefined };
}

/**
 * The fields of `details` for a code. All errors of a list of jobs have `at`, such as `jobs[3]`; errors of an HTTP API
 * have its `status`.
 */
export type DetailsOf<Code extends ErrorCode> = ErrorDetails & {
  readonly at?: string | undefined;
  readonly status?: number | undefined;
} & (Code extends keyof DetailsByCode ? DetailsByCode[Code] : unknown);

/** A `QuaysideError` with one of some codes: a union that `code` narrows. */
export type QuaysideErrorOf<Code extends ErrorCode> = Code extends ErrorCode
  ? QuaysideError & { readonly code: Code; readonly details: DetailsOf<Code> }
  : never;

/** Further fields of an error, such as the refused field or option, or the queue or job. */
export interface ErrorDetails {
  readonly [field: string]: unknown;
}

/**
 * Thrown when Quayside refuses or cannot do something. `code` is the cause; `details` has further fields, which
 * `isQuaysideError` types.
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

/**
 * Returns whether an error is a `QuaysideError`, with one of these codes if any are given. Types `code` and `details`.
 *
 * @example
 * try { await queue.addJob("email", payload) } catch (error) {
 *   if (!isQuaysideError(error, "invalid_payload")) throw error;
 *   for (const { path, message } of error.details.issues) show(path, message);
 * }
 */
export const isQuaysideError = <Code extends ErrorCode = ErrorCode>(
  error: unknown,
  ...codes: readonly Code[]
): error is QuaysideErrorOf<Code> => isA(QuaysideError, error) && (!codes[0] || codes.includes(error.code as Code));

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
