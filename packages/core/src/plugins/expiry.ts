import { endJobs } from "../engine/job-writer.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Duration } from "../job/duration.ts";
import type { OptionParsers } from "../job/job-options.ts";
import type { StoredJob } from "../job/job-record.ts";
import { positiveMs } from "../job/option-checks.ts";
import { EXPIRED, isExpired } from "../job/transitions.ts";

/** Expired jobs that one claim ends, at most (R32). */
const STEP = 256;

/** The job option of this plugin. */
export const EXPIRY_OPTIONS: OptionParsers = {
  expiresIn: (expiresIn: Duration) => ({ expiresInMs: positiveMs(expiresIn, "expiresIn") }),
};

/** `expiresIn`: a job that was not started in time ends as failed, code `expired`, when a claim meets it. */
export const expiry: Plugin = {
  name: "expiry",
  options: EXPIRY_OPTIONS,
  fields: ["expiresInMs"],
  *claiming({ tx }) {
    const expired: StoredJob[] = [];
    return {
      get full() {
        return expired.length >= STEP;
      },
      takes(job) {
        if (!isExpired(job, tx.now)) return true;
        expired.push(job);
        return false;
      },
      *finish() {
        yield* endJobs(
          tx,
          expired.map((job) => ({ job, ending: { state: "failed", error: EXPIRED } })),
        );
      },
    };
  },
};
