import type { ChildrenPage, ExchangeReply, ExchangeRequest, Schedule } from "../../engine/verbs.ts";
import type { JobRecord } from "../../job/job-record.ts";

/** The jobs of a list of ids. An id that is neither here nor `left` belongs to no job. */
export interface FoundJobs {
  readonly jobs: readonly JobRecord[];
  /** Ids that were not read, because the reply is full or a shard has not answered. */
  readonly left?: readonly string[] | undefined;
}

/**
 * Verbs of a remote driver that return one page, because a reply has at most 8 MiB (R31). The driver's own verbs, such
 * as `exchange`, combine the pages.
 */
export interface Pages {
  /** Runs an exchange. The reply has as many child outcomes as fit; `moreChildren` is the position of the next page. */
  exchangePage(request: ExchangeRequest): Promise<ExchangeReply>;
  /** Returns the page of a parent's child outcomes that begins after the position `after` (a `moreChildren`). */
  childrenPage(queue: string, id: string, after: string): Promise<ChildrenPage>;
  /** Returns a page of recurrences in the order of their keys, after `after` or from the first. Empty at the end. */
  schedulesPage(queue: string, after?: string): Promise<readonly Schedule[]>;
  /**
   * Returns the jobs with these ids, as many as fit.
   *
   * @param bytes maximum bytes, if replies of other stores share the reply. It has at least one job.
   */
  jobsPage(queue: string, ids: readonly string[], bytes?: number): Promise<FoundJobs>;
}

/** Reads all pages of a queue's recurrences. */
export async function allSchedules(
  page: (after?: string) => Promise<readonly Schedule[]>,
): Promise<readonly Schedule[]> {
  const all: Schedule[] = [];
  for (;;) {
    const next = await page(all[all.length - 1]?.key);
    // An older API returns all recurrences at once, so the second page would begin again.
    if (!next[0] || next[0].key === all[0]?.key) return all;
    for (const schedule of next) all.push(schedule);
  }
}
