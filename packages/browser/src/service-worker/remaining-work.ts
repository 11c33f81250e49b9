import type { Driver, JobRecord } from "@quayside/core";
import type { ListQuery, WorkPlace } from "@quayside/core/engine";

/** Work that a drain left undone. */
export interface RemainingWork {
  readonly jobs: number;
  /** How many of them workers elsewhere hold. */
  readonly held: number;
  /** Ms until the first may be claimed, or taken back from a worker that is gone; infinite where that is not known. */
  readonly dueInMs: number;
}

/** Jobs read for one answer, per queue. */
const PAGE = 100;

/**
 * Asks the stores for the jobs that need another drain: those that wait for a retry, a delay or a rate limit,
 * and those that other workers hold, which may be closed with their page. Not: paused queues, jobs that wait for other
 * jobs, and the next occurrences of recurrences, of which there is always one.
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

/** How many of the jobs are meant, on the first page on which any is. */
async function countFirst(driver: Driver, query: ListQuery, means: (job: JobRecord) => boolean): Promise<number> {
  for (let cursor: string | undefined; ; ) {
    const page = await driver.list({ ...query, limit: PAGE, ...(cursor !== undefined && { cursor }) });
    const found = page.jobs.filter(means).length;
    if (found > 0 || page.cursor === undefined) return found;
    cursor = page.cursor;
  }
}
