import { memoryDriver, Queue, QueueManager } from "@quayside/core";
import { createManualClock, drain, inline, inlineDriver, recorded } from "@quayside/core/testing";
import { describe, expect, it } from "vitest";

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
    await queue.schedule("tick", { every: "1h" }, "tick", null);
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
