import { broadcastEvents, indexedDbDriver } from "@quayside/browser";
import { type Duration, Queue } from "@quayside/core";

export interface ThreadJobs {
  /** `hold`: it never ends, unless it was cut off before. */
  sum: { readonly numbers: readonly number[]; readonly hold?: boolean };
}

export interface StartThread {
  readonly name: string;
  readonly lease?: Duration;
}

/** Tells one thread from another. */
const thread = crypto.randomUUID();
const running = new Map<string, Promise<void>>();

/** Works the queue of that name in this thread, once. */
export function work({ name, lease }: StartThread): Promise<void> {
  const known = running.get(name);
  if (known) return known;
  const queue = new Queue<ThreadJobs>("sums", indexedDbDriver({ name }));
  queue.on("job:sum", async ({ numbers, hold }, ctx) => {
    ctx.progress(0.5);
    if (hold && ctx.job.interruptions === 0) await new Promise(() => {});
    return { thread, sum: numbers.reduce((sum, number) => sum + number, 0) };
  });
  broadcastEvents(queue, name);
  const started = queue.run({ lease });
  running.set(name, started);
  return started;
}
