import { QuaysideError } from "../job/errors.ts";
import type { JobMap } from "../job/job-map.ts";
import type { NewJob } from "../job/new-job.ts";
import { eachJob } from "./job-preparer.ts";
import type { JobToAdd, Queue } from "./queue.ts";

/**
 * The jobs as a driver takes them, prepared at once: for who adds inside a transaction that cannot wait. As in a flow,
 * all of them are to be stored, whatever `shouldQueue` says.
 *
 * @throws {QuaysideError} what `addJobs` throws, and `invalid_option` (`details.job` names it) where preparing a job takes
 * a promise: an asynchronous schema, or encryption.
 */
export function prepareNow<Jobs extends JobMap>(
  queue: Queue<Jobs>,
  jobs: readonly JobToAdd<Jobs>[],
): readonly NewJob[] {
  // Brackets, because it is none of the queue's own methods: a page that never adds in this way does not load it.
  const { registry, producer } = queue["context"];
  return eachJob(jobs, ({ name, payload, ...options }) => {
    registry.check(name);
    const prepared = producer.prepare({ queue: queue.name, name, payload, options });
    if (!(prepared instanceof Promise)) return prepared;
    // What becomes of it is nobody's concern any more.
    prepared.catch(() => {});
    throw new QuaysideError(
      "invalid_option",
      `Job ${JSON.stringify(name)} cannot be added synchronously: its schema validates asynchronously, or its payload is encrypted. Add it with addJob, outside of the transaction.`,
      { job: name, option: "input" },
    );
  });
}

/** Whether a job that is added to this queue is stored with its payload encrypted. @throws {QuaysideError} what `addJobs` throws. */
export async function isEncrypted<Jobs extends JobMap>(queue: Queue<Jobs>, job: JobToAdd<Jobs>): Promise<boolean> {
  const { registry, producer } = queue["context"];
  const { name, payload, ...options } = job;
  if (registry.definition(name, queue.name)?.shouldQueue?.(payload) === false) return false;
  return (await producer.prepare({ queue: queue.name, name, payload, options })).sealed === true;
}
