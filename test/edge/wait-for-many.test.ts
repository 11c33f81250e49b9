import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, edgeQueue, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";
import { jobs } from "./queues.ts";

afterEach(reset);

const WAITERS = 1_000;
const api = queueApi({
  jobs,
  object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE,
  auth: bearerTokens({ token: { subject: "waits", scopes: ["enqueue", "work", "admin"] } }),
});

/** A queue over HTTP, and the requests that it sends: method and path without the queue. */
function counted(name: string) {
  const requests: string[] = [];
  const driver = httpDriver({
    url: "https://api.example",
    token: "token",
    fetch: async (url, init) => {
      requests.push(`${init.method} ${new URL(url).pathname.split("/").slice(2).join("/")}`);
      return api.request(url, init, env);
    },
  });
  return { queue: new Queue<typeof jobs>(name, driver, { jobs }), requests };
}

const email = { name: "email", payload: { to: "ada@example.com" } } as const;

describe("1,000 waiters of one queue over HTTP", () => {
  it("share one stream and few reads: less than one request per 20 waiters", async () => {
    const name = "many waiters";
    const { queue, requests } = counted(name);
    await queue.configure({ keep: { completed: WAITERS } });
    const ids = await queue.addJobs(Array.from({ length: WAITERS }, () => email));
    requests.length = 0;
    const waits = Promise.all(ids.map((id) => queue.waitFor(id)));
    const worker = edgeQueue<typeof jobs>(env.BARE_QUEUE, name, { jobs });
    worker.on("job:email", () => "done");
    await worker.run({ concurrency: 50 });
    expect(new Set(await waits)).toEqual(new Set(["done"]));
    await worker.stop();
    console.info(`${WAITERS} waiters made ${requests.length} requests`);
    expect(requests.filter((request) => request === "GET events")).toHaveLength(1);
    expect(requests.length).toBeLessThan(WAITERS / 20);
    await worker.driver.close();
    await queue.driver.close();
  });

  it("whose jobs have ended before make one request for all, and one for the stream", async () => {
    const { queue, requests } = counted("ended before");
    const ids = await queue.addJobs(Array.from({ length: WAITERS }, () => email));
    await queue.configure({ keep: { cancelled: WAITERS } });
    for (const id of ids.slice(0, 3)) await queue.cancel(id);
    requests.length = 0;
    const ends = await Promise.allSettled(ids.slice(0, 3).map((id) => queue.waitFor(id)));
    expect(ends.every(({ status }) => status === "rejected")).toBe(true);
    expect(requests.sort()).toEqual(["GET events", "POST find"]);
    await queue.driver.close();
  });
});

describe("POST /:queue/find", () => {
  const find = (body: unknown) =>
    api.request(
      "https://api.example/found/find",
      {
        method: "POST",
        headers: { authorization: "Bearer token", "content-type": "application/json" },
        body: JSON.stringify(body),
      },
      env,
    );

  it("answers the jobs that exist, in the order of the ids, each as GET answers it", async () => {
    const { queue } = counted("found");
    const [first = "", second = ""] = await queue.addJobs([email, { ...email, delay: "1h" }]);
    const response = await find({ ids: [second, "none", first] });
    expect(response.status).toBe(200);
    const answer = (await response.json()) as { readonly jobs: readonly unknown[] };
    expect(answer).toEqual({ jobs: [await queue.get(second), await queue.get(first)] });
    await queue.driver.close();
  });

  it("refuses no ids, too many, and ids of other types", async () => {
    for (const ids of [[], Array.from({ length: 1_001 }, (_, n) => `${n}`), [1], "id", undefined])
      expect((await find({ ids })).status, String(ids).slice(0, 20)).toBe(400);
  });
});
