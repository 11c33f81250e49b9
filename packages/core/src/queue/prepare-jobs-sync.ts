import { QuaysideError } from "../job/errors.ts";
import type { JobMap } from "../job/job-map.ts";
import type { NewJob } from "../job/new-job.ts";
import { eachJob, prepare } from "./job-submitter.ts";
import type { JobToAdd } from "./kernel-queue.ts";
import type { Queue } from "./queue.ts";
import { partsOf } from "./queue-context.ts";

/**
 * Returns the jobs as a driver takes them, prepared at once: for adds inside a transaction that cannot wait. As in a flow,
 * all of them are to be stored, whatever `shouldQueue` says.
 *
 * @throws {QuaysideError} what `addJobs` throws, and `invalid_option` (`details.job` names it) where preparing a job takes
 * a promise: an asynchronous schema, or encryption.
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
    // The job is refused, whatever its schema answers later.
    prepared.catch(() => {});
    throw new QuaysideError(
      "invalid_option",
      `Job ${JSON.stringify(name)} cannot be added synchronously: its schema validates asynchronously, or its payload is encrypted. Add it with addJob, outside of the transaction.`,
      { job: name, option: "input" },
    );
  });
}

/** Returns whether a job that is added to this queue is stored with its payload encrypted. @throws {QuaysideError} what `addJobs` throws. */
export async function isEncrypted<Jobs extends JobMap>(queue: Queue<Jobs>, job: JobToAdd<Jobs>): Promise<boolean> {
  const { context } = partsOf(queue);
  const { name, payload, ...options } = job;
  if (context.registry.definition(name, queue.name)?.shouldQueue?.(payload) === false) return false;
  return (await prepare(context, { queue: queue.name, name, payload, options })).sealed === true;
}
