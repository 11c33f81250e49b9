import { type HandlerContext, type JobRecord, memoryDriver, QueueManager } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { rejection, scene } from "./support.ts";

/** Handlers that run until they are let go, and how many of them run at once. */
function held() {
  const begun: { job: JobRecord; finish: () => void }[] = [];
  let running = 0;
  let most = 0;
  const handler = async (_: unknown, ctx: HandlerContext) => {
    most = Math.max(most, ++running);
    await new Promise<void>((resolve) => begun.push({ job: ctx.job, finish: resolve }));
    running--;
  };
  return {
    handler,
    begun,
    running: () => running,
    most: () => most,
    /** Lets the handlers of one queue (or all) finish. */
    finish: (queue?: string) => {
      for (const one of begun) if (!queue || one.job.queue === queue) one.finish();
    },
  };
}

const jobs = (queue: string, count: number, connection?: string) =>
  Array.from({ length: count }, (_, payload) => ({ name: "work", queue, payload, connection }));

describe("QueueManager", () => {
  it("works many queues with one worker, within its total and each queue's own concurrency", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock, concurrency: 3, queues: { a: { concurrency: 1 }, b: {} } });
    const { handler, running, most, begun, finish } = held();
    manager.registerJob({ name: "work", handler });
    await manager.enqueueAll([...jobs("a", 5), ...jobs("b", 5)]);
    await manager.start();
    await clock.advance(0);
    expect(running()).toBe(3);
    expect(begun.filter(({ job }) => job.queue === "a")).toHaveLength(1);
    for (let round = 0; round < 10; round++) {
      finish();
      await clock.advance(0);
      expect(begun.filter(({ job }) => job.queue === "a").length).toBeLessThanOrEqual(round + 2);
    }
    expect(most()).toBe(3);
    expect(manager.metrics()).toMatchObject({ processed: 10, queues: { a: { processed: 5 }, b: { processed: 5 } } });
    await manager.stop();
  });

  it("no capacity idles while any queue has ready work: a free slot is filled from whichever queue has some", async () => {
    const { driver, clock } = scene();
    const queues = { a: {}, b: {}, c: {}, d: {} };
    const manager = new QueueManager({ driver, clock, concurrency: 4, queues });
    const { handler, running, begun } = held();
    manager.registerJob({ name: "work", handler });
    await manager.start();
    await clock.advance(0);
    // All of the work is in one queue, then in another: the whole pool goes there.
    for (const queue of ["c", "a", "d", "b"]) {
      await manager.enqueueAll(jobs(queue, 6));
      await clock.advance(0);
      for (let left = 6; left > 0; left--) {
        expect(running()).toBe(Math.min(4, left));
        begun.shift()?.finish();
        await clock.advance(0);
      }
    }
    expect(manager.metrics()).toMatchObject({ processed: 24 });
    await manager.stop();
  });

  it("takes turns between queues, so that a long one does not starve a short one", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock, concurrency: 1, queues: { long: {}, short: {} } });
    const order: string[] = [];
    manager.registerJob({ name: "work", handler: (_, ctx) => order.push(ctx.queue) });
    await manager.enqueueAll([...jobs("long", 20), ...jobs("short", 2)]);
    await manager.drain();
    expect(order.lastIndexOf("short")).toBeLessThan(6);
  });

  it("the total holds over several connections, and either takes the room that the other leaves", async () => {
    const clock = createManualClock();
    const drivers = { one: memoryDriver({ clock }), two: memoryDriver({ clock }) };
    const queues = { a: { connection: "one" }, b: { connection: "two" } };
    const manager = new QueueManager({ connections: drivers, clock, concurrency: 3, queues });
    const { handler, running, most, finish } = held();
    manager.registerJob({ name: "work", handler });
    await manager.enqueueAll([...jobs("a", 4), ...jobs("b", 4)]);
    await manager.start();
    await clock.advance(0);
    expect(running()).toBe(3);
    for (let round = 0; round < 8; round++) {
      finish();
      await clock.advance(0);
    }
    expect(most()).toBe(3);
    expect(manager.metrics()).toMatchObject({ processed: 8 });
    await manager.enqueueAll(jobs("b", 3));
    await clock.advance(0);
    expect(running()).toBe(3);
    finish();
    await manager.stop();
  });

  it("connections that share one slot take turns, whatever they hold ahead", async () => {
    const clock = createManualClock();
    const drivers = { one: memoryDriver({ clock }), two: memoryDriver({ clock }) };
    const queues = { a: { connection: "one" }, b: { connection: "two" } };
    const manager = new QueueManager({ connections: drivers, clock, concurrency: 1, prefetch: 2, queues });
    const order: string[] = [];
    let finish = () => {};
    const first = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const handler = async (_: unknown, { queue }: { queue: string }) => {
      if (order.push(queue) === 1) await first;
    };
    manager.registerJob({ name: "work", handler });
    await manager.enqueueAll(jobs("a", 6));
    await manager.start();
    await clock.advance(0);
    await manager.enqueueAll(jobs("b", 6));
    await clock.advance(0);
    finish();
    await clock.advance(0);
    await manager.stop();
    expect(order).toHaveLength(12);
    // Who stands in line goes next: nobody runs more than what it had begun to wait for, and the next one.
    expect(order.join("")).not.toMatch(/(.)\1\1/);
  });

  it("a connection that finds no room is not idle", async () => {
    const clock = createManualClock();
    const drivers = { one: memoryDriver({ clock }), two: memoryDriver({ clock }) };
    const queues = { a: { connection: "one" }, b: { connection: "two" } };
    const manager = new QueueManager({ connections: drivers, clock, concurrency: 1, queues });
    let idle = 0;
    manager.on("idle", () => idle++);
    const { handler, finish } = held();
    manager.registerJob({ name: "work", handler });
    await manager.enqueueAll([...jobs("a", 1), ...jobs("b", 1)]);
    await manager.start();
    await clock.advance(0);
    expect(idle).toBe(0);
    finish();
    await clock.advance(0);
    finish();
    await manager.stop();
  });

  it("a connection with a long backlog does not starve another", async () => {
    const clock = createManualClock();
    const drivers = { one: memoryDriver({ clock }), two: memoryDriver({ clock }) };
    const queues = { a: { connection: "one" }, b: { connection: "two" } };
    const manager = new QueueManager({ connections: drivers, clock, concurrency: 1, queues });
    const order: string[] = [];
    manager.registerJob({ name: "work", handler: (_, ctx) => order.push(ctx.queue) });
    await manager.enqueueAll([...jobs("a", 20), ...jobs("b", 2)]);
    await manager.drain();
    expect(order).toHaveLength(22);
    expect(order.lastIndexOf("b")).toBeLessThan(6);
  });

  it("publish adds to all queues in one call of their driver, all or none", async () => {
    const { driver, clock } = scene();
    const calls: number[] = [];
    const enqueue = driver.enqueue.bind(driver);
    driver.enqueue = (added, ...rest) => {
      calls.push(added.length);
      return enqueue(added, ...rest);
    };
    const manager = new QueueManager({ driver, clock });
    const ids = await manager.publish({ name: "user.created", queues: ["crm", "stats", "logs"], payload: { id: 1 } });
    expect(calls).toEqual([3]);
    expect(await manager.queue("stats").get(ids[1] as string)).toMatchObject({ payload: { id: 1 } });
    const wrong = manager.publish({ name: "user.created", queues: ["crm", ""], payload: 1 });
    expect(await rejection(wrong)).toMatchObject({ code: "invalid_option" });
    expect(await manager.size("crm")).toBe(1);
  });

  it("has named connections, a default one that can be changed, and says which there are", async () => {
    const clock = createManualClock();
    const manager = new QueueManager({ driver: memoryDriver({ clock }), clock });
    const edge = manager.addConnection("edge", memoryDriver({ clock }));
    expect([...manager.getConnections().keys()]).toEqual(["default", "edge"]);
    expect(manager.connection()).toBe(manager.connection("default"));
    await manager.enqueue({ name: "work", queue: "a", payload: 1, connection: "edge" });
    expect([await manager.size("a"), await edge.size("a")]).toEqual([0, 1]);
    manager.setDefaultConnection("edge");
    expect([manager.defaultConnection, await manager.size("a")]).toEqual(["edge", 1]);
    expect(() => manager.connection("nowhere")).toThrow(/default, edge/);
    expect(() => manager.addConnection("edge", memoryDriver())).toThrow(/already/);
    expect(edge.name).toBe("edge");
  });

  it("a definition may name its connection; its handler's ctx.enqueue stays on it", async () => {
    const clock = createManualClock();
    const manager = new QueueManager({ driver: memoryDriver({ clock }), clock });
    manager.addConnection("edge", memoryDriver({ clock }));
    const ran: string[] = [];
    manager.registerJob({
      name: "parent",
      queue: "a",
      connection: "edge",
      handler: (_, ctx) => ctx.enqueue({ name: "child", payload: 1 }),
    });
    manager.registerJob({ name: "child", queue: "b", connection: "default", handler: () => ran.push("child") });
    await manager.enqueue({ name: "parent", payload: 1 });
    expect(await manager.connection("edge").size("a")).toBe(1);
    await manager.drain();
    expect(ran).toEqual(["child"]);
  });

  it("drain ends when nothing is due on any connection, whoever adds to whom", async () => {
    const clock = createManualClock();
    const drivers = { one: memoryDriver({ clock }), two: memoryDriver({ clock }) };
    const manager = new QueueManager({ connections: drivers, clock });
    const ran: unknown[] = [];
    for (const [name, other] of [
      ["one", "two"],
      ["two", "one"],
    ] as const)
      manager.registerJob<number>({
        name,
        queue: name,
        connection: name,
        handler: async (left, ctx) => {
          await new Promise<void>((resolve) => clock.after(10, resolve));
          ran.push(name);
          if (left > 0) await ctx.enqueue({ name: other, payload: left - 1 });
        },
      });
    await manager.enqueue({ name: "one", payload: 9 });
    const drained = manager.drain();
    await clock.advance(1_000);
    await drained;
    expect(ran).toHaveLength(10);
  });

  it("jobs that name no queue go to the default queue, which can be changed", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock });
    await manager.enqueue({ name: "work", payload: 1 });
    manager.defaultQueue = "other";
    await manager.enqueue({ name: "work", payload: 2, delay: "1h" });
    expect([await manager.size("default"), await manager.size(), await manager.delayedSize()]).toEqual([1, 1, 1]);
    expect(manager.connection().defaultQueue).toBe("other");
  });

  it("writes each queue's keep, rate limit and maxActive into its store when it starts", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({
      driver,
      clock,
      keep: { completed: 1 },
      queues: { a: { rateLimit: { max: 2, per: "1m" }, keep: { failed: 5 } }, b: { defaults: { priority: 3 } } },
    });
    manager.registerJob({ name: "work", handler: () => {} });
    await manager.enqueueAll([...jobs("a", 4), ...jobs("b", 3)]);
    expect((await manager.queue("b").list()).jobs[0]).toMatchObject({ priority: 3 });
    await manager.drain();
    expect(await manager.queue("a").counts()).toMatchObject({ waiting: 2, completed: 1 });
    expect(await manager.queue("b").counts()).toMatchObject({ waiting: 0, completed: 1 });
  });

  it("emits events of all its queues; a queue's own listeners hear theirs alone", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock, queues: { a: {}, b: {} } });
    const heard: string[] = [];
    manager.on("completed", ({ job }) => heard.push(`manager ${job.queue}`));
    manager.queue("a").on("completed", ({ job }) => heard.push(`a ${job.queue}`));
    manager.registerJob({ name: "work", handler: () => {} });
    await manager.enqueueAll([...jobs("a", 1), ...jobs("b", 1)]);
    await manager.drain();
    expect(heard.sort()).toEqual(["a a", "manager a", "manager b"]);
  });

  it("handlers on a queue of the manager are worked by it, also when added after the start", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock });
    await manager.start();
    const ran: unknown[] = [];
    const mail = manager.queue("mail");
    mail.on("job:email", (payload) => ran.push(payload));
    await mail.addJob("email", 1);
    await clock.advance(0);
    expect([ran, manager.status]).toEqual([[1], "running"]);
    await manager.stop();
    await manager.stop();
    expect(manager.status).toBe("stopped");
  });

  it("clear empties a queue, clearAll all of them", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock, queues: { a: {}, b: {} } });
    await manager.enqueueAll([...jobs("a", 2), ...jobs("b", 2), ...jobs("c", 2)]);
    await manager.clear("a");
    expect([await manager.size("a"), await manager.size("b")]).toEqual([0, 2]);
    manager.queue("c");
    await manager.clearAll();
    expect([await manager.size("b"), await manager.size("c")]).toEqual([0, 0]);
  });

  it("process runs a number of due jobs and answers how many there were", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock, queues: { a: {}, b: {} } });
    manager.registerJob({ name: "work", handler: () => {} });
    await manager.enqueueAll([...jobs("a", 3), ...jobs("b", 3)]);
    expect(await manager.process({ queue: "a", count: 2 })).toBe(2);
    expect(await manager.process()).toBe(4);
    expect(await manager.process()).toBe(0);
  });

  it("what its registration returns takes the job out again; has knows", async () => {
    const { driver } = scene();
    const manager = new QueueManager({ driver });
    const off = manager.registerJob({ name: "work", handler: () => {} });
    expect(manager.has("work")).toBe(true);
    off();
    expect(manager.has("work")).toBe(false);
  });
});

