import { QuaysideError } from "@quayside/core";

/**
 * Checks an option's value.
 *
 * @throws {QuaysideError} `invalid_option` if `valid` is false.
 */
export function checkOption(option: string, value: unknown, valid: boolean, expected: string): void {
  if (valid) return;
  throw new QuaysideError(
    "invalid_option",
    `${option} must be ${expected}, got ${JSON.stringify(value) ?? String(value)}.`,
    { option },
  );
}
