import type { ClaimQueue } from "../store/verbs.ts";
import type { WorkerQueue } from "./worker-options.ts";

/** What to claim from: every round begins with another queue, so that none is always last. */
export function claimQueues<Ctx extends object>(
  queues: readonly WorkerQueue<Ctx>[],
  round: number,
  running: (queue: string) => number,
): ClaimQueue[] {
  const first = round % Math.max(1, queues.length);
  return [...queues.slice(first), ...queues.slice(0, first)].flatMap(({ name, concurrency, names }) => {
    const known = names?.();
    // Without any handler there is nothing to claim, and nothing to call unknown.
    if (known?.length === 0) return [];
    const limit = concurrency && { limit: Math.max(0, concurrency - running(name)) };
    return [{ queue: name, ...limit, ...(known && { names: known }) }];
  });
}