describe("jobs for several connections", () => {
  const open = () => {
    const { clock, driver: one } = scene();
    const far = memoryDriver({ clock });
    return new QueueManager({ connections: { one, far }, queues: { far: { connection: "far" } }, clock });
  };
  const sizes = async (manager: QueueManager) => [
    await manager.connection("one").size("near"),
    await manager.connection("far").size("far"),
  ];

  it.each([
    ["an option that is wrong", { name: "a", payload: 1, queue: "far", delay: "soon" }, { details: { at: "jobs[1]" } }],
    ["a connection that there is not", { name: "a", payload: 1, connection: "nowhere" }, { code: "invalid_option" }],
    ["a payload that is wrong", { name: "a", payload: () => {}, queue: "far" }, { code: "invalid_payload" }],
    ["shouldQueue that throws", { name: "moody", payload: 1, queue: "far" }, { message: "shouldQueue" }],
  ])("are refused before any is stored: %s", async (_, wrong, refusal) => {
    const manager = open();
    const shouldQueue = () => {
      throw new Error("shouldQueue");
    };
    manager.registerJob({ name: "moody", shouldQueue, handler: () => {} });
    const all = [{ name: "a", payload: 1, queue: "near" }, wrong];
    expect(await rejection(manager.enqueueAll(all as never))).toMatchObject(refusal);
    expect(await sizes(manager)).toEqual([0, 0]);
  });

  it("ctx.publish to them is refused before any is stored", async () => {
    const manager = open();
    const codes: unknown[] = [];
    manager.registerJob({
      name: "a",
      queue: "near",
      handler: async (_, ctx) => {
        const published = ctx.publish({ name: "b", payload: 1, queues: ["near", "far"], delay: "soon" as "1s" });
        codes.push((await rejection(published)).code);
      },
    });
    await manager.enqueue({ name: "a", payload: 1 });
    await manager.drain();
    expect([codes, await sizes(manager)]).toEqual([["invalid_option"], [0, 0]]);
  });

  it("are all stored, though one that runs here fails", async () => {
    const manager = open();
    const fails = () => Promise.reject(new Error("fails"));
    manager.registerJob({ name: "here", queue: "near", shouldQueue: () => false, handler: fails });
    const added = manager.enqueueAll([
      { name: "here", payload: 1 },
      { name: "a", payload: 1, queue: "far" },
    ]);
    expect(await rejection(added)).toMatchObject({ message: "fails" });
    expect(await sizes(manager)).toEqual([0, 1]);
  });
});
