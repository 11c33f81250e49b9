import type { JobCounts, JobPage, JobRecord, JobState } from "@quayside/core";
import type { ListQuery } from "@quayside/core/engine";

/** The part of a `Queue` that shows its jobs. */
export interface Shown {
  list(query?: Omit<ListQuery, "queue">): Promise<JobPage>;
  counts(): Promise<JobCounts>;
}

export type Filter = JobState | "all";

export interface QueueView {
  readonly jobs: readonly JobRecord[];
  readonly counts: JobCounts;
  readonly hasMore: boolean;
}

/** A queue's counts and its first `limit` jobs: those that live, in their order, then the ended ones, newest first. */
export async function viewQueue(queue: Shown, filter: Filter, limit: number): Promise<QueueView> {
  if (filter !== "all") {
    const [counts, page] = await Promise.all([queue.counts(), queue.list({ state: filter, limit })]);
    return { counts, jobs: page.jobs, hasMore: page.cursor !== undefined };
  }
  const [counts, first] = await Promise.all([queue.counts(), queue.list({ limit })]);
  // A list goes state by state, so a long row of completed jobs would hide the failed ones behind it.
  const hidden = (["failed", "cancelled"] as const).filter((state) => counts[state] > 0 && first.cursor !== undefined);
  const others = await Promise.all(hidden.map((state) => queue.list({ state, limit })));
  const byId = new Map([first, ...others].flatMap(({ jobs }) => jobs).map((job) => [job.id, job]));
  const live = [...byId.values()].filter(({ finishedAt }) => finishedAt === undefined);
  const ended = [...byId.values()].filter(({ finishedAt }) => finishedAt !== undefined);
  ended.sort((a, b) => (b.finishedAt ?? 0) - (a.finishedAt ?? 0));
  const jobs = [...live, ...ended];
  return { counts, jobs: jobs.slice(0, limit), hasMore: first.cursor !== undefined || jobs.length > limit };
}
