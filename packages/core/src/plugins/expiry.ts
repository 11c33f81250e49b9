import { endJobs } from "../engine/job-writer.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Duration } from "../job/duration.ts";
import type { OptionParsers } from "../job/job-options.ts";
import { positiveMs } from "../job/option-checks.ts";
import { EXPIRED, isExpired } from "../job/transitions.ts";

/** Parser of the job option `expiresIn`. */
export const EXPIRY_OPTIONS: OptionParsers = {
  expiresIn: (expiresIn: Duration) => ({ expiresInMs: positiveMs(expiresIn, "expiresIn") }),
};

/**
 * The job option `expiresIn`: a job that was not started in time ends as failed, code `expired`, at the next claim that
 * reaches it.
 */
export const expiry: Plugin = {
  name: "expiry",
  options: EXPIRY_OPTIONS,
  fields: ["expiresInMs"],
  *claiming({ tx }) {
    return {
      asideStep: 256,
      takes: (job) => !isExpired(job, tx.now),
      *finish(_, expired) {
        yield* endJobs(
          tx,
          expired.map((job) => ({ job, ending: { state: "failed", error: EXPIRED } })),
        );
      },
    };
  },
};
