import { type Driver, Job, memoryDriver, QueueManager } from "@quayside/core";
import { createManualClock } from "@quayside/core/testing";
import { describe, expect, it } from "vitest";
import { rejection } from "./support.ts";

function open(connections: Record<string, Driver> = {}, options: object = {}) {
  const clock = createManualClock();
  const manager = new QueueManager({ driver: memoryDriver({ clock }), connections, clock, ...options });
  const ran: unknown[] = [];
  const handler = (payload: unknown) => void ran.push(payload);
  return { clock, manager, ran, handler };
}

/** A driver whose adds fail, or all that a worker asks it for, until it is mended. */
function broken(driver: Driver, verbs: readonly string[]) {
  const state = { broken: true };
  const wrapped = new Proxy(driver, {
    get: (target, verb) => {
      const member = Reflect.get(target, verb) as unknown;
      if (typeof member !== "function") return member;
      if (!verbs.includes(String(verb))) return member.bind(target);
      return (...args: unknown[]) =>
        state.broken ? Promise.reject(new Error(`${String(verb)} is broken`)) : member.apply(target, args);
    },
  });
  return { driver: wrapped, state };
}

describe("R34: the life of a manager", () => {
  it("stop() during start() stops: nothing runs afterwards", async () => {
    const { clock, manager, ran, handler } = open({}, { keep: { completed: 5 } });
    manager.registerJob({ name: "a", queue: "q", handler });
    await manager.enqueue({ name: "a", payload: 1 });
    const starting = manager.start();
    await manager.stop();
    await starting;
    expect(manager.status).toBe("stopped");
    await clock.advance(60_000);
    expect(ran).toEqual([]);
    await manager.start();
    await clock.advance(1_000);
    expect([manager.status, ran]).toEqual(["running", [1]]);
    await manager.stop();
  });

  it("two start() at once both resolve once it runs, and both throw when it cannot", async () => {
    const { clock, manager, ran, handler } = open();
    manager.registerJob({ name: "a", queue: "q", handler });
    await Promise.all([manager.start(), manager.start()]);
    await manager.enqueue({ name: "a", payload: 1 });
    await clock.advance(1_000);
    expect(ran).toEqual([1]);
    await manager.stop();

    const bad = broken(memoryDriver({ clock }), ["command", "enlist"]);
    const other = new QueueManager({ driver: bad.driver, clock, keep: { completed: 1 } });
    other.registerJob({ name: "a", queue: "q", handler });
    const both = await Promise.allSettled([other.start(), other.start()]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(other.status).toBe("stopped");
  });

  it("a connection that does not open is reported and opened later; the others work meanwhile", async () => {
    const clock = createManualClock();
    const bad = broken(memoryDriver({ clock }), ["enlist"]);
    const { manager, ran, handler } = open();
    manager.addConnection("bad", bad.driver);
    const faults: unknown[] = [];
    manager.on("error", ({ error }) => faults.push((error as Error).message));
    manager.registerJob({ name: "a", queue: "q", handler });
    manager.registerJob({ name: "b", queue: "r", connection: "bad", handler });
    await manager.start();
    expect([manager.status, faults]).toEqual(["running", ["enlist is broken"]]);
    await manager.enqueue({ name: "a", payload: "good" });
    await manager.enqueue({ name: "b", payload: "bad" });
    await manager.stop();
    expect(ran).toEqual(["good"]);
  });

  it("opens a connection again after a pause", async () => {
    const { clock, manager, ran, handler } = open();
    const bad = broken(memoryDriver({ clock }), ["enlist"]);
    manager.addConnection("bad", bad.driver);
    manager.on("error", () => {});
    manager.registerJob({ name: "b", queue: "r", connection: "bad", handler });
    await manager.start();
    await manager.enqueue({ name: "b", payload: 1 });
    await clock.advance(500);
    bad.state.broken = false;
    await clock.advance(5_000);
    expect(ran).toEqual([1]);
    await manager.stop();
  });

  it("works a connection, a default queue and a default connection that are set while it runs, with their settings", async () => {
    const { clock, manager, ran, handler } = open({}, { keep: { completed: 2 } });
    manager.registerJob({ name: "a", handler });
    await manager.start();
    manager.defaultQueue = "second";
    for (let n = 1; n <= 4; n++) await manager.enqueue({ name: "a", payload: n });
    await clock.advance(1_000);
    expect(ran).toEqual([1, 2, 3, 4]);
    expect(await manager.queue("second").counts()).toMatchObject({ completed: 2 });
    manager.addConnection("other", memoryDriver({ clock }));
    manager.setDefaultConnection("other");
    for (let n = 5; n <= 8; n++) await manager.enqueue({ name: "a", payload: n });
    await clock.advance(1_000);
    expect(ran).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(await manager.queue("second", "other").counts()).toMatchObject({ completed: 2 });
    await manager.stop();
  });

  it("maxJobs counts over all connections, and stops the manager", async () => {
    const clock = createManualClock();
    const { manager, ran, handler } = open({ other: memoryDriver({ clock }) }, { maxJobs: 3, clock });
    manager.registerJob({ name: "a", queue: "q", handler });
    manager.registerJob({ name: "b", queue: "r", connection: "other", handler });
    for (let n = 0; n < 4; n++) {
      await manager.enqueue({ name: "a", payload: n });
      await manager.enqueue({ name: "b", payload: n });
    }
    await manager.start();
    await clock.advance(10_000);
    expect([ran.length, manager.status]).toEqual([3, "stopped"]);
    await manager.start();
    await clock.advance(10_000);
    expect(ran).toHaveLength(6);
  });

  it("tells a managed queue of errors, unknown jobs and idleness", async () => {
    const { clock, manager, handler } = open();
    const heard: string[] = [];
    const queue = manager.queue("q");
    queue.on("idle", () => heard.push("idle"));
    queue.on("error", ({ error }) => heard.push((error as { code?: string }).code ?? "none"));
    manager.queue("r").on("error", () => heard.push("of another queue"));
    manager.on("error", () => {});
    manager.registerJob({ name: "a", queue: "q", handler });
    manager.registerJob({ name: "b", queue: "r", handler });
    const other = new QueueManager({ driver: queue.driver, clock });
    other.registerJob({ name: "odd", queue: "q", handler });
    await other.enqueue({ name: "odd", payload: 1 });
    await manager.start();
    await clock.advance(1_000);
    expect(heard).toContain("idle");
    expect(heard).toContain("unknown_job");
    expect(heard).not.toContain("of another queue");
    await manager.stop();
  });

  it("enqueueAll and ctx.publish over several connections store nothing when a mistake is known beforehand", async () => {
    const clock = createManualClock();
    const { manager, handler } = open({ other: memoryDriver({ clock }) });
    manager.registerJob({ name: "a", queue: "q", handler });
    manager.registerJob({ name: "b", queue: "r", connection: "other", handler });
    for (const second of [
      { name: "b", payload: 10n },
      { name: "b", payload: 1, delay: -1 },
      { name: "b", payload: 1, connection: "none" },
      { name: "b", payload: "x".repeat(200_000) },
    ]) {
      await rejection(manager.enqueueAll([{ name: "a", payload: 1 }, second]));
      expect(await manager.queue("q").counts()).toMatchObject({ waiting: 0 });
    }
    manager.registerJob({
      name: "publishes",
      queue: "q",
      handler: (_, ctx) => ctx.publish({ name: "b", payload: Number.NaN, queues: ["q", "r"] }),
    });
    await manager.enqueue({ name: "publishes", payload: null, maxAttempts: 1 });
    await manager.process();
    expect(await manager.queue("q").counts()).toMatchObject({ waiting: 0, failed: 1 });
  });

  it("unregister leaves a class alone that another manager has registered since", async () => {
    class Mail extends Job<number> {
      static jobName = "mail";
      static queueName = "q";
      handle() {}
    }
    const first = open().manager;
    const second = open().manager;
    first.register(Mail);
    second.register(Mail);
    first.unregister("mail");
    await Mail.dispatch(1);
    expect(await second.size("q")).toBe(1);
    second.unregister("mail");
    expect(await rejection((async () => Mail.dispatch(1))())).toBeDefined();
  });
});
