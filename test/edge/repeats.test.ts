import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { edgeQueue } from "@quayside/edge";
import { afterEach, expect, it, vi } from "vitest";
import { chains, jobs } from "./queues.ts";

afterEach(reset);

it("R40: jobs that fail at once and are retried without a delay, a million times, keep nobody waiting: adds are answered, other objects too, and attempts become rare", async () => {
  const queue = edgeQueue<typeof jobs>(env.WORK_QUEUE, "hot", { jobs });
  const other = edgeQueue<typeof jobs>(env.WORK_QUEUE, "cool", { jobs });
  const hot = { maxAttempts: 1_000_000, backoff: 0 } as const;
  const ids = await queue.addJobs(
    Array.from({ length: 20 }, () => ({ name: "flaky" as const, payload: { failures: 1_000_000 }, ...hot })),
  );
  const id = await other.addJob("flaky", { failures: 0 });
  await vi.waitFor(async () => expect(await other.get(id)).toMatchObject({ state: "completed" }));
  // Ten retries at once, then one after a second: whatever the machine, few have happened by now.
  await vi.waitFor(async () => expect(await queue.get(ids[0] as string)).toMatchObject({ state: "delayed" }));
  for (const job of ids) expect((await queue.get(job))?.attempts).toBeLessThan(20);
  for (const job of ids) await queue.remove(job);
});

it("R40: a chain of jobs that each add the next keeps nobody waiting: adds are answered, other objects too", async () => {
  const RUNS = 1_000_000;
  const WAIT = { timeout: 10_000 };
  const queue = edgeQueue<typeof jobs>(env.WORK_QUEUE, "chain", { jobs });
  const other = edgeQueue<typeof jobs>(env.WORK_QUEUE, "calm", { jobs });
  chains.set("endless", RUNS);
  try {
    await queue.addJob("chain", { name: "endless" });
    await vi.waitFor(() => expect(chains.get("endless")).toBeLessThan(RUNS - 10), WAIT);
    const ids = [await queue.addJob("flaky", { failures: 0 }), await other.addJob("flaky", { failures: 0 })];
    await vi.waitFor(async () => {
      expect(await queue.get(ids[0] as string)).toMatchObject({ state: "completed" });
      expect(await other.get(ids[1] as string)).toMatchObject({ state: "completed" });
    }, WAIT);
    // The chain was going on all the while.
    expect(chains.get("endless")).toBeGreaterThan(0);
  } finally {
    chains.set("endless", 0);
  }
  await vi.waitFor(async () => expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0 }), WAIT);
}, 40_000);
