import { aesGcm, defineJobs, type FlowIds, type JobRecord, memoryDriver, QueueManager } from "@quayside/core";
import { describe, expect, it } from "vitest";
import { mailQueue, rejection } from "./support.ts";

describe("addFlow", () => {
  it("runs a parent after all its children, with their results", async () => {
    const { queue } = mailQueue();
    const order: unknown[] = [];
    queue.on("job:resize", (payload) => {
      order.push(payload);
      return (payload as number) * 2;
    });
    queue.on("job:album", (_, ctx) => {
      order.push("album");
      return ctx.children().map(({ name, state, result }) => [name, state, result]);
    });
    const { id, children } = await queue.addFlow({
      name: "album",
      payload: null,
      children: [1, 2].map((payload) => ({ name: "resize", payload })),
    });
    expect(children).toHaveLength(2);
    expect(await queue.get(id)).toMatchObject({ state: "waiting", blockedBy: "children" });
    await queue.drain();
    expect(order).toEqual([1, 2, "album"]);
    const { result } = (await queue.get(id)) ?? {};
    expect((result as unknown[][]).sort()).toEqual([
      ["resize", "completed", 2],
      ["resize", "completed", 4],
    ]);
  });

  it("nests, and spans queues of one driver, in one transaction", async () => {
    const { queue, driver } = mailQueue();
    let calls = 0;
    const enqueue = driver.enqueue.bind(driver);
    driver.enqueue = (...args) => {
      calls++;
      return enqueue(...args);
    };
    const ids = await queue.addFlow({
      name: "root",
      payload: 0,
      priority: 7,
      children: [
        { name: "branch", payload: 1, children: [{ name: "leaf", payload: 2, queue: "leaves" }] },
        { name: "leaf", payload: 3 },
      ],
    });
    expect(calls).toBe(1);
    const leaf = ids.children[0]?.children[0]?.id as string;
    expect(await driver.get("leaves", leaf)).toMatchObject({ state: "waiting", payload: 2 });
    expect(await queue.get(ids.children[0]?.id as string)).toMatchObject({ blockedBy: "children" });
    expect(await queue.get(ids.id)).toMatchObject({ priority: 7, blockedBy: "children" });
  });

  it("a child that fails for good fails its parent, unless it says ignore", async () => {
    const { queue } = mailQueue();
    queue.on("job:bad", (_, ctx) => ctx.fail("no"));
    queue.on("job:parent", (_, ctx) => ctx.children().map(({ state, error }) => [state, error?.code]));
    const strict = await queue.addFlow({ name: "parent", payload: 1, children: [{ name: "bad", payload: 1 }] });
    const lenient = await queue.addFlow({
      name: "parent",
      payload: 1,
      children: [{ name: "bad", payload: 1, onFailure: "ignore" }],
    });
    await queue.drain();
    expect(await queue.get(strict.id)).toMatchObject({ state: "failed", error: { code: "child_failed" } });
    expect(await queue.get(lenient.id)).toMatchObject({ state: "completed", result: [["failed", "unrecoverable"]] });
  });

  it("flows added in the same turn do not mix", async () => {
    const { queue } = mailQueue();
    queue.on("job:leaf", (payload) => payload);
    queue.on("job:root", (_, ctx) => ctx.children().map(({ result }) => result));
    const flow = (payload: number) => queue.addFlow({ name: "root", payload, children: [{ name: "leaf", payload }] });
    const flows = await Promise.all([flow(1), flow(2)]);
    await queue.drain();
    for (const [index, { id }] of flows.entries()) expect(await queue.get(id)).toMatchObject({ result: [index + 1] });
  });

  it("is all or nothing", async () => {
    const { queue } = mailQueue();
    const flow = { name: "a", payload: 1, children: [{ name: "b", payload: () => {} }] };
    expect(await rejection(queue.addFlow(flow))).toMatchObject({ code: "invalid_payload" });
    expect(await queue.size()).toBe(0);
  });
});

describe("a flow that is too large", () => {
  const tooLarge = {
    code: "invalid_option",
    message: "flow must have at most 100 levels and 10000 jobs below its root: add it as several flows.",
    details: { option: "flow" },
  };
  const node = (...children: readonly object[]) => ({ name: "a", payload: 1, children });
  const times = (count: number, make: (below: object) => object): object => {
    let flow: object = node();
    for (let n = 0; n < count; n++) flow = make(flow);
    return flow;
  };
  const endless = (): object => ({
    name: "a",
    payload: 1,
    get children() {
      return [endless()];
    },
  });

  for (const [title, flow] of [
    ["of 101 levels", times(100, (below) => node(below))],
    ["of 20,000 levels", times(20_000, (below) => node(below))],
    ["whose getter of children never ends", endless()],
    ["of 31 objects, each twice a child of the next", times(30, (below) => node(below, below))],
    ["of 10,001 children", node(...new Array<object>(10_001).fill(node()))],
  ] as const)
    it(`is refused: ${title}`, async () => {
      const { queue } = mailQueue();
      expect(await rejection(queue.addFlow(flow as never))).toMatchObject(tooLarge);
      expect(await queue.size()).toBe(0);
    });

  it("is taken at the bound: of 100 levels, of 10,000 jobs", async () => {
    const { queue } = mailQueue();
    await queue.addFlow(times(99, (below) => node(below)) as never);
    expect(await queue.size()).toBe(100);
    const jobs = Array.from({ length: 10_000 }, () => ({ name: "a", payload: 1 }));
    await queue.addBatch(jobs, { onComplete: { name: "b", payload: 1 } });
    expect(await queue.size()).toBe(10_101);
    const over = queue.addBatch([...jobs, ...jobs], { onComplete: { name: "b", payload: 1 } });
    expect(await rejection(over)).toMatchObject(tooLarge);
    expect(await queue.size()).toBe(10_101);
  });
});

