import { QuaysideError } from "@quayside/core";

/** @throws {QuaysideError} `invalid_option`, when an option is not as it must be. */
export function checkOption(option: string, value: unknown, valid: boolean, expected: string): void {
  if (valid) return;
  throw new QuaysideError(
    "invalid_option",
    `${option} must be ${expected}, got ${JSON.stringify(value) ?? String(value)}.`,
    { option },
  );
}
