import { QuaysideError } from "../job/errors.ts";
import type { JobMap } from "../job/job-types.ts";
import type { NewJob } from "../job/new-job.ts";
import { eachJob, prepare } from "./job-submitter.ts";
import type { JobToAdd } from "./kernel-queue.ts";
import type { Queue } from "./queue.ts";
import { partsOf } from "./queue-context.ts";

/**
 * Prepares jobs synchronously, for adds inside a transaction that cannot wait. Ignores `shouldQueue`: all jobs are
 * stored.
 *
 * @throws {QuaysideError} as `addJobs`, and `invalid_option` (`details.job` names the job) if preparing a job is
 * asynchronous: by an asynchronous schema, or encryption.
 */
export function prepareNow<Jobs extends JobMap>(
  queue: Queue<Jobs>,
  jobs: readonly JobToAdd<Jobs>[],
): readonly NewJob[] {
  const { context } = partsOf(queue);
  return eachJob(jobs, ({ name, payload, ...options }) => {
    context.registry.check(name);
    const prepared = prepare(context, { queue: queue.name, name, payload, options });
    if (!(prepared instanceof Promise)) return prepared;
    // The job is refused, so its schema's result is ignored.
    prepared.catch(() => {});
    throw new QuaysideError(
      "invalid_option",
      `Job ${JSON.stringify(name)} cannot be added synchronously: its schema validates asynchronously, or its payload is encrypted. Add it with addJob, outside of the transaction.`,
      { job: name, option: "input" },
    );
  });
}

/**
 * Returns whether this job would be stored encrypted if it were added to the queue. @throws {QuaysideError} as
 * `addJobs`.
 */
export async function isEncrypted<Jobs extends JobMap>(queue: Queue<Jobs>, job: JobToAdd<Jobs>): Promise<boolean> {
  const { context } = partsOf(queue);
  const { name, payload, ...options } = job;
  if (context.registry.definition(name, queue.name)?.shouldQueue?.(payload) === false) return false;
  return (await prepare(context, { queue: queue.name, name, payload, options })).sealed === true;
}