describe("addBatch", () => {
  it("runs onComplete when all have ended, however they ended", async () => {
    const { queue } = mailQueue();
    queue.on("job:import", (payload, ctx) => (payload === 2 ? ctx.fail("no") : payload));
    queue.on("job:report", (_, ctx) => ctx.children().filter(({ state }) => state === "completed").length);
    const { id, ids } = await queue.addBatch(
      [1, 2, 3].map((payload) => ({ name: "import", payload, maxAttempts: 1 })),
      { onComplete: { name: "report", payload: { file: "a.csv" }, tags: ["report"] } },
    );
    expect(ids).toHaveLength(3);
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ state: "completed", result: 2, tags: ["report"] });
  });
});

describe("addSequence", () => {
  it("names the job that is wrong, and adds none", async () => {
    const { queue } = mailQueue();
    const good = { name: "a", payload: 1 };
    const wrong = [
      [{ ...good, priority: 500 }, "invalid_option", "priority"],
      [{ ...good, children: [good] }, "invalid_option", "children"],
      [{ ...good, onFailure: "ignore" }, "invalid_option", "onFailure"],
      [{ ...good, options: { priority: 5 } }, "invalid_option", "options"],
      [{ ...good, payload: 1n }, "invalid_payload", undefined],
    ] as const;
    for (const [job, code, option] of wrong)
      expect(await rejection(queue.addSequence([good, job as never, good]))).toMatchObject({
        code,
        details: { at: "jobs[1]", ...(option && { option }) },
      });
    expect(await rejection(queue.addSequence([good, null as never]))).toMatchObject({ code: "invalid_option" });
    expect(await rejection(queue.addSequence(good as never))).toMatchObject({ details: { option: "jobs" } });
    expect(await queue.size()).toBe(0);
  });

  it("refuses an id that two of its jobs have, because they would wait for each other", async () => {
    const { queue } = mailQueue();
    const jobs = ["x", "y", "x"].map((id) => ({ name: "a", payload: 1, id }));
    expect(await rejection(queue.addSequence(jobs))).toMatchObject({ code: "invalid_option" });
    expect(await queue.size()).toBe(0);
  });

  it("takes 100 jobs, and refuses 101", async () => {
    const { queue } = mailQueue();
    const ran: unknown[] = [];
    queue.on("job:a", (payload) => void ran.push(payload));
    const jobs = Array.from({ length: 101 }, (_, payload) => ({ name: "a", payload }));
    expect(await rejection(queue.addSequence(jobs))).toMatchObject({
      code: "invalid_option",
      message: "jobs must be at most 100 in a sequence: add them as several.",
    });
    await queue.addSequence(jobs.slice(0, 100));
    await queue.drain();
    expect(ran).toEqual(Array.from({ length: 100 }, (_, payload) => payload));
  });

  it("of one job is a job without children", async () => {
    const { queue } = mailQueue();
    queue.on("job:a", (_, ctx) => ctx.children().length);
    const [id] = await queue.addSequence([{ name: "a", payload: 1 }]);
    await queue.drain();
    expect(await queue.get(id as string)).toMatchObject({ state: "completed", result: 0 });
  });
});

describe("ctx.addFlow", () => {
  it("of a manager's handler adds to the queue and connection of the running job", async () => {
    const manager = new QueueManager({ driver: memoryDriver() });
    const second = memoryDriver();
    manager.addConnection("second", second);
    const queue = manager.connection("second").queue("albums");
    queue.on("job:start", (_, ctx) =>
      ctx.addFlow({ name: "album", payload: 0, children: [{ name: "resize", payload: 1, queue: "images" }] }),
    );
    queue.on("job:album", (_, ctx) => ctx.children().length);
    const id = await queue.addJob("start", null);
    await queue.drain();
    const { result } = (await queue.get(id)) as JobRecord;
    const flow = result as unknown as FlowIds;
    expect(await second.get("albums", flow.id)).toMatchObject({ blockedBy: "children" });
    expect(await second.get("images", flow.children[0]?.id as string)).toMatchObject({ state: "waiting" });
  });

  it("encrypts the jobs whose definition says so", async () => {
    const jobs = defineJobs({ start: {}, root: { encrypted: true }, leaf: { encrypted: true } });
    const key = { a: new Uint8Array(32).fill(7) };
    const { queue, driver } = mailQueue({ jobs, encryption: aesGcm({ keys: key, current: "a" }) });
    queue.on("job:start", (_, ctx) =>
      ctx.addFlow({ name: "root", id: "root", payload: "s3cret", children: [{ name: "leaf", payload: "s3cret" }] }),
    );
    queue.on("job:leaf", (payload) => `leaf ${payload}`);
    queue.on("job:root", (payload, ctx) => [payload, ...ctx.children().map(({ result }) => result)]);
    await queue.addJob("start", null);
    await queue.drain();
    expect(JSON.stringify(await driver.list({ queue: "mail" }))).not.toContain("s3cret");
    expect(await queue.get("root")).toMatchObject({ state: "completed", result: ["s3cret", "leaf s3cret"] });
  });
});
