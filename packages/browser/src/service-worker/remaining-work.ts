import type { Driver, JobRecord } from "@quayside/core";
import type { ListQuery, WorkPlace } from "@quayside/core/engine";

/** The jobs that a drain has left for later. */
export interface RemainingWork {
  readonly jobs: number;
  /** Number of the remaining jobs that other workers hold. */
  readonly held: number;
  /** Ms until the first remaining job can be claimed, or recovered from a dead worker; infinite if unknown. */
  readonly dueInMs: number;
}

/** Number of jobs per page that is read of a queue. */
const PAGE = 100;

/**
 * Reads the jobs that need another drain from the stores: those that wait for a retry, a delay or a rate limit, and
 * those that other workers hold, whose page may be closed. Excludes paused queues, jobs that wait for other jobs, and
 * the next occurrences of recurrences.
 */
export async function remainingWork(places: readonly WorkPlace[]): Promise<RemainingWork> {
  const all: RemainingWork[] = [];
  for (const { driver, queues } of places) for (const queue of queues) all.push(await leftOf(driver, queue));
  return {
    jobs: all.reduce((sum, { jobs }) => sum + jobs, 0),
    held: all.reduce((sum, { held }) => sum + held, 0),
    dueInMs: Math.min(...all.map(({ dueInMs }) => dueInMs)),
  };
}

async function leftOf(driver: Driver, queue: string): Promise<RemainingWork> {
  const { active: held, delayed, paused, waiting } = await driver.counts(queue);
  const count = async (many: number, state: "delayed" | "waiting", means: (job: JobRecord) => boolean) =>
    many > 0 && !paused ? countFirst(driver, { queue, state }, means) : 0;
  const again = await count(delayed, "delayed", (job) => !isNextOccurrence(job));
  const inLine = await count(waiting, "waiting", (job) => job.blockedBy === undefined);
  const jobs = held + again + inLine;
  const dueInMs = jobs > 0 ? await driver.nextWake([queue]) : undefined;
  return { jobs, held, dueInMs: dueInMs ?? Number.POSITIVE_INFINITY };
}

const isNextOccurrence = ({ recurrence, attempts, interruptions }: JobRecord): boolean =>
  recurrence !== undefined && attempts + interruptions === 0;

/** Returns the number of jobs for which `means` is true, on the first page of the list that has any. */
async function countFirst(driver: Driver, query: ListQuery, means: (job: JobRecord) => boolean): Promise<number> {
  for (let cursor: string | undefined; ; ) {
    const page = await driver.list({ ...query, limit: PAGE, ...(cursor !== undefined && { cursor }) });
    const found = page.jobs.filter(means).length;
    if (found > 0 || page.cursor === undefined) return found;
    cursor = page.cursor;
  }
}
