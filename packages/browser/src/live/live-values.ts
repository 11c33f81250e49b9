import type { JobCounts, JobMap, JobOf, JobPage, JobRecord, Queue } from "@quayside/core";
import type { ListQuery } from "@quayside/core/engine";
import { type Live, type LiveOptions, LiveStore } from "./live-store.ts";

/** One page of a live list of jobs. */
export type LivePage<Jobs extends JobMap> = JobPage<JobOf<Jobs>>;

/** Selects the jobs of a live list by state or tags. `limit`: maximum number of jobs; default 100. */
export type LiveQuery = Omit<ListQuery, "queue">;

/**
 * Number of delayed jobs that are read to find the one that is due first. The list sorts by priority first, so the
 * result is approximate.
 */
const DELAYED_LOOKED_AT = 10;

/**
 * Creates a live page of a queue's jobs, updated when jobs are added, claimed, ended, report progress or become due, in
 * any tab. On an outbox whose remote cannot be reached, a page that needs the remote has `partial: true`.
 *
 * @example
 * const failed = liveJobs(queue, { state: "failed", limit: 20 });
 * const stop = failed.subscribe(({ value, error }) => {
 *   if (error) showError(error);
 *   if (value) list.replaceChildren(...value.jobs.map(row));
 * });
 */
export function liveJobs<Jobs extends JobMap, Ctx extends object>(
  queue: Queue<Jobs, Ctx>,
  query: LiveQuery = {},
  options: LiveOptions = {},
): Live<LivePage<Jobs>> {
  const source = {
    read: () => queue.list(query),
    watch: (listener: () => void) => queue.watch(listener),
    // Jobs on the page of waiting jobs also come from the delayed ones.
    changesAt: ({ jobs }: LivePage<Jobs>) => (query.state === "waiting" ? nextDue(queue) : firstDue(jobs)),
  };
  return new LiveStore(source, options);
}

/**
 * Creates the live numbers of a queue's jobs by state: see `liveJobs`. On an outbox whose remote cannot be reached, they
 * count its undelivered jobs and have `partial: true`.
 *
 * @example
 * const counts = liveCounts(queue);
 * counts.subscribe(({ value }) => {
 *   if (value) badge.textContent = String(value.waiting + value.active);
 * });
 */
export function liveCounts<Jobs extends JobMap, Ctx extends object>(
  queue: Queue<Jobs, Ctx>,
  options: LiveOptions = {},
): Live<JobCounts> {
  const source = {
    read: () => queue.counts(),
    watch: (listener: () => void) => queue.watch(listener),
    changesAt: ({ delayed }: JobCounts) => (delayed > 0 ? nextDue(queue) : undefined),
  };
  return new LiveStore(source, options);
}

/**
 * Returns when the first delayed job of a queue is due. Calls the driver directly, because payloads need not be
 * decrypted.
 */
async function nextDue({ name, driver }: Pick<Queue, "name" | "driver">): Promise<number | undefined> {
  return firstDue((await driver.list({ queue: name, state: "delayed", limit: DELAYED_LOOKED_AT })).jobs);
}

function firstDue(jobs: readonly JobRecord[]): number | undefined {
  const instants = jobs.filter(({ state }) => state === "delayed").map(({ availableAt }) => availableAt);
  return instants.length > 0 ? Math.min(...instants) : undefined;
}
