import { DEFAULTS } from "./defaults.ts";
import { type ErrorCode, QuaysideError } from "./errors.ts";

/** A value that survives JSON: what payloads, results and progress are made of. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * The JSON text of `value`, refusing what JSON would silently change or drop: functions, symbols, bigints, NaN and
 * infinities, `undefined` in arrays, cycles, and what is nested deeper than 100 levels, on which others that walk through
 * it may break. `undefined` as a whole is stored as null; a `toJSON` method (dates) is used.
 *
 * @throws {QuaysideError} with `code`, naming the path of the offending value under `what`.
 */
export function toJsonText(value: unknown, what: string, code: ErrorCode = "invalid_payload"): string {
  if (value === undefined) return "null";
  try {
    // The plain call is several times faster than one with a replacer: walk only when something looks wrong.
    const text = JSON.stringify(value);
    if (text !== undefined && !mayHideLoss(value, 0)) return text;
  } catch (cause) {
    if (cause instanceof QuaysideError) throw cause;
  }
  check(value, what, code, new Set());
  return JSON.stringify(value) as string;
}

/** True when a value is met that JSON would change; deep values are left to the careful walk. */
function mayHideLoss(value: unknown, depth: number): boolean {
  if (value === null) return false;
  switch (typeof value) {
    case "string":
    case "boolean":
      return false;
    case "number":
      return !Number.isFinite(value);
    case "object": {
      if (depth > 8) return true;
      if (Array.isArray(value)) return value.some((item) => mayHideLoss(item, depth + 1));
      const prototype = Object.getPrototypeOf(value);
      if (prototype !== Object.prototype && prototype !== null) return true;
      for (const key in value as object) {
        const member = (value as Record<string, unknown>)[key];
        if (member !== undefined && mayHideLoss(member, depth + 1)) return true;
      }
      return false;
    }
    default:
      return true;
  }
}

/** Characters of a path that an error message shows. */
const PATH_SHOWN = 200;

function check(value: unknown, path: string, code: ErrorCode, above: Set<object>): void {
  const refuse = (why: string): never => {
    throw new QuaysideError(code, `${path.length > PATH_SHOWN ? `${path.slice(0, PATH_SHOWN)}…` : path} ${why}.`, {
      path,
    });
  };
  switch (typeof value) {
    case "string":
    case "boolean":
      return;
    case "number":
      if (!Number.isFinite(value)) refuse(`is ${value}, which JSON cannot hold`);
      return;
    case "object":
      break;
    default:
      refuse(`is a ${typeof value}, which JSON cannot hold`);
  }
  if (value === null) return;
  const object = value as object & { toJSON?(): unknown };
  if (above.has(object)) refuse("refers back to an object that contains it");
  if (typeof object.toJSON === "function") {
    check(object.toJSON(), path, code, above);
    return;
  }
  if (above.size >= DEFAULTS.nestingLimit) refuse(`is nested more than ${DEFAULTS.nestingLimit} levels deep`);
  above.add(object);
  if (Array.isArray(object)) {
    for (const [index, item] of object.entries()) check(item, `${path}[${index}]`, code, above);
  } else {
    const prototype = Object.getPrototypeOf(object);
    if (prototype !== Object.prototype && prototype !== null && isCollection(object)) {
      refuse(`is a ${object.constructor.name}, which JSON would store empty`);
    }
    for (const [key, member] of Object.entries(object)) {
      if (member !== undefined) check(member, `${path}.${key}`, code, above);
    }
  }
  above.delete(object);
}

function isCollection(object: object): boolean {
  return (
    object instanceof Map ||
    object instanceof Set ||
    ArrayBuffer.isView(object) ||
    object instanceof ArrayBuffer ||
    /^\[object (Blob|File)\]$/.test(Object.prototype.toString.call(object))
  );
}

/** Bytes of `text` in UTF-8, without encoding it when it is too short to matter. */
export function utf8Bytes(text: string, limit: number): number {
  // A UTF-16 unit is at most 3 bytes in UTF-8.
  return text.length * 3 <= limit ? text.length : new TextEncoder().encode(text).length;
}
