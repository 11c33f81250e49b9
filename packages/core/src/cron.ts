import { Cron } from "croner";
import { QuaysideError } from "./job/errors.ts";
import type { NextCron } from "./job/recurrence.ts";

/**
 * Cron rules for a store's driver, on croner: five fields, or six with seconds in front; IANA time zones, daylight saving
 * included. A subpath of its own, so that only who uses cron carries it.
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
    const rule = new Cron(expression, { timezone: timeZone, paused: true, mode: "5-or-6-parts" });
    return rule.nextRun(new Date(after))?.getTime();
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
