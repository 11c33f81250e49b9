import { type Duration, toMs } from "./duration.ts";
import { QuaysideError } from "./errors.ts";
import { LIMITS } from "./limits.ts";
import { integer } from "./options.ts";

/** When a job recurs, as it is stored. Instants are ms since epoch. */
export type RecurrenceRule = RecurrenceBounds &
  (
    | { readonly kind: "every"; readonly everyMs: number }
    | { readonly kind: "cron"; readonly cron: string; readonly timeZone?: string }
  );

interface RecurrenceBounds {
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
  readonly limit?: number | undefined;
  readonly startAt?: number | Date | undefined;
  readonly endAt?: number | Date | undefined;
};

/** The first nominal instant of a cron rule after `after`; undefined when there is none. Throws on a bad expression. */
export type NextCron = (
  rule: { readonly cron: string; readonly timeZone?: string },
  after: number,
) => number | undefined;

/** @throws {QuaysideError} `invalid_option` naming what is wrong. */
export function resolveRecurrence(option: RecurrenceOption): RecurrenceRule {
  const { limit, startAt, endAt } = option;
  const bounds: RecurrenceBounds = {
    ...(limit !== undefined && { limit: integer(limit, 1, Number.MAX_SAFE_INTEGER, "limit") }),
    ...(startAt !== undefined && { startAt: instant(startAt, "startAt") }),
    ...(endAt !== undefined && { endAt: instant(endAt, "endAt") }),
  };
  if ((option.every === undefined) === (option.cron === undefined)) {
    throw new QuaysideError("invalid_option", "A recurrence says either every or cron.", { option: "recurrence" });
  }
  if (option.every !== undefined) {
    const everyMs = toMs(option.every, "every");
    if (everyMs < LIMITS.everyLeastMs)
      throw new QuaysideError("invalid_option", `every must be at least ${LIMITS.everyLeastMs} ms.`, {
        option: "every",
      });
    return { kind: "every", everyMs, ...bounds };
  }
  if (typeof option.cron !== "string" || option.cron.trim() === "") {
    throw new QuaysideError("invalid_option", "cron must be a cron expression.", { option: "cron" });
  }
  return {
    kind: "cron",
    cron: option.cron,
    ...(option.timeZone !== undefined && { timeZone: option.timeZone }),
    ...bounds,
  };
}

function instant(value: number | Date, option: string): number {
  const at = typeof value === "number" ? value : value.getTime();
  if (!Number.isSafeInteger(at) || at < 0)
    throw new QuaysideError("invalid_option", `${option} must be ms since epoch or a valid Date.`, { option });
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
  if (last !== undefined) return last + everyMs * (whole(last) + 1);
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
    throw new QuaysideError("invalid_option", "This driver knows no cron: pass it { cron } from @quayside/core/cron.", {
      option: "cron",
    });
  }
  return nextCron(rule, Math.max(last ?? 0, (rule.startAt ?? 0) - 1, now));
}
