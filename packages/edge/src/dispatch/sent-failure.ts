import {
  type ErrorCode,
  isA,
  type Json,
  QuaysideError,
  RetryAfterError,
  SealedError,
  toMs,
  UnrecoverableError,
} from "@quayside/core";
import { SEALED, thrownIn, toStoredError } from "@quayside/core/engine";

/**
 * The error of a handler as plain data. An error thrown across RPC arrives as a bare `Error`, without its code, its
 * class and its delay of the next attempt, which the job's retry rules read.
 */
export interface SentFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly name?: string;
  readonly stack?: string;
  readonly details?: Readonly<Record<string, Json>>;
  /** The stored form of an encrypted job's error; `details` and `fields` are then absent (R36). */
  readonly sealed?: Readonly<Record<string, Json>>;
  /** Of a `RetryAfterError`, as it was given. */
  readonly delay?: Json;
  /** Its other fields, for example `status`, as far as JSON can hold them: `retryIf` and `backoff` may read them. */
  readonly fields?: Readonly<Record<string, Json>>;
  /** The `Retry-After` of the response that it carries. */
  readonly retryAfter?: string;
}

/** Longest field that travels, in characters of JSON. */
const FIELD_LIMIT = 2_000;

export function sendFailure(failure: unknown): SentFailure {
  const { code, message, name, stack, details: sealed } = toStoredError(failure);
  const thrown = thrownIn(failure);
  const retryAfter = readable(() => retryAfterOf(thrown));
  const details = !sealed && isA(QuaysideError, thrown) ? readable(() => Object.entries(thrown.details)) : undefined;
  const delay = isA(RetryAfterError, thrown) ? readable(() => toMs(thrown.delay, "delay")) : undefined;
  const fields =
    !sealed && isA(Error, thrown) ? readable(() => Object.keys(thrown).filter((key) => !OWN.has(key))) : undefined;
  return {
    code,
    message,
    ...(name !== undefined && { name }),
    ...(stack !== undefined && { stack }),
    ...(sealed && { sealed }),
    ...(details && { details: plain(details.map(([key, value]) => [key, () => value])) }),
    ...(delay !== undefined && { delay }),
    ...(retryAfter !== undefined && { retryAfter }),
    ...(fields && { fields: plain(fields.map((key) => [key, () => (thrown as Record<string, unknown>)[key]])) }),
  };
}

/** The error again, of the class that core's rules know it by. */
export function reviveFailure(sent: SentFailure): Error {
  const error = errorOf(sent);
  const { name = "Error", stack, fields, retryAfter } = sent;
  if (error.name !== name) Object.defineProperty(error, "name", { value: name, configurable: true });
  if (stack !== undefined) error.stack = stack;
  for (const key of Object.keys(fields ?? {}))
    if (!OWN.has(key)) Object.defineProperty(error, key, { value: fields?.[key], ...PLAIN });
  if (retryAfter !== undefined) Object.assign(error, { headers: new Headers({ "retry-after": retryAfter }) });
  return sent.sealed?.[SEALED] === undefined ? error : new SealedError(error, sent.sealed[SEALED]);
}

function errorOf({ code, message, details, delay }: SentFailure): Error {
  switch (code) {
    case "handler_failed":
      return new Error(message);
    case "unrecoverable":
      return new UnrecoverableError(message);
    case "retry_after":
      // Its delay could not be read: then it is a failure like any other.
      return delay === undefined ? new Error(message) : new RetryAfterError(delay as number, message);
    default:
      return new QuaysideError(code, message, details);
  }
}

/** Fields that travel by themselves, or not at all. */
const OWN: ReadonlySet<string> = new Set(["name", "message", "stack", "code", "details", "delay", "cause", "headers"]);

/** As an assignment makes them; but one to `__proto__` would give the error another prototype. */
const PLAIN = { enumerable: true, configurable: true, writable: true } as const;

/**
 * Returns the entries that JSON can hold, within the limit of size. The others are left out, so that they cannot
 * replace the error.
 */
function plain(entries: readonly (readonly [string, read: () => unknown])[]): Record<string, Json> {
  const kept: Record<string, Json> = {};
  for (const [key, read] of entries) {
    try {
      const text = JSON.stringify(read()) as string | undefined;
      if (text !== undefined && text.length <= FIELD_LIMIT) kept[key] = JSON.parse(text) as Json;
    } catch {
      // A cycle, a bigint, a getter that throws: it stays behind.
    }
  }
  return kept;
}

/** Undefined where reading throws: what a handler threw may refuse to be looked at. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

interface HasHeaders {
  readonly headers?: { get?(name: string): unknown };
}

/** Of an error that carries a response, or of a response that was thrown itself. */
function retryAfterOf(thrown: unknown): string | undefined {
  if (typeof thrown !== "object" || thrown === null) return undefined;
  const { headers, response } = thrown as HasHeaders & { readonly response?: HasHeaders };
  const bearer = headers ?? response?.headers;
  const header = typeof bearer?.get === "function" ? bearer.get("retry-after") : undefined;
  // What `Headers` would refuse is no header.
  return typeof header === "string" && /^[ -~]{1,100}$/.test(header) ? header : undefined;
}
