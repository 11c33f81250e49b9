// Checks of arguments. Each returns the value or throws `invalid_option` with the option's name.
import { type Duration, toMs } from "./duration.ts";
import { refused } from "./errors.ts";

/** Checks that a value is an integer from `least` to `most`, and returns it. */
export function integer(value: number, least: number, most: number, option: string): number {
  if (!Number.isInteger(value) || value < least || value > most)
    throw refused(option, `must be an integer from ${least} to ${most}`, value);
  return value;
}

/** Checks that a value is one of the listed words, and returns it. */
export function oneOf<T extends string>(value: T, words: readonly string[], option: string): T {
  if (!words.includes(value)) throw refused(option, `must be one of ${words.join(", ")}`, value);
  return value;
}

/**
 * Checks that a value is an object with only the fields in `known`, and returns it.
 *
 * @param known the names of all allowed fields; absent: any field is allowed.
 * @param prefix put before the name of a field in the error, such as `dedupe.`.
 */
export function fields<T extends object>(value: T, option: string, known?: readonly string[], prefix = ""): T {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refused(option, "must be an object", value);
  if (known)
    for (const field in value)
      if (!known.includes(field))
        throw refused(prefix + field, `is no option (known are ${known.join(", ")})`, value[field]);
  return value;
}

/** Checks that a value is an object with the method named `method`. */
export function able(value: object | null | undefined, option: string, method: string): void {
  if (typeof (value as Record<string, unknown> | null | undefined)?.[method] !== "function")
    throw refused(option, `must have a method ${method}()`, value);
}

/** Checks that a value is a function, and returns it. */
export function callable<T>(value: T, option: string): T {
  if (typeof value !== "function") throw refused(option, "must be a function", value);
  return value;
}

/** Checks that a value is a list, and returns it. */
export function list<T>(value: readonly T[], option: string): readonly T[] {
  if (!Array.isArray(value)) throw refused(option, "must be a list", value);
  return value;
}

/** Checks that a value is a list of functions, and returns it. */
export function callables<T>(values: readonly T[], option: string): readonly T[] {
  list(values, option).forEach((value, index) => void callable(value, `${option}[${index}]`));
  return values;
}

/** Converts a duration to milliseconds and checks that it is at least `least` ms. */
export function positiveMs(duration: Duration, option: string, least = 1): number {
  const ms = toMs(duration, option);
  if (ms < least) throw refused(option, `must be at least ${least} ms`, ms);
  return ms;
}
