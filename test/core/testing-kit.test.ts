import { memoryDriver, Queue, QueueManager } from "@quayside/core";
import { createManualClock, drain, inline, inlineDriver, recorded } from "@quayside/testing";
import { describe, expect, it, vi } from "vitest";

describe("inlineDriver", () => {
  it("runs a job as it is added, before addJob resolves, and what its handler adds too", async () => {
    const queue = new Queue("mail", inlineDriver());
    const ran: string[] = [];
    queue.on("job:user", async (_, ctx) => {
      ran.push("user");
      await ctx.enqueue({ name: "email", payload: null });
    });
    queue.on("job:email", () => ran.push("email"));
    const id = await queue.addJob("user", null);
    expect(ran).toEqual(["user", "email"]);
    expect(await queue.get(id)).toMatchObject({ state: "completed" });
  });

  it("keeps a job that failed as it failed, and leaves delayed ones waiting", async () => {
    const clock = createManualClock();
    const queue = new Queue("mail", inline(memoryDriver({ clock })), { clock });
    queue.on("job:email", (_, ctx) => ctx.fail("no"));
    const failed = await queue.addJob("email", null);
    const delayed = await queue.addJob("email", null, { delay: "1h" });
    expect(await queue.get(failed)).toMatchObject({ state: "failed" });
    expect(await queue.get(delayed)).toMatchObject({ state: "delayed" });
  });

  it("works under a manager, for batches and flows too", async () => {
    const manager = new QueueManager({ driver: inlineDriver() });
    const ran: unknown[] = [];
    manager.registerJob({ name: "a", handler: (payload) => ran.push(payload) });
    await manager.enqueueAll([1, 2].map((payload) => ({ name: "a", payload })));
    await manager.queue().addFlow({ name: "a", payload: "parent", children: [{ name: "a", payload: "child" }] });
    expect(ran).toEqual([1, 2, "child", "parent"]);
  });
});

describe("an add to an inline driver resolves after its job ran", () => {
  it("where a handler adds to another queue, and that one's to the first", async () => {
    const driver = inlineDriver();
    const [a, b] = [new Queue("a", driver), new Queue("b", driver)];
    const ran: string[] = [];
    a.on("job:first", async () => {
      await b.addJob("second", 1);
      ran.push("first");
    });
    b.on("job:second", async () => {
      await a.addJob("third", 1);
      ran.push("second");
    });
    a.on("job:third", () => void ran.push("third"));
    await a.addJob("first", 1);
    expect(ran.toSorted()).toEqual(["first", "second", "third"]);
    expect(ran.indexOf("second")).toBeLessThan(ran.indexOf("first"));
    expect([await a.size(), await b.size()]).toEqual([0, 0]);
  });

  it("where a handler adds to another connection of its manager", async () => {
    const manager = new QueueManager({ connections: { one: inlineDriver(), two: inlineDriver() } });
    const ran: string[] = [];
    manager.registerJob({
      name: "first",
      connection: "one",
      handler: async (_, ctx) => {
        await ctx.enqueue({ name: "second", payload: 1 });
        ran.push("first");
      },
    });
    manager.registerJob({ name: "second", connection: "two", handler: () => void ran.push("second") });
    await manager.enqueue({ name: "first", payload: 1 });
    expect(ran.toSorted()).toEqual(["first", "second"]);
  });

  it("where others add at the same time, or while one runs", async () => {
    const queue = new Queue("mail", inlineDriver());
    const ran: unknown[] = [];
    const waiting: (() => void)[] = [];
    queue.on("job:email", async (payload) => {
      await new Promise<void>((resolve) => waiting.push(resolve));
      ran.push(payload);
    });
    const add = async (payload: number) => {
      await queue.addJob("email", payload);
      expect(ran).toContain(payload);
    };
    const adds = [add(1), add(2)];
    await vi.waitUntil(() => waiting.length === 2);
    adds.push(add(3));
    await vi.waitUntil(() => waiting.length === 3);
    for (const finish of waiting.toReversed()) finish();
    await Promise.all(adds);
  });

  it("of a queue without handlers leaves the job to others, and says nothing", async () => {
    const driver = inlineDriver();
    const producer = new Queue("mail", driver);
    const faults: unknown[] = [];
    producer.on("error", ({ error }) => faults.push(error));
    const id = await producer.addJob("email", 1);
    expect([(await producer.get(id))?.state, faults]).toEqual(["waiting", []]);
  });
});

describe("drain", () => {
  it("works queues through delays and retries by moving the clock", async () => {
    const clock = createManualClock();
    const queue = new Queue("mail", memoryDriver({ clock }), { clock });
    const ran: unknown[] = [];
    queue.on("job:email", (_, ctx) => {
      ran.push(ctx.attempt);
      if (ctx.attempt < 3) throw new Error("no");
    });
    await queue.addJob("email", null, { delay: "1d", backoff: "1h" });
    await drain(queue);
    expect(ran).toEqual([]);
    await drain(queue, { clock });
    expect(ran).toEqual([1, 2, 3]);
  });

  it("stops moving the clock where it is told to, for recurrences that never end", async () => {
    const clock = createManualClock();
    const queue = new Queue("mail", memoryDriver({ clock }), { clock });
    let ran = 0;
    queue.on("job:tick", () => ++ran);
    await queue.schedule("tick", { every: "1h", name: "tick", payload: null });
    await drain([queue], { clock, until: 10.5 * 3_600_000 });
    expect(ran).toBe(10);
  });
});

describe("recorded", () => {
  it("knows what was added, with which payload", async () => {
    const { driver, added, expectAdded, reset } = recorded(memoryDriver());
    const queue = new Queue("mail", driver);
    await queue.addJobs([
      { name: "email", payload: { to: "ada", tags: ["a"] }, priority: 3 },
      { name: "email", payload: { to: "bob", tags: [] } },
    ]);
    expectAdded({ name: "email", payload: { to: "ada", tags: ["a"] }, priority: 3 });
    expectAdded({ queue: "mail", name: "email" }, 2);
    expectAdded({ name: "invoice" }, 0);
    expect(added({ payload: { to: "bob" } })).toHaveLength(1);
    expect(() => expectAdded({ payload: { to: "eve" } })).toThrow(/found 0[\s\S]*mail\/email \{"to":"ada"/);
    expect(() => expectAdded({ payload: { tags: ["b"] } })).toThrow();
    expectAdded({ payload: { tags: [] } }, 1);
    expect(() => expectAdded({ name: "email" }, 1)).toThrow(/found 2/);
    reset();
    expectAdded({}, 0);
    queue.on("job:email", () => {});
    await queue.drain();
    expect(await queue.counts()).toMatchObject({ completed: 2 });
  });
});
