import type { Duration } from "./duration.ts";
import { invalidOption, isA, QuaysideError, refused } from "./errors.ts";
import * as LIMITS from "./limits.ts";
import { fields, integer, positiveMs } from "./option-checks.ts";

/** When a job recurs, as it is stored. Instants are ms since epoch. */
export type RecurrenceRule = RecurrenceBounds &
  (
    | { readonly kind: "every"; readonly everyMs: number }
    | { readonly kind: "cron"; readonly cron: string; readonly timeZone?: string }
  );

interface RecurrenceBounds {
  /** A first run at once, when the recurrence is made; it means nothing for one that is there already. */
  readonly immediately?: true;
  /** An occurrence that would begin while the one before has not ended is left out. */
  readonly overlap?: "skip";
  /** Occurrences in all; then the recurrence ends. */
  readonly limit?: number;
  readonly startAt?: number;
  readonly endAt?: number;
}

/** How a job recurs: a fixed interval, or a cron expression (the driver then needs `cron` from `@quayside/core/cron`). */
export type RecurrenceOption = (
  | { readonly every: Duration; readonly cron?: undefined }
  | {
      /** Five fields (minute … day of week) or six with seconds in front. */
      readonly cron: string;
      /** IANA name. Default UTC. */
      readonly timeZone?: string | undefined;
      readonly every?: undefined;
    }
) & {
  /** Occurrences in all, from 1; then the recurrence ends. Default: no limit. */
  readonly limit?: number | undefined;
  /** No occurrence before this instant. For `every` it is the first one, and those after it keep its phase. */
  readonly startAt?: number | Date | undefined;
  /** No occurrence after this instant. */
  readonly endAt?: number | Date | undefined;
  /** Runs a first time at once when the recurrence is made, and not again when it is repeated. Default false. */
  readonly immediately?: boolean | undefined;
  /** `skip`: what would begin while the last occurrence has not ended (its retries too) is left out. Default `allow`. */
  readonly overlap?: "allow" | "skip" | undefined;
};

/** The first nominal instant of a cron rule after `after`; undefined when there is none. Throws on a bad expression. */
export type NextCron = (
  rule: { readonly cron: string; readonly timeZone?: string },
  after: number,
) => number | undefined;

const FIELDS = ["every", "cron", "timeZone", "limit", "startAt", "endAt", "immediately", "overlap"];

/** @throws {QuaysideError} `invalid_option` naming what is wrong. */
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
 * The nominal instant that follows both `last` (absent: none yet) and `now`: the occurrence that was pending stands for
 * all of a missed stretch, so that it runs once and not a hundred times. Undefined when the recurrence is over.
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

/** Beyond it nothing is a date (ECMAScript, time values). */
export const LAST_INSTANT = 8_640_000_000_000_000;

/** From nominal time: a late run does not shift those after it. */
function nextEvery(
  { everyMs, startAt }: Extract<RecurrenceRule, { kind: "every" }>,
  last: number | undefined,
  now: number,
): number {
  const whole = (since: number) => Math.max(0, Math.floor((now - since) / everyMs));
  // Further away than its period: the clock was set back since. The phase stays.
  if (last !== undefined && last > now + everyMs) return last - everyMs * Math.floor((last - now - 1) / everyMs);
  // One that came before the start was the first run at once (`immediately`): the phase is that of the start.
  if (last !== undefined && last >= (startAt ?? 0)) return last + everyMs * (whole(last) + 1);
  // One that should have begun before now has missed a stretch as well: its last instant runs at once.
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
  // An instant before the last one shows that the clock was set back since.
  return last === undefined || last <= from || (next !== undefined && next < last) ? next : ask(last);
}
