import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { edgeQueue } from "@quayside/edge";
import { afterEach, expect, it, vi } from "vitest";
import { jobs } from "./queues.ts";

afterEach(reset);

const JOBS = 10_000;

it("10,000 jobs in a Durable Object, aborted midway: every one is completed, none is lost", {
  timeout: 120_000,
}, async () => {
  const queue = edgeQueue<typeof jobs>(env.WIDE_QUEUE, "kill", { jobs });
  const object = env.WIDE_QUEUE.getByName("kill");
  await queue.configure({ keep: { completed: JOBS } });
  const ids = new Set<string>();
  for (let batch = 0; batch < 10; batch++) {
    // One in fifty takes a moment, so that some run whenever the object dies.
    const sleeps = Array.from({ length: JOBS / 10 }, (_, n) => ({
      name: "sleep" as const,
      payload: { ms: n % 50 === 0 ? 1 : 0 },
    }));
    for (const id of await queue.addJobs(sleeps)) ids.add(id);
  }
  const midway = await vi.waitFor(
    async () => {
      const counts = await queue.counts();
      expect(counts.completed).toBeGreaterThan(3_000);
      return counts;
    },
    { timeout: 60_000, interval: 5 },
  );
  expect(midway.completed).toBeLessThan(JOBS);
  await runInDurableObject(object, (_, state) => state.abort("killed")).catch(() => {});

  // The next call to the object starts it anew, and it goes on from what is on disk.
  await vi.waitFor(async () => expect(await queue.size()).toBe(0), { timeout: 60_000, interval: 50 });
  const completed = new Set<string>();
  let interrupted = 0;
  for (let cursor: string | undefined, first = true; first || cursor !== undefined; first = false) {
    const page = await queue.list({ state: "completed", limit: 1_000, ...(cursor !== undefined && { cursor }) });
    for (const job of page.jobs) {
      completed.add(job.id);
      if (job.interruptions > 0) interrupted++;
    }
    cursor = page.cursor;
  }
  console.info(
    `Durable Object: ${completed.size} of ${JOBS} completed, ${midway.completed} before it was aborted, ${interrupted} interrupted`,
  );
  expect(completed).toEqual(ids);
  expect(completed.size).toBe(JOBS);
  expect(interrupted).toBeGreaterThan(0);
  expect(await queue.counts()).toMatchObject({ waiting: 0, delayed: 0, active: 0, failed: 0, completed: JOBS });
});
