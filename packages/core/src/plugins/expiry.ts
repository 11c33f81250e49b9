import { endJobs } from "../engine/job-writer.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Duration } from "../job/duration.ts";
import type { OptionParsers } from "../job/job-options.ts";
import { positiveMs } from "../job/option-checks.ts";
import { EXPIRED, isExpired } from "../job/transitions.ts";

/** Parser of the job option `expiresIn`, for `addJob` and the other methods that read job options. */
export const EXPIRY_OPTIONS: OptionParsers = {
  expiresIn: (expiresIn: Duration) => ({ expiresInMs: positiveMs(expiresIn, "expiresIn") }),
};

/**
 * Enforces the job option `expiresIn`: a job that was not started in time fails with the code `expired`, at the next
 * claim that reaches it.
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
