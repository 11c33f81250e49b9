import { httpDriver } from "@quayside/core/http";
import { createManualClock, type ManualClock } from "@quayside/testing";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

interface Sent {
  readonly request: string;
  readonly ids: readonly string[];
  answer(body: unknown, status?: number): void;
}

const job = (id: string) => ({ id, queue: "mail", name: "email", payload: null });
const page = (...ids: string[]) => ({ jobs: ids.map(job) });
const problem = (code: string) => ({ code, detail: code });

describe("reads of jobs over HTTP", () => {
  let clock: ManualClock;
  let sent: Sent[];
  let driver: ReturnType<typeof httpDriver>;

  beforeEach(() => {
    clock = createManualClock();
    sent = [];
    driver = httpDriver({
      url: "https://api.test/queues",
      clock,
      fetch: (url, init) =>
        new Promise((resolve) => {
          const { ids = [] } = init.body === undefined ? {} : (JSON.parse(`${init.body}`) as { ids?: string[] });
          sent.push({
            request: `${init.method} ${url.slice("https://api.test/queues".length)}`,
            ids,
            answer: (body, status = 200) => resolve(Response.json(body, { status })),
          });
        }),
    });
  });
  afterEach(() => driver.close());

  const get = (...ids: string[]) => ids.map((id) => driver.get("mail", id));
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const requests = () => sent.map(({ request }) => request);

  it("are one request if they begin at once, each id named once", async () => {
    const reads = get("a", "b", "a", "c");
    await turn();
    expect(requests()).toEqual(["POST /mail/find"]);
    expect(sent[0]?.ids).toEqual(["a", "b", "c"]);
    sent[0]?.answer(page("c", "a"));
    expect(await Promise.all(reads)).toEqual([job("a"), undefined, job("a"), job("c")]);
  });

  it("are one request per queue, and a read alone is a GET", async () => {
    const reads = [driver.get("mail", "a"), driver.get("post", "a")];
    await turn();
    expect(requests().sort()).toEqual(["GET /mail/jobs/a", "GET /post/jobs/a"]);
    for (const one of sent) one.answer(problem("job_not_found"), 404);
    expect(await Promise.all(reads)).toEqual([undefined, undefined]);
  });

  it("that begin while a request is on its way are the next request", async () => {
    const first = get("a");
    await turn();
    const more = [...get("b")];
    await turn();
    more.push(...get("c"));
    await turn();
    expect(sent).toHaveLength(1);
    sent[0]?.answer(job("a"));
    await Promise.all(first);
    await turn();
    expect(sent).toHaveLength(2);
    expect(sent[1]?.ids).toEqual(["b", "c"]);
    sent[1]?.answer(page("b", "c"));
    expect(await Promise.all(more)).toEqual([job("b"), job("c")]);
  });

  it("wait at most 100 ms for a request that hangs", async () => {
    void get("a").map((read) => read.catch(() => {}));
    await turn();
    const [read] = get("b");
    await clock.advance(99);
    expect(sent).toHaveLength(1);
    await clock.advance(1);
    await turn();
    sent[1]?.answer(job("b"));
    expect(await read).toEqual(job("b"));
  });

  it("are at most 1,000 per request", async () => {
    const reads = get(...Array.from({ length: 1_001 }, (_, n) => `${n}`));
    await turn();
    expect(sent.map(({ ids }) => ids.length)).toEqual([1_000, 0]);
    for (const one of sent) one.answer(one.ids.length > 0 ? page(...one.ids) : job("1000"));
    expect(new Set((await Promise.all(reads)).map((found) => found?.id)).size).toBe(1_001);
  });

  it("ask again for what a full reply leaves, and alone for what no reply of many has", async () => {
    const reads = get("a", "b", "c", "broken");
    await turn();
    sent[0]?.answer({ ...page("a"), left: ["b", "c", "broken"] });
    await turn();
    expect(sent[1]?.ids).toEqual(["b", "c", "broken"]);
    sent[1]?.answer({ jobs: [], left: ["b", "c", "broken"] });
    await turn();
    expect(requests().slice(2)).toEqual(["GET /mail/jobs/b", "GET /mail/jobs/c", "GET /mail/jobs/broken"]);
    sent[2]?.answer(job("b"));
    sent[3]?.answer(problem("job_not_found"), 404);
    sent[4]?.answer(problem("network"), 503);
    const [a, b, c, broken] = await Promise.allSettled(reads);
    expect([a, b, c]).toMatchObject([{ value: job("a") }, { value: job("b") }, { value: undefined }]);
    expect(broken).toMatchObject({ status: "rejected", reason: { code: "network" } });
  });

  it("are all refused with the request that they share, and the next ones are not", async () => {
    const reads = get("a", "b");
    await turn();
    sent[0]?.answer(problem("forbidden"), 403);
    for (const read of reads) await expect(read).rejects.toMatchObject({ code: "forbidden" });
    const [next] = get("a");
    await turn();
    sent[1]?.answer(job("a"));
    expect(await next).toEqual(job("a"));
  });

  it("reject with closed once the driver is closed", async () => {
    await driver.close();
    for (const read of get("a", "b")) await expect(read).rejects.toMatchObject({ code: "closed" });
  });
});
