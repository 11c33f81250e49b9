import { type ErrorCode, type ErrorDetails, QuaysideError } from "@quayside/core";

/**
 * An error response of the API: problem details (RFC 9457). Branch on `code`; `title` and `detail` are texts for
 * people.
 *
 * @example
 * { "type": "about:blank", "title": "Unprocessable Content", "status": 422, "code": "invalid_payload",
 *   "detail": "The payload of job email does not fit its schema.",
 *   "errors": [{ "path": "payload.to", "message": "Invalid email address" }],
 *   "details": { "job": "email", "issues": [{ "path": "to", "message": "Invalid email address" }] } }
 */
export interface Problem {
  /** Always `about:blank`, because `status` and `code` identify the problem. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  /** The wrong fields of the request. */
  readonly errors?: readonly FieldError[] | undefined;
  /** The error's own details, as a local queue throws them: its job, option, issues, or the place of a job (`at`). */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * A wrong field of a request. `path` starts at the body's root: `payload.to`, `[3].options.delay`; empty means the
 * whole body.
 */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** The HTTP status of each error code that the API answers. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  bad_request: 400,
  unsupported_version: 400,
  invalid_option: 400,
  unauthorized: 401,
  forbidden: 403,
  subject_required: 403,
  wrong_subject: 403,
  job_not_found: 404,
  queue_not_found: 404,
  route_not_found: 404,
  method_not_allowed: 405,
  conflict: 409,
  stale_exchange: 409,
  in_progress: 409,
  child_exists: 409,
  mark_conflict: 422,
  lease_lost: 409,
  cancelled: 409,
  expired: 409,
  payload_too_large: 413,
  too_large: 413,
  unsupported_media_type: 415,
  result_too_large: 413,
  rate_limited: 429,
  queue_full: 429,
  invalid_payload: 422,
  invalid_result: 422,
  unknown_job: 422,
  handler_failed: 500,
  retry_after: 500,
  interrupted: 500,
  unrecoverable: 500,
  child_failed: 500,
  decryption_failed: 500,
  missing_key: 500,
  internal: 500,
  network: 502,
  closed: 503,
  storage_unavailable: 503,
  timeout: 504,
  storage_full: 507,
};

export const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  409: "Conflict",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  507: "Insufficient Storage",
};

/**
 * Returns whether errors with this status have messages for callers. Messages of other errors may reveal server
 * internals and are not sent.
 */
const isForCallers = (status: number) => status < 500 || status === 507;

/** Thrown when fields of a request are wrong. The API lists them in `errors`. */
export class FieldsError extends QuaysideError {
  override readonly name = "FieldsError";
  readonly errors: readonly FieldError[];
  constructor(code: ErrorCode, message: string, errors: readonly FieldError[], details?: ErrorDetails) {
    super(code, message, details);
    this.errors = errors;
  }
}

/** Converts a thrown value to problem details. Includes no stack, and no message of errors that are not Quayside's. */
function problemOf(thrown: unknown): Problem {
  const error = thrown instanceof QuaysideError ? thrown : new QuaysideError("internal", "");
  const status = STATUS[error.code] ?? 500;
  const title = TITLES[status] as string;
  const base = { type: "about:blank", title, status, code: error.code };
  if (!isForCallers(status))
    return { ...base, detail: `The server could not do this (${error.code}).`, ...partsOf(error) };
  const errors = fieldsOf(error);
  const { details } = error;
  return {
    ...base,
    detail: error.message,
    ...(errors && { errors }),
    ...(Object.keys(details).length > 0 && { details }),
  };
}

/** Fields of `details` that report which part of a failed call was done: the stored jobs, the shards that succeeded. */
const PARTS = ["stored", "ids", "done", "shards", "cause"];

function partsOf({ details }: QuaysideError): Pick<Problem, "details"> {
  if (!Array.isArray(details["stored"] ?? details["done"])) return {};
  return { details: Object.fromEntries(Object.entries(details).filter(([name]) => PARTS.includes(name))) };
}

/** Returns the wrong fields of an error: those of a `FieldsError`, or the option that core names. */
function fieldsOf(error: QuaysideError): readonly FieldError[] | undefined {
  if (error instanceof FieldsError) return error.errors;
  const { option } = error.details;
  return typeof option === "string" ? [{ path: option, message: error.message }] : undefined;
}

/**
 * Creates the HTTP response for a thrown value.
 *
 * @param headers further headers of the response, e.g. `WWW-Authenticate`.
 */
export function problemResponse(thrown: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  const problem = problemOf(thrown);
  const retryAfterMs = problem.details?.["retryAfterMs"];
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      // `Retry-After` is in whole seconds (RFC 9110, 10.2.3); `details` has the milliseconds.
      ...(typeof retryAfterMs === "number" && { "retry-after": `${Math.ceil(retryAfterMs / 1_000)}` }),
      ...headers,
    },
  });
}

/** Joins the parts of a field's path, for example to `[3].options.delay`. */
export function joinPath(root: string, parts: readonly PropertyKey[]): string {
  return parts.reduce<string>((path, part) => {
    if (typeof part === "number") return `${path}[${part}]`;
    return path === "" ? String(part) : `${path}.${String(part)}`;
  }, root);
}

/** Describes the first three errors in one text, for `detail`. */
export function summary(errors: readonly FieldError[]): string {
  const shown = errors.slice(0, 3).map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  return errors.length > 3 ? `${shown.join("; ")}; and ${errors.length - 3} more` : shown.join("; ");
}
