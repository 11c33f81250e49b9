import type { JobCounts, JobMap, JobName, JobRecord, PayloadOf, Queue } from "@quayside/core";
import type { ListQuery } from "@quayside/core/engine";
import { type Live, type LiveOptions, LiveStore } from "./live-store.ts";

/** A job of a job map: its `name` selects the type of its `payload`. */
export type JobOf<Jobs extends JobMap> = {
  [Name in JobName<Jobs>]: JobRecord<PayloadOf<Jobs, Name>> & { readonly name: Name };
}[JobName<Jobs>];

/** One page of a live list of jobs. */
export interface LivePage<Jobs extends JobMap> {
  readonly jobs: readonly JobOf<Jobs>[];
  /** There are more: pass it in a query for the next page. */
  readonly cursor?: string;
  /** For each job the cursor of what comes after it, where the query asks for `positions`. */
  readonly positions?: readonly string[];
}

/** Which jobs: those of one state, those that bear tags; at most `limit`, 100 by default. */
export type LiveQuery = Omit<ListQuery, "queue">;

/** Number of delayed jobs that are read to find the one due first: their order is by priority, then by time. */
const DELAYED_LOOKED_AT = 10;

/**
 * A page of a queue's jobs that keeps up with them: those added, claimed and ended in any tab, the progress of those that
 * run, the delayed ones as they fall due.
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
    read: () => queue.list(query) as Promise<LivePage<Jobs>>,
    watch: (listener: () => void) => queue.watch(listener),
    // Those that fall due come to a page of waiting jobs from elsewhere.
    changesAt: ({ jobs }: LivePage<Jobs>) => (query.state === "waiting" ? nextDue(queue) : firstDue(jobs)),
  };
  return new LiveStore(source, options);
}

/**
 * How many jobs of a queue are in each state, kept up to date: see `liveJobs`.
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

/** When the first delayed job of a queue is due. Asks the driver: an encrypted payload need not be read for this. */
async function nextDue({ name, driver }: Pick<Queue, "name" | "driver">): Promise<number | undefined> {
  return firstDue((await driver.list({ queue: name, state: "delayed", limit: DELAYED_LOOKED_AT })).jobs);
}

function firstDue(jobs: readonly JobRecord[]): number | undefined {
  const instants = jobs.filter(({ state }) => state === "delayed").map(({ availableAt }) => availableAt);
  return instants.length > 0 ? Math.min(...instants) : undefined;
}
