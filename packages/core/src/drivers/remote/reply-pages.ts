import type { ChildrenPage, ExchangeReply, ExchangeRequest, Schedule } from "../../engine/verbs.ts";

/** The verbs that a remote driver asks page by page, since a reply holds 8 MiB (R31). `Driver`'s own verbs put the pages together. */
export interface Pages {
  /** One round, with as many outcomes of children as the reply holds: `moreChildren` says where to go on. */
  exchangePage(request: ExchangeRequest): Promise<ExchangeReply>;
  /** Where to go on in the outcomes of a parent's children: as `ClaimedJob.moreChildren` says. */
  childrenPage(queue: string, id: string, after: string): Promise<ChildrenPage>;
  /** Recurrences in the order of their keys, those after one or from the first; none at the end. */
  schedulesPage(queue: string, after?: string): Promise<readonly Schedule[]>;
}

/**
 * The reply with all that became of the children of each parent.
 *
 * @param page as `Pages.childrenPage`, and with it the token of the parent.
 */
export async function withAllChildren<Reply extends ExchangeReply>(
  reply: Reply,
  page: (queue: string, id: string, after: string, token: string) => Promise<ChildrenPage>,
): Promise<Reply> {
  if (reply.jobs.every(({ moreChildren }) => moreChildren === undefined)) return reply;
  const jobs: ExchangeReply["jobs"][number][] = [];
  for (const { moreChildren, children = [], ...claimed } of reply.jobs) {
    const all = [...children];
    for (let after = moreChildren; after !== undefined; ) {
      const next = await page(claimed.job.queue, claimed.job.id, after, claimed.token);
      for (const child of next.children) all.push(child);
      after = next.moreChildren;
    }
    jobs.push(claimed.job.hasChildren ? { ...claimed, children: all } : claimed);
  }
  return { ...reply, jobs };
}

/** All pages of a queue's recurrences. */
export async function allSchedules(
  page: (after?: string) => Promise<readonly Schedule[]>,
): Promise<readonly Schedule[]> {
  const all: Schedule[] = [];
  for (;;) {
    const next = await page(all[all.length - 1]?.key);
    // An API that answers all at once begins again.
    if (!next[0] || next[0].key === all[0]?.key) return all;
    for (const schedule of next) all.push(schedule);
  }
}
