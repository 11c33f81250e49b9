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
