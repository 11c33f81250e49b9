import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { JobRecord, Queue } from "@quayside/core";
import { edgeQueue } from "@quayside/edge";
import { vi } from "vitest";
import { jobs, type WorkQueue } from "./queues.ts";

const names = (function* () {
  for (let count = 0; ; count++) yield `queue-${count}`;
})();

/** A queue in an object of its own that works it, and ways to look inside the object. */
export function open(name = names.next().value as string) {
  const queue = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs });
  const object = env.WORK_QUEUE.getByName(name);
  const storage = <T>(work: (storage: DurableObjectStorage) => T) =>
    runInDurableObject(object, (_: WorkQueue, state) => work(state.storage));
  return { name, queue, object, storage, alarm: () => storage((inside) => inside.getAlarm()) };
}

/** The job, once it has ended. */
export async function ended(queue: Pick<Queue, "get">, id: string): Promise<JobRecord> {
  const states = ["completed", "failed", "cancelled"];
  return vi.waitFor(
    async () => {
      const job = await queue.get(id);
      if (!job || !states.includes(job.state)) throw new Error(`Job ${id} is ${job?.state}.`);
      return job;
    },
    { timeout: 10_000, interval: 10 },
  );
}
