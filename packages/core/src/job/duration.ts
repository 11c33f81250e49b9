import { refused } from "./errors.ts";

type Unit = "ms" | "s" | "m" | "h" | "d" | "w";

/**
 * A duration: a number of milliseconds, or a string with a unit: `"250ms"`, `"10s"`, `"5m"`, `"2h"`, `"7d"`, `"1w"`.
 *
 * @example
 * await queue.addJob("email", payload, { delay: "5m" });
 */
export type Duration = number | `${number}${Unit}` | `${number} ${Unit}`;

const UNIT_MS: Record<Unit, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** Longest accepted duration: 100 years. A larger value is a mistake, such as a timestamp given as a delay. */
export const LONGEST_DURATION_MS = 100 * 365 * UNIT_MS.d;

/**
 * Converts a duration to milliseconds, rounded to an integer.
 *
 * @throws {QuaysideError} `invalid_option` naming `option` if it is negative, not finite, over 100 years or malformed.
 */
export function toMs(duration: Duration, option: string): number {
  const ms = typeof duration === "number" ? duration : parse(duration);
  if (!Number.isFinite(ms) || ms < 0 || ms > LONGEST_DURATION_MS) {
    const rule =
      'must be a duration from 0 to 100 years (milliseconds, or a string such as "250ms", "10s", "5m", "2h", "7d")';
    throw refused(option, rule, duration);
  }
  return Math.round(ms);
}

function parse(text: unknown): number {
  const match = typeof text === "string" ? /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d|w)$/.exec(text) : null;
  return match ? Number(match[1]) * UNIT_MS[match[2] as Unit] : Number.NaN;
}
