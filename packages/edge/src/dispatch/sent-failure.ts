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
 * A handler's error as plain data. An error thrown across RPC loses its code, class and retry delay, which the job's
 * retry rules read.
 */
export interface SentFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly name?: string | undefined;
  readonly stack?: string | undefined;
  readonly details?: Readonly<Record<string, Json>> | undefined;
  /** The stored form of an encrypted job's error. `details` and `fields` are then absent (R36). */
  readonly sealed?: Readonly<Record<string, Json>> | undefined;
  /** The `delay` of a `RetryAfterError`, as it was given. */
  readonly delay?: Json | undefined;
  /** Other fields of the error that are JSON, such as `status`, for `retryIf` and `backoff`. */
  readonly fields?: Readonly<Record<string, Json>> | undefined;
  /** The `Retry-After` header of the response in the error. */
  readonly retryAfter?: string | undefined;
}

/** Maximum length of a sent field, in characters of JSON. */
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

/** Restores an error, with the class that core's retry rules check. */
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
      // The delay is invalid, so the error is an ordinary failure.
      return delay === undefined ? new Error(message) : new RetryAfterError(delay as number, message);
    default:
      return new QuaysideError(code, message, details);
  }
}

/** Fields of an error that `SentFailure` has fields for, or that are not sent. */
const OWN: ReadonlySet<string> = new Set(["name", "message", "stack", "code", "details", "delay", "cause", "headers"]);

/**
 * Descriptor of a property like one made by assignment. Used with `defineProperty`, because assigning `__proto__` would
 * change the prototype.
 */
const PLAIN = { enumerable: true, configurable: true, writable: true } as const;

/**
 * Returns the entries whose values are JSON within the size limit. Leaves out all others, so that they do not prevent
 * the error from being sent.
 */
function plain(entries: readonly (readonly [string, read: () => unknown])[]): Record<string, Json> {
  const kept: Record<string, Json> = {};
  for (const [key, read] of entries) {
    try {
      const text = JSON.stringify(read()) as string | undefined;
      if (text !== undefined && text.length <= FIELD_LIMIT) kept[key] = JSON.parse(text) as Json;
    } catch {
      // Skips a cycle, a bigint, or a getter that throws.
    }
  }
  return kept;
}

/** Returns the result of `read`; undefined if it throws, as a proxy or getter in a thrown value may. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

interface HasHeaders {
  readonly headers?: { get?(name: string): unknown } | undefined;
}

/** Returns the `Retry-After` header of a thrown response, or of the response in a thrown error. */
function retryAfterOf(thrown: unknown): string | undefined {
  if (typeof thrown !== "object" || thrown === null) return undefined;
  const { headers, response } = thrown as HasHeaders & { readonly response?: HasHeaders | undefined };
  const bearer = headers ?? response?.headers;
  const header = typeof bearer?.get === "function" ? bearer.get("retry-after") : undefined;
  // Accepts only text that `Headers` accepts.
  return typeof header === "string" && /^[ -~]{1,100}$/.test(header) ? header : undefined;
}
