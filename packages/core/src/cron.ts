import { Cron } from "croner";
import { QuaysideError } from "./job/errors.ts";
import type { NextCron } from "./job/next-occurrence.ts";

const HOUR_MS = 3_600_000;
/** Maximum number of times of a rule that a search skips because the clock repeats them: a repeated hour has 3,600. */
const MOST_STEPS = 10_000;

/**
 * Evaluates cron rules for a store's driver, with croner: five fields, or six with seconds first; IANA time zones. A
 * separate entry, so that only apps that use it load it.
 *
 * Daylight saving: if the clock skips a rule's time, the rule runs right after the skip (2:00 and 2:30 run once, at
 * 3:00); if the clock repeats it, the rule runs once, the first time. A rule for every hour follows elapsed time.
 *
 * @throws {QuaysideError} `invalid_option` if the expression or the time zone is invalid.
 * @example
 * import { cron } from "@quayside/core/cron";
 * const queue = new Queue<Jobs>("mail", memoryDriver({ cron }));
 * await queue.schedule("digest", { cron: "0 7 * * 1-5", timeZone: "Europe/Berlin", name: "digest", payload: {} });
 */
export const cron: NextCron = ({ cron: expression, timeZone = "UTC" }, after) => {
  try {
    // Paused, because it only computes times and runs nothing.
    const ruleIn = (timezone: string) => new Cron(expression, { timezone, paused: true, mode: "5-or-6-parts" });
    const fields = expression.trim().split(/\s+/);
    if (timeZone === "UTC" || fields[fields.length - 4]?.startsWith("*"))
      return ruleIn(timeZone).nextRun(new Date(after))?.getTime();
    return nextByWall(ruleIn("UTC"), new WallClock(timeZone), after);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new QuaysideError(
      "invalid_option",
      `cron ${JSON.stringify(expression)} in ${timeZone}: ${why}`,
      { option: "cron" },
      cause,
    );
  }
};

/** Returns the first time after `after` at which the wall clock shows a time of the rule, or has just skipped one. */
function nextByWall(rule: Cron, clock: WallClock, after: number): number | undefined {
  // Starts one hour earlier, because the clock repeats or skips times around a change.
  let wall: Date | null = new Date(clock.shownAt(after) - 2 * HOUR_MS);
  for (let step = 0; step < MOST_STEPS; step++) {
    wall = rule.nextRun(wall);
    if (!wall) return undefined;
    const at = clock.instantOf(wall.getTime());
    if (at > after) return at;
  }
  return rule.nextRun(new Date(after))?.getTime();
}

/** The wall clock of a time zone. Its times are in ms since epoch, as if they were UTC. */
class WallClock {
  readonly #format: Intl.DateTimeFormat;

  constructor(timeZone: string) {
    const number = "2-digit";
    this.#format = new Intl.DateTimeFormat("en-US", {
      timeZone,
      hourCycle: "h23",
      year: "numeric",
      month: number,
      day: number,
      hour: number,
      minute: number,
      second: number,
    });
  }

  shownAt(instant: number): number {
    const parts = new Map(this.#format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
    const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
    const shown = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second"));
    return shown + (((instant % 1_000) + 1_000) % 1_000);
  }

  /**
   * Returns the first time at which the clock shows `wall`. If the clock skips `wall`, the time right after the skip.
   */
  instantOf(wall: number): number {
    // The offsets before and after any change nearby.
    const offsets = [-24, 24].map((hours) => {
      const instant = wall + hours * HOUR_MS;
      return this.shownAt(instant) - instant;
    });
    const candidates = offsets.map((offset) => wall - offset).sort((a, b) => a - b);
    const shows = candidates.find((instant) => this.shownAt(instant) === wall);
    if (shows !== undefined) return shows;
    return this.#firstAfter(wall, candidates[0] as number, candidates[candidates.length - 1] as number);
  }

  /** Returns the first time between `from` and `to` after which the clock shows more than `wall`, by bisection. */
  #firstAfter(wall: number, from: number, to: number): number {
    let [low, high] = [from, to];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.shownAt(middle) > wall) high = middle;
      else low = middle;
    }
    return high;
  }
}
