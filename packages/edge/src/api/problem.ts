import { type ErrorCode, QuaysideError } from "@quayside/core";

/**
 * An error as the API answers it: problem details (RFC 9457). Branch on `code`; `title` and `detail` are for people.
 *
 * @example
 * { "type": "about:blank", "title": "Unprocessable Content", "status": 422, "code": "invalid_payload",
 *   "detail": "The payload of job email does not fit its schema.",
 *   "errors": [{ "path": "payload.to", "message": "Invalid email address" }] }
 */
export interface Problem {
  /** `about:blank`: the problem has no more to it than its status and its `code`. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  /** Which fields of the request were wrong. */
  readonly errors?: readonly FieldError[];
  /** More fields of the error: its job or option. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** `path` leads from the body's root: `payload.to`, `[3].options.delay`; empty means the body as a whole. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

/** The HTTP status of every error that can leave the API. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  bad_request: 400,
  unsupported_version: 400,
  invalid_option: 400,
  unauthorized: 401,
  forbidden: 403,
  subject_required: 403,
  wrong_subject: 403,
  job_not_found: 404,
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
  result_too_large: 413,
  rate_limited: 429,
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
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  507: "Insufficient Storage",
};

/** Codes whose message was written for the caller. Others may tell of the server's inside: their message stays here. */
const isForCallers = (status: number) => status < 500 || status === 507;

/** Thrown when fields of a request are wrong; the API names each of them. */
export class FieldsError extends QuaysideError {
  override readonly name = "FieldsError";
  readonly errors: readonly FieldError[];
  constructor(code: ErrorCode, message: string, errors: readonly FieldError[]) {
    super(code, message);
    this.errors = errors;
  }
}

/** The answer to whatever was thrown. Never a stack, never the message of an error that is not Quayside's own. */
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

/** Details that say which part of a call was done all the same: which jobs are stored, which shards have done it. */
const PARTS = ["stored", "ids", "done", "shards", "cause"];

function partsOf({ details }: QuaysideError): Pick<Problem, "details"> {
  if (!Array.isArray(details["stored"] ?? details["done"])) return {};
  return { details: Object.fromEntries(Object.entries(details).filter(([name]) => PARTS.includes(name))) };
}

/** The fields that were wrong: as the API found them, or the option that core names. */
function fieldsOf(error: QuaysideError): readonly FieldError[] | undefined {
  if (error instanceof FieldsError) return error.errors;
  const { option } = error.details;
  return typeof option === "string" ? [{ path: option, message: error.message }] : undefined;
}

/** @param headers more headers, e.g. `WWW-Authenticate`. */
export function problemResponse(thrown: unknown, headers: Readonly<Record<string, string>> = {}): Response {
  const problem = problemOf(thrown);
  const retryAfterMs = problem.details?.["retryAfterMs"];
  return new Response(JSON.stringify(problem), {
    status: problem.status,
    headers: {
      "content-type": "application/problem+json",
      "cache-control": "no-store",
      // In whole seconds (RFC 9110, 10.2.3): the details say it to the millisecond.
      ...(typeof retryAfterMs === "number" && { "retry-after": `${Math.ceil(retryAfterMs / 1_000)}` }),
      ...headers,
    },
  });
}

/** `[3].options.delay` from its parts. */
export function joinPath(root: string, parts: readonly PropertyKey[]): string {
  return parts.reduce<string>((path, part) => {
    if (typeof part === "number") return `${path}[${part}]`;
    return path === "" ? String(part) : `${path}.${String(part)}`;
  }, root);
}

/** The first few of the errors, for `detail`. */
export function summary(errors: readonly FieldError[]): string {
  const shown = errors.slice(0, 3).map(({ path, message }) => (path === "" ? message : `${path}: ${message}`));
  return errors.length > 3 ? `${shown.join("; ")}; and ${errors.length - 3} more` : shown.join("; ");
}
