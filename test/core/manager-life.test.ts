import {
  type Clock,
  type Driver,
  defineJobs,
  Job,
  memoryDriver,
  Queue,
  QueueManager,
  systemClock,
} from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
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

function gate<T = void>() {
  let open: (value: T) => void = () => {};
  const opened = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { opened, open };
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

    const bad = broken(memoryDriver({ clock }), ["command", "register"]);
    const other = new QueueManager({ driver: bad.driver, clock, keep: { completed: 1 } });
    other.registerJob({ name: "a", queue: "q", handler });
    const both = await Promise.allSettled([other.start(), other.start()]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(other.status).toBe("stopped");
  });

  it("a connection that does not open is reported and opened later; the others work meanwhile", async () => {
    const clock = createManualClock();
    const bad = broken(memoryDriver({ clock }), ["register"]);
    const { manager, ran, handler } = open();
    manager.addConnection("bad", bad.driver);
    const faults: unknown[] = [];
    manager.on("error", ({ error }) => faults.push((error as Error).message));
    manager.registerJob({ name: "a", queue: "q", handler });
    manager.registerJob({ name: "b", queue: "r", connection: "bad", handler });
    await manager.start();
    expect([manager.status, faults]).toEqual(["running", ["register is broken"]]);
    await manager.enqueue({ name: "a", payload: "good" });
    await manager.enqueue({ name: "b", payload: "bad" });
    await manager.stop();
    expect(ran).toEqual(["good"]);
  });

  it("opens a connection again after a pause", async () => {
    const { clock, manager, ran, handler } = open();
    const bad = broken(memoryDriver({ clock }), ["register"]);
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

  it("a handler that awaits stop() gets conflict, and the manager is stopping until that handler has ended", async () => {
    const { clock, manager } = open();
    const held = gate();
    const codes = gate<unknown>();
    let ended = false;
    manager.registerJob({
      name: "a",
      queue: "q",
      handler: async () => {
        codes.open((await rejection(manager.stop())).code);
        await held.opened;
        ended = true;
      },
    });
    await manager.enqueue({ name: "a", payload: 1 });
    await manager.start();
    await clock.advance(10);
    expect([await codes.opened, manager.status]).toEqual(["conflict", "stopping"]);
    const stopped = manager.stop().then(() => ended);
    held.open();
    expect(await stopped).toBe(true);
  });

  it("stop() and start() during process() end it after the job that runs", async () => {
    const { clock, manager } = open();
    const ran: unknown[] = [];
    const waiting: (() => void)[] = [];
    let begun = () => {};
    const handler = (payload: unknown) => {
      ran.push(payload);
      begun();
      return new Promise<void>((resolve) => waiting.push(resolve));
    };
    const beginning = () =>
      new Promise<void>((resolve) => {
        begun = resolve;
      });
    manager.registerJob({ name: "a", queue: "q", handler });
    for (let n = 1; n <= 4; n++) await manager.enqueue({ name: "a", payload: n });
    const first = beginning();
    const processed = manager.process();
    await first;
    const stopped = manager.stop();
    waiting.pop()?.();
    await stopped;
    expect([await processed, ran]).toEqual([1, [1]]);
    const second = beginning();
    const again = manager.process();
    await second;
    const starting = manager.start();
    waiting.pop()?.();
    expect(await again).toBe(1);
    await starting;
    await clock.advance(10);
    expect([manager.status, ran]).toEqual(["running", [1, 2, 3, 4]]);
    for (const finish of waiting) finish();
    await manager.stop();
  });

  it("stop() with a timeout that is no duration is refused and changes nothing", async () => {
    const { clock, manager, ran, handler } = open();
    manager.registerJob({ name: "a", queue: "q", handler });
    await manager.start();
    expect(await rejection(manager.stop({ timeout: "soon" as "1s" }))).toMatchObject({ code: "invalid_option" });
    await manager.enqueue({ name: "a", payload: 1 });
    await clock.advance(10);
    expect([manager.status, ran]).toEqual(["running", [1]]);
    await manager.stop();
  });
});

describe("R34: the life of a worker in Node", () => {
  it("an opening that fails after stop() and start() does not end what was started since", async () => {
    const clock = createManualClock();
    const driver = memoryDriver({ clock });
    const fails: ((error: Error) => void)[] = [];
    const slow = new Proxy(driver, {
      get: (target, verb) => {
        if (verb === "register" && fails.length === 0) return () => new Promise((_, reject) => fails.push(reject));
        const member = Reflect.get(target, verb) as unknown;
        return typeof member === "function" ? member.bind(target) : member;
      },
    });
    const ran: unknown[] = [];
    const worker = new JobWorker(slow, {
      clock,
      queues: [{ name: "q", run: ({ payload }) => void ran.push(payload) }],
    });
    const first = worker.start();
    await worker.stop();
    await worker.start();
    fails[0]?.(new Error("late"));
    await first;
    await new Queue("q", driver, { clock }).addJob("a", 1);
    await clock.advance(10);
    expect([worker.status, ran]).toEqual(["running", [1]]);
    await worker.stop();
  });

  it("a handler that does not await stop() or drain() of its own queue causes no unhandled rejection", async () => {
    const unhandled: unknown[] = [];
    const note = (error: unknown) => unhandled.push(error);
    process.on("unhandledRejection", note);
    const clock = createManualClock();
    const queue = new Queue("q", memoryDriver({ clock }), { clock });
    queue.on("job:a", async () => {
      await Promise.resolve();
      void queue.drain();
      void queue.stop();
    });
    await queue.addJob("a", 1);
    await queue.run();
    await clock.advance(10);
    await clock.nextTask();
    await queue.stop();
    process.off("unhandledRejection", note);
    expect(unhandled).toEqual([]);
  });

  it("a job that runs here in a handler cannot await drain() of that handler's queue", async () => {
    const jobs = defineJobs({ here: { shouldQueue: () => false }, a: {} });
    const queue = new Queue("q", memoryDriver(), { jobs });
    const codes: unknown[] = [];
    queue.on("job:here", async () => void codes.push((await rejection(queue.drain())).code));
    queue.on("job:a", async (_, ctx) => void (await ctx.enqueue({ name: "here", payload: 1 })));
    await queue.addJob("a", 1);
    await queue.drain();
    expect(codes).toEqual(["conflict"]);
  });

  it("stop() leaves no timer armed, whatever its timeout", async () => {
    let armed = 0;
    const clock: Clock = {
      ...systemClock,
      after(ms, run) {
        armed++;
        let over = false;
        const end = () => {
          if (!over) armed--;
          over = true;
        };
        const disarm = systemClock.after(ms, () => {
          end();
          run();
        });
        return () => {
          end();
          disarm();
        };
      },
    };
    const queue = new Queue("q", memoryDriver({ clock }), { clock });
    queue.on("job:a", () => 1);
    await queue.addJob("a", 1);
    await queue.drain();
    await queue.run();
    await queue.stop({ timeout: "1h" });
    expect(armed).toBe(0);
  });
});
