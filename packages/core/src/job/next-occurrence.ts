import type { Duration } from "./duration.ts";
import { invalidOption, isA, QuaysideError, refused } from "./errors.ts";
import * as LIMITS from "./limits.ts";
import { fields, integer, positiveMs } from "./option-checks.ts";

/** The stored rule of a recurrence. Times are in ms since epoch. */
export type RecurrenceRule = RecurrenceBounds &
  (
    | { readonly kind: "every"; readonly everyMs: number }
    | { readonly kind: "cron"; readonly cron: string; readonly timeZone?: string | undefined }
  );

interface RecurrenceBounds {
  /** Whether a first job runs immediately when the recurrence is created. No effect on an existing one. */
  readonly immediately?: true | undefined;
  /** Set if no occurrence begins while the previous one has not ended. */
  readonly overlap?: "skip" | undefined;
  /** Total number of occurrences, after which the recurrence ends. */
  readonly limit?: number | undefined;
  readonly startAt?: number | undefined;
  readonly endAt?: number | undefined;
}

/**
 * The rule of a recurrence: a fixed interval (`every`), or a cron expression (`cron`; the driver then needs `cron` from
 * `@quayside/core/cron`).
 */
export type RecurrenceOption = (
  | { readonly every: Duration; readonly cron?: undefined }
  | {
      /** Cron expression: five fields (minute … day of week), or six with seconds first. */
      readonly cron: string;
      /** IANA time zone in which the cron expression is read. Default: UTC. */
      readonly timeZone?: string | undefined;
      readonly every?: undefined;
    }
) & {
  /** Total number of occurrences, from 1; then the recurrence ends. Default: no limit. */
  readonly limit?: number | undefined;
  /** No occurrence before this time. With `every`, it is the first occurrence, from which the interval counts. */
  readonly startAt?: number | Date | undefined;
  /** No occurrence after this time. */
  readonly endAt?: number | Date | undefined;
  /**
   * Whether a first job runs immediately when the recurrence is created. Repeating the call of `schedule` adds no job.
   * Default: false.
   */
  readonly immediately?: boolean | undefined;
  /** `skip`: no occurrence begins while the previous one (including its retries) has not ended. Default: `allow`. */
  readonly overlap?: "allow" | "skip" | undefined;
};

/**
 * Evaluates cron rules: returns the first time of a rule after `after`; undefined if there is none. Throws for an
 * invalid expression.
 */
export type NextCron = (
  rule: { readonly cron: string; readonly timeZone?: string | undefined },
  after: number,
) => number | undefined;

const FIELDS = ["every", "cron", "timeZone", "limit", "startAt", "endAt", "immediately", "overlap"];

/**
 * Checks a `RecurrenceOption` and converts it to the stored form.
 *
 * @throws {QuaysideError} `invalid_option` naming the refused part.
 */
export function resolveRecurrence(option: RecurrenceOption): RecurrenceRule {
  fields(option, "recurrence", FIELDS);
  const { limit, startAt, endAt, immediately = false, overlap = "allow" } = option;
  if (typeof immediately !== "boolean") throw refused("immediately", "must be true or false", immediately);
  if (overlap !== "allow" && overlap !== "skip") throw refused("overlap", 'must be "allow" or "skip"', overlap);
  const bounds: RecurrenceBounds = {
    ...(limit !== undefined && { limit: integer(limit, 1, Number.MAX_SAFE_INTEGER, "limit") }),
    ...(startAt !== undefined && { startAt: instant(startAt, "startAt") }),
    ...(endAt !== undefined && { endAt: instant(endAt, "endAt") }),
    ...(immediately && { immediately }),
    ...(overlap === "skip" && { overlap }),
  };
  if ((option.every === undefined) === (option.cron === undefined)) {
    throw invalidOption("recurrence", "A recurrence says either every or cron.");
  }
  if (option.every !== undefined) {
    const { timeZone } = option as { readonly timeZone?: unknown };
    if (timeZone !== undefined) throw refused("timeZone", "goes with cron alone", timeZone);
    const everyMs = positiveMs(option.every, "every", LIMITS.everyLeastMs);
    return { kind: "every", everyMs, ...bounds };
  }
  if (typeof option.cron !== "string" || option.cron.trim() === "")
    throw refused("cron", "must be a cron expression", option.cron);
  return {
    kind: "cron",
    cron: option.cron,
    ...(option.timeZone !== undefined && { timeZone: option.timeZone }),
    ...bounds,
  };
}

function instant(value: number | Date, option: string): number {
  const at = isA(Date, value) ? value.getTime() : value;
  if (!Number.isSafeInteger(at) || at < 0 || at > LAST_INSTANT)
    throw refused(option, "must be ms since epoch or a valid Date", value);
  return at;
}

/**
 * Returns the next time of a recurrence that is after both `last` (absent: none yet) and `now`, so that missed
 * occurrences run once, not many times. Undefined when the recurrence has ended.
 */
export function nextOccurrence(
  rule: RecurrenceRule,
  last: number | undefined,
  now: number,
  count: number,
  nextCron: NextCron | undefined,
): number | undefined {
  if (rule.limit !== undefined && count >= rule.limit) return undefined;
  const next = rule.kind === "every" ? nextEvery(rule, last, now) : nextByCron(rule, last, now, nextCron);
  return next === undefined || next > (rule.endAt ?? LAST_INSTANT) ? undefined : next;
}

/** The latest time of a JavaScript date, in ms since epoch. */
export const LAST_INSTANT = 8_640_000_000_000_000;

/**
 * Returns the next time of a rule with an interval. Counts from the scheduled times, so a late run does not shift later
 * occurrences.
 */
function nextEvery(
  { everyMs, startAt }: Extract<RecurrenceRule, { kind: "every" }>,
  last: number | undefined,
  now: number,
): number {
  const whole = (since: number) => Math.max(0, Math.floor((now - since) / everyMs));
  // More than one period away: the clock was set back. The phase is kept.
  if (last !== undefined && last > now + everyMs) return last - everyMs * Math.floor((last - now - 1) / everyMs);
  // A last time before `startAt` was the immediate first run; the phase is that of `startAt`.
  if (last !== undefined && last >= (startAt ?? 0)) return last + everyMs * (whole(last) + 1);
  // A `startAt` in the past counts as missed occurrences: the last missed one runs at once.
  return startAt === undefined ? now + everyMs : startAt + everyMs * whole(startAt);
}

function nextByCron(
  rule: Extract<RecurrenceRule, { kind: "cron" }>,
  last: number | undefined,
  now: number,
  nextCron: NextCron | undefined,
): number | undefined {
  if (!nextCron) {
    throw new QuaysideError(
      "invalid_option",
      "This queue reads no cron rules: where its driver is made, pass { cron } from @quayside/core/cron.",
      { option: "cron", missing: "cron" },
    );
  }
  const ask = (after: number) => {
    const next = nextCron(rule, after);
    if (next === undefined || (Number.isSafeInteger(next) && next > after)) return next;
    throw refused("cron", "must answer a later instant in whole ms", next);
  };
  const from = Math.max((rule.startAt ?? 0) - 1, now);
  const next = ask(from);
  // A time before `last` shows that the clock was set back.
  return last === undefined || last <= from || (next !== undefined && next < last) ? next : ask(last);
}
