import { DEFAULTS, QuaysideError } from "@quayside/core";
import { describe } from "@quayside/core/engine";
import { isDeeper, isJson } from "../api/json-text.ts";

/** A function that checks one value. Throws `invalid_option` with the option's name if the value is invalid. */
export type Check = (value: unknown, option: string) => void;

export const must = (rule: string, holds: (value: unknown) => boolean): Check => {
  return (value, option) => {
    if (!holds(value)) throw refusal(option, rule, value);
  };
};

const refusal = (option: string, rule: string, value: unknown) =>
  new QuaysideError("invalid_option", `${option} must be ${rule}, got ${describe(value).slice(0, 100)}.`, { option });

export const between = (least: number, most: number): Check =>
  must(`a number from ${least} to ${most}`, (value) => typeof value === "number" && value >= least && value <= most);

export const whole = (least: number, most: number): Check =>
  must(
    `a whole number from ${least} to ${most}`,
    (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
  );

export const text = (most: number): Check =>
  must(`a text of at most ${most} characters`, (value) => typeof value === "string" && value.length <= most);

/** Check that requires text of any length. */
export const anyText: Check = must("a text", (value) => typeof value === "string");

export const flag: Check = must("true or false", (value) => typeof value === "boolean");

export const oneOf = (...words: readonly string[]): Check =>
  must(`one of ${words.join(", ")}`, (value) => words.includes(value as string));

export const object: Check = must(
  "an object",
  (value) => typeof value === "object" && value !== null && !Array.isArray(value),
);

/** Check that requires JSON text, the form of payloads and results in calls. */
export const json: Check = must(
  `JSON text, nested at most ${DEFAULTS.nestingLimit} levels deep`,
  (value) => typeof value === "string" && !isDeeper(value, DEFAULTS.nestingLimit) && isJson(value),
);

export const both =
  (first: Check, second: Check): Check =>
  (value, option) => {
    first(value, option);
    second(value, option);
  };

export const orNull =
  (check: Check): Check =>
  (value, option) => {
    if (value !== null) check(value, option);
  };

export const list =
  (of: Check, most = Number.POSITIVE_INFINITY): Check =>
  (value, option) => {
    must("a list", Array.isArray)(value, option);
    const entries = value as readonly unknown[];
    if (entries.length > most)
      throw new QuaysideError(
        "invalid_option",
        `${option} has ${entries.length} entries; at most ${most} are allowed in one call.`,
        { option },
      );
    // `forEach` would skip holes.
    for (let index = 0; index < entries.length; index++) of(entries[index], `${option}[${index}]`);
  };

/** Creates a check that requires a list with at most `most` names, all different. */
export const distinct = (most: number): Check =>
  must(`a list of at most ${most} different names`, (value) => new Set(value as readonly unknown[]).size <= most);

/** Creates a check that requires an object whose present fields pass their checks. */
export const record =
  (checks: Readonly<Record<string, Check>>, needed: readonly string[] = []): Check =>
  (value, option) => {
    object(value, option);
    for (const field in checks) {
      const part = (value as Readonly<Record<string, unknown>>)[field];
      if (part !== undefined || needed.includes(field)) checks[field]?.(part, within(option, field));
    }
  };

/** Creates a check that refuses an object with fields that are not listed. */
export const only =
  (...fields: readonly string[]): Check =>
  (value, option) => {
    object(value, option);
    for (const field of Object.keys(value as object))
      if (!fields.includes(field)) {
        const name = within(option, field);
        const message = `${name} must be left out: the fields are ${fields.join(", ")}.`;
        throw new QuaysideError("invalid_option", message, { option: name });
      }
  };

/** Creates a check that requires an object of which each entry passes the given check. */
export const entriesOf =
  (check: Check): Check =>
  (value, option) => {
    object(value, option);
    for (const [name, entry] of Object.entries(value as object)) check(entry, within(option, name));
  };

const within = (option: string, field: string) => (option ? `${option}.${field}` : field);

/**
 * Check that refuses values that JSON cannot hold or would change. Records are stored as JSON; RPC also carries
 * functions, maps, dates and bigints.
 */
export const data: Check = (value, option) => {
  const fault = faultIn(value, DEFAULTS.nestingLimit);
  if (fault) throw refusal(`${option}${fault.path}`.replace(/^\./, "") || "the call", "JSON data", fault.value);
};

interface Fault {
  readonly path: string;
  readonly value: unknown;
}

function faultIn(value: unknown, levels: number): Fault | undefined {
  switch (typeof value) {
    case "string":
    case "boolean":
    case "undefined":
      return undefined;
    case "number":
      return Number.isFinite(value) ? undefined : { path: "", value };
    case "object":
      if (value === null) return undefined;
      if (levels > 0 && Array.isArray(value)) return faultInEntries(value, levels - 1);
      if (levels > 0 && isPlain(value)) return faultInFields(value, levels - 1);
  }
  return { path: "", value };
}

function faultInEntries(entries: readonly unknown[], levels: number): Fault | undefined {
  for (let index = 0; index < entries.length; index++) {
    const fault = faultIn(entries[index], levels);
    if (fault) return { ...fault, path: `[${index}]${fault.path}` };
  }
  return undefined;
}

function faultInFields(fields: object, levels: number): Fault | undefined {
  for (const field of Object.keys(fields)) {
    const fault = faultIn((fields as Readonly<Record<string, unknown>>)[field], levels);
    if (fault) return { ...fault, path: `.${field}${fault.path}` };
  }
  return undefined;
}

/** Returns whether a value is a plain object, not a date, map, error or RPC stub. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
}
