import type { Plugin } from "@quayside/core";
import { again, moveEachJob, type StoredJob } from "@quayside/core/engine";

/** Options of `officeHours`. */
export interface OfficeHoursOptions {
  /** Local times, as `09:00`. Where `to` is before `from`, the hours go over midnight. */
  readonly from: string;
  readonly to: string;
  /** IANA name. Default: that of the process that owns the store. */
  readonly timeZone?: string;
  /** Jobs with this tag wait for the hours. Default `office hours`. */
  readonly tag?: string;
}

const MINUTE_MS = 60_000;
const DAY = 24 * 60;

/** Jobs with a tag start only between two local times: what comes earlier is put off until then. */
export function officeHours({ from, to, timeZone, tag = "office hours" }: OfficeHoursOptions): Plugin {
  const [opens, closes] = [minuteOf(from), minuteOf(to)];
  const local = new Intl.DateTimeFormat("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
    ...(timeZone !== undefined && { timeZone }),
  });
  const isTagged = (job: StoredJob) => job.tags?.includes(tag) === true;

  /** Ms until the hours begin; 0 while they last. Where clocks change meanwhile it is looked at again at that instant. */
  function waitMs(now: number): number {
    const minute = minuteOf(local.format(now));
    const isOpen = opens < closes ? minute >= opens && minute < closes : minute >= opens || minute < closes;
    return isOpen ? 0 : ((opens - minute + DAY) % DAY) * MINUTE_MS - (now % MINUTE_MS);
  }

  return {
    name: "officeHours",
    *claiming({ tx }) {
      const putOffMs = waitMs(tx.now);
      // A job that is held for later could start after the hours.
      if (putOffMs === 0) return { startsOnly: isTagged };
      return {
        takes: (job) => !isTagged(job),
        *finish(_, early) {
          yield* moveEachJob(tx, early, (job) => again(job, tx.nextPosition(putOffMs)));
          // The worker looks again at once, and finds when the jobs that were put off are due.
          return early.length > 0;
        },
      };
    },
  };
}

/** Minutes since midnight. */
function minuteOf(time: string): number {
  const [, hour, minute] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(time) ?? [];
  if (hour === undefined) throw new TypeError(`A time is written as 09:00, got ${time}.`);
  return Number(hour) * 60 + Number(minute);
}
