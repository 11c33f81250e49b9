import { Cron } from "croner";
import { QuaysideError } from "./job/errors.ts";
import type { NextCron } from "./job/next-occurrence.ts";

const HOUR_MS = 3_600_000;
/** More wall-clock instants than this are not stepped over: an hour that is repeated has 3,600. */
const MOST_STEPS = 10_000;

/**
 * Cron rules for a store's driver, on croner: five fields, or six with seconds in front; IANA time zones. A subpath of its
 * own, so that only its users load it.
 *
 * Daylight saving: a rule that names its hours runs at a time that the clocks skip when they have skipped it (2:00 and 2:30
 * once, at 3:00), and once at a time that they repeat, the first time. A rule for every hour goes by elapsed time.
 *
 * @throws {QuaysideError} `invalid_option` when the expression or the time zone is wrong.
 * @example
 * import { cron } from "@quayside/core/cron";
 * const queue = new Queue<Jobs>("mail", memoryDriver({ cron }));
 * await queue.schedule("digest", { cron: "0 7 * * 1-5", timeZone: "Europe/Berlin" }, "digest", {});
 */
export const cron: NextCron = ({ cron: expression, timeZone = "UTC" }, after) => {
  try {
    // Paused: it is asked for instants and never runs anything.
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

/** The first instant after `after` at which the wall clock shows a time of the rule, or has just skipped one. */
function nextByWall(rule: Cron, clock: WallClock, after: number): number | undefined {
  // From the hour before: what the clocks show twice, or skip, is around the change.
  let wall: Date | null = new Date(clock.shownAt(after) - 2 * HOUR_MS);
  for (let step = 0; step < MOST_STEPS; step++) {
    wall = rule.nextRun(wall);
    if (!wall) return undefined;
    const at = clock.instantOf(wall.getTime());
    if (at > after) return at;
  }
  return rule.nextRun(new Date(after))?.getTime();
}

/** The clock on the wall of a time zone. What it shows is held as the ms since epoch that UTC would show so. */
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

  /** The first instant at which it shows `wall`; where it skips that, the instant at which it has done so. */
  instantOf(wall: number): number {
    // The offsets in force on either side of any change nearby.
    const offsets = [-24, 24].map((hours) => {
      const instant = wall + hours * HOUR_MS;
      return this.shownAt(instant) - instant;
    });
    const candidates = offsets.map((offset) => wall - offset).sort((a, b) => a - b);
    const shows = candidates.find((instant) => this.shownAt(instant) === wall);
    if (shows !== undefined) return shows;
    return this.#firstAfter(wall, candidates[0] as number, candidates[candidates.length - 1] as number);
  }

  /** The first instant of a range after which it shows more than `wall`, by bisection. */
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
