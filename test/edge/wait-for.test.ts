import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, edgeQueue, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { jobs } from "./queues.ts";

afterEach(reset);

const api = queueApi({
  jobs,
  object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE,
  auth: bearerTokens({ token: { subject: "waits", scopes: ["enqueue", "work", "admin"] } }),
});
const ways: Readonly<Record<string, (name: string) => Queue<typeof jobs>>> = {
  "over RPC": (name) => edgeQueue<typeof jobs>(env.BARE_QUEUE, name, { jobs }),
  "over HTTP": (name) => {
    const fetch = (url: string | URL | Request, init?: RequestInit) => api.request(url as string, init, env);
    const driver = httpDriver({ url: "https://api.example", token: "token", fetch: async (...call) => fetch(...call) });
    return new Queue<typeof jobs>(name, driver, { jobs });
  },
};

const JOBS = 100;

describe.each(Object.keys(ways))("many parallel waits %s", (way) => {
  it("read each job a few times, not once for every job that ends", async () => {
    const open = ways[way] as (name: string) => Queue<typeof jobs>;
    const [queue, worker] = [open(`waits-${way}`), open(`waits-${way}`)];
    let waits: Promise<unknown>[] = [];
    let begun = 0;
    // One after the other, so that each end is a change of its own, and there is time to look after it.
    worker.on("job:email", async () => {
      await waits[begun++ - 1];
      return "done";
    });
    const ids = await queue.addJobs(
      Array.from({ length: JOBS }, () => ({ name: "email" as const, payload: { to: "a@b.example" } })),
    );
    const reads = vi.spyOn(queue.driver, "get");
    waits = ids.map((id) => queue.waitFor(id));
    await worker.run({ concurrency: 1 });
    expect(new Set(await Promise.all(waits))).toEqual(new Set(["done"]));
    await worker.stop();
    expect(reads.mock.calls.length).toBeGreaterThanOrEqual(JOBS);
    expect(reads.mock.calls.length).toBeLessThan(4 * JOBS);
    for (const { driver } of [queue, worker]) await driver.close();
  });
});
