import type { ChildrenPage, ExchangeReply } from "../../engine/verbs.ts";

/**
 * Returns an exchange's reply with all child outcomes of each claimed parent. Reads the pages that did not fit into the
 * reply.
 *
 * @param page reads one page, as `Pages.childrenPage`. Its last argument is the token of the parent's attempt.
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
