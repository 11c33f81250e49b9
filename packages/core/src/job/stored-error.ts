import { cutText } from "./cut-text.ts";
import { type ErrorCode, fieldOf, isA, messageOf, QuaysideError } from "./errors.ts";
import type { Json } from "./json.ts";
import * as LIMITS from "./limits.ts";

/** Name of the field that marks an envelope. An envelope is the form of an encrypted value. */
export const SEALED = "quayside:sealed";

/**
 * The error of an encrypted job: its `cause` is the error that the handler threw, and its envelope is stored in place
 * of message and stack.
 */
export class SealedError extends QuaysideError {
  constructor(cause: unknown, sealed: Json) {
    const message = "An error of an encrypted job: its key reads it.";
    super(toStoredError(cause).code, message, { [SEALED]: sealed }, cause);
  }
}

/** Returns the error that a handler threw: the cause of a `SealedError`, else the error itself. */
export const thrownIn = (error: unknown): unknown => (isA(SealedError, error) ? error.cause : error);

/** An error as stored with a job and sent over HTTP. */
export interface StoredError {
  readonly code: ErrorCode;
  readonly message: string;
  /** Class name of the thrown error; absent for a plain `Error`. */
  readonly name?: string | undefined;
  readonly stack?: string | undefined;
  /** Other fields of the error, such as the path of a refused value. */
  readonly details?: Readonly<Record<string, Json>> | undefined;
}

/**
 * Converts a thrown value to a storable error: texts only, message and stack cut to `LIMITS.errorTextBytes` each. Never
 * throws; fields whose getters throw are left out.
 */
export function toStoredError(thrown: unknown): StoredError {
  if (isA(SealedError, thrown))
    return { code: thrown.code, message: thrown.message, details: thrown.details as StoredError["details"] & {} };
  const message = messageOf(thrown);
  if (!isA(Error, thrown)) return { code: "handler_failed", message };
  const code = isA(QuaysideError, thrown) ? textOf(thrown, "code") : undefined;
  const name = textOf(thrown, "name");
  const stack = textOf(thrown, "stack");
  return {
    code: (code === undefined ? "handler_failed" : label(code)) as ErrorCode,
    message,
    ...(name !== undefined && name !== "Error" && { name: label(name) }),
    ...(stack !== undefined && { stack: cutText(stack, LIMITS.errorTextBytes) }),
  };
}

const label = (text: string): string => text.slice(0, LIMITS.nameLength).toWellFormed();

function textOf(thrown: Error, field: "code" | "name" | "stack"): string | undefined {
  const value = fieldOf(thrown, field);
  return typeof value === "string" ? value : undefined;
}

/** Converts a stored error to an `Error`, with its code, message, details and name. */
export function fromStoredError({ code, message, name, details }: StoredError): QuaysideError {
  return new QuaysideError(code, message, { ...details, ...(name !== undefined && { name }) });
}
