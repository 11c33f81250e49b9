import { describe } from "./cut-text.ts";
import * as DEFAULTS from "./defaults.ts";
import { type ErrorCode, QuaysideError } from "./errors.ts";
import * as LIMITS from "./limits.ts";

/** A JSON value: the type of payloads, results and progress. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/**
 * Converts a value to JSON text. Refuses values that JSON would silently change or drop: functions, symbols, bigints,
 * NaN and infinities, invalid dates, `undefined` and holes in arrays, cycles, instances of classes without `toJSON`
 * (Promise, Error, RegExp, Map …), and nesting deeper than 100 levels, which may overflow the stack of other code. A
 * top-level `undefined` becomes null; `toJSON` methods (dates) are called.
 *
 * @throws {QuaysideError} with `code`; its message has the path of the refused value, beginning with `what`.
 */
export function toJsonText(value: unknown, what: string, code: ErrorCode = "invalid_payload"): string {
  if (value === undefined) return "null";
  try {
    // `JSON.stringify` without a replacer is several times faster, so values are only walked if it may have lost
    // something.
    const text = JSON.stringify(value);
    if (text !== undefined && !mayHideLoss(value, 0)) return text;
  } catch {
    // The walk below throws an error with the path.
  }
  return JSON.stringify(copyOf(value, what, code, new Set()));
}

const isScalar = (value: unknown): value is string | number | boolean | null =>
  value === null || typeof value === "string" || typeof value === "boolean" || Number.isFinite(value);

/**
 * Returns whether a value may contain something that JSON would change or drop, so that it must be checked in full.
 * Also true for deeply nested values.
 */
function mayHideLoss(value: unknown, depth: number): boolean {
  if (isScalar(value)) return false;
  if (typeof value !== "object" || value === null || depth > 8) return true;
  if (Array.isArray(value)) {
    for (const member of value) if (mayHideLoss(member, depth + 1)) return true;
    return false;
  }
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return true;
  for (const key in value) {
    const member = (value as Record<string, unknown>)[key];
    if (member !== undefined && mayHideLoss(member, depth + 1)) return true;
  }
  return false;
}

/** Maximum number of characters of a path in an error message. */
const PATH_SHOWN = 200;

/** Copies a value to plain objects and arrays. Reads each member once, so that the checked value is the stored one. */
function copyOf(value: unknown, path: string, code: ErrorCode, above: Set<object>): Json {
  if (isScalar(value)) return value;
  const refuse = (why: string): never => {
    const shown = path.length > PATH_SHOWN ? `${path.slice(0, PATH_SHOWN)}…` : path;
    // The path of an issue begins at the value.
    throw new QuaysideError(code, `${shown} ${why}.`, {
      issues: [{ path: path.replace(/^\w+\.?/, ""), message: why }],
    });
  };
  if (typeof value !== "object" || value === null) {
    const what = value === undefined || typeof value === "number" ? value : `a ${typeof value}`;
    return refuse(`is ${what}, which JSON cannot hold`);
  }
  if (above.has(value)) return refuse("refers back to an object that contains it");
  if (above.size >= DEFAULTS.nestingLimit) return refuse(`is nested more than ${DEFAULTS.nestingLimit} levels deep`);
  above.add(value);
  let copy: Json;
  try {
    copy = membersOf(value, refuse, (member, step) => copyOf(member, path + step, code, above));
  } catch (cause) {
    if (cause instanceof QuaysideError) throw cause;
    return refuse(`cannot be read (${describe(cause)})`);
  }
  above.delete(value);
  return copy;
}

function membersOf(
  object: object,
  refuse: (why: string) => never,
  copy: (member: unknown, step: string) => Json,
): Json {
  if (Array.isArray(object)) return Array.from(object, (item, index) => copy(item, `[${index}]`));
  const { toJSON } = object as { readonly toJSON?: unknown };
  if (typeof toJSON === "function") {
    if (object instanceof Date && Number.isNaN(object.getTime())) refuse("is an invalid date");
    return copy(toJSON.call(object), "");
  }
  const prototype = Object.getPrototypeOf(object);
  // A prototype without a prototype is that of plain objects, of any realm.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) {
    const name = describe(prototype.constructor?.name || "a class without a name");
    const hint = name === "Promise" ? " (await it first)" : "";
    refuse(`is an instance of ${name}, which JSON would not keep. Pass its data${hint}`);
  }
  const members: Record<string, Json> = Object.create(null);
  for (const [key, member] of Object.entries(object)) if (member !== undefined) members[key] = copy(member, `.${key}`);
  return members;
}

/** Returns JSON text with sorted object keys: equal for equal values. */
export function canonicalText(text: string): string {
  return JSON.stringify(JSON.parse(text), (_, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}

/**
 * Returns the number of bytes of a text in UTF-8. If the text is certainly within `limit`, returns its length in place
 * of the exact number, without encoding it.
 */
export function utf8Bytes(text: string, limit: number): number {
  // A UTF-16 unit is at most 3 bytes of UTF-8.
  return text.length * 3 <= limit ? text.length : new TextEncoder().encode(text).length;
}

/**
 * Converts a result or progress value to JSON text.
 *
 * @throws {QuaysideError} with `code` for values that JSON cannot hold; `result_too_large` if the text is too long.
 */
export function toBoundedJson(
  value: unknown,
  what: "result" | "progress",
  code: ErrorCode,
  limit: number = LIMITS.resultBytes,
): string {
  const text = toJsonText(value, what, code);
  const bytes = utf8Bytes(text, limit);
  if (bytes <= limit) return text;
  const message = `The ${what} is ${bytes} bytes of JSON; at most ${limit} are kept. Store it elsewhere, and return where it is.`;
  throw new QuaysideError("result_too_large", message, { bytes, limit });
}

/** Returns the number of bytes of a value as JSON. */
export const jsonBytes = (value: unknown): number => utf8Bytes(JSON.stringify(value), 0);
