import {
  type Driver,
  defineJobs,
  memoryDriver,
  QuaysideError,
  Queue,
  QueueManager,
  type QueueManagerOptions,
  type WorkerEvents,
} from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { mailQueue, rejection, scene } from "./support.ts";

const log = vi.spyOn(console, "error");
beforeEach(() => void log.mockReset().mockImplementation(() => {}));
afterEach(() => expect(log.mock.calls).toEqual([]));

/** Returns the log so far, as text; one line per call. */
const logged = (): readonly string[] => log.mock.calls.splice(0).map(([error]) => String((error as Error).message));

describe("without an error listener, Node's log gets", () => {
  it("a job name without a handler, once", async () => {
    const { queue } = mailQueue();
    queue.on("job:email", () => {});
    await queue.addJobs([
      { name: "sms", payload: 1 },
      { name: "sms", payload: 2 },
    ]);
    await queue.drain();
    await queue.drain();
    expect(logged()).toEqual([expect.stringContaining('holds jobs named "sms"')]);
  });

  it("run() and start() without any handler", async () => {
    const { clock, queue } = mailQueue();
    await queue.run();
    await clock.advance(10);
    await queue.stop();
    const manager = new QueueManager({ driver: memoryDriver({ clock }), clock });
    await manager.start();
    await manager.stop();
    expect(logged()).toEqual([
      "This worker of queue mail has no handler: it runs nothing until one is registered.",
      "This manager works no queue: register a job, or name a queue.",
    ]);
  });

  it("nothing about a handler that is registered before the worker looks", async () => {
    const { clock, queue } = mailQueue();
    const running = queue.run();
    queue.on("job:email", () => {});
    await running;
    await clock.advance(10);
    await queue.stop();
  });

  it("a listener and an onFailed that throw", async () => {
    const fails = () => {
      throw new Error("onFailed");
    };
    const jobs = defineJobs({ email: { maxAttempts: 1, onFailed: fails } });
    const { queue } = mailQueue({ jobs });
    queue.on("job:email", () => Promise.reject(new Error("handler")));
    queue.on("failed", () => {
      throw new Error("listener");
    });
    await queue.addJob("email", 1);
    await queue.drain();
    expect(logged()).toEqual(["listener", "onFailed"]);
  });

  it("a listener that answers a thenable which rejects, or one that throws when it is looked at", async () => {
    const { queue } = mailQueue();
    queue.on("job:email", () => {});
    // biome-ignore lint/suspicious/noThenProperty: the point of this case
    const rejecting = { then: (_: unknown, reject: (error: Error) => void) => reject(new Error("thenable")) };
    const hostile = {
      // biome-ignore lint/suspicious/noThenProperty: the point of this case
      get then(): never {
        throw new Error("then");
      },
    };
    queue.on("completed", () => rejecting as never);
    queue.on("completed", () => hostile as never);
    await queue.addJob("email", 1);
    await queue.drain();
    expect(logged().toSorted()).toEqual(["then", "thenable"]);
  });

  it("an error whose stack throws when it is read", async () => {
    log.mockImplementation((error: unknown) => {
      if (error instanceof Error) void error.stack;
    });
    const { queue } = mailQueue();
    queue.on("job:email", () => {});
    queue.on("completed", () => {
      throw Object.defineProperty(new Error("hostile"), "stack", {
        get() {
          throw new Error("stack");
        },
      });
    });
    await queue.addJob("email", 1);
    await queue.drain();
    expect(log.mock.calls.splice(0).at(-1)).toEqual(["Error: hostile"]);
  });

  it("a store that refuses the worker, as one does for a wrong token", async () => {
    const { clock, driver } = scene();
    const refusal = new QuaysideError("unauthorized", "This request carries no valid credentials.");
    const queue = new Queue("mail", Object.assign(driver, { exchange: () => Promise.reject(refusal) }), { clock });
    queue.on("job:email", () => {});
    await queue.run();
    await clock.advance(10);
    const stopped = queue.stop({ timeout: 0 });
    await clock.advance("1m");
    await stopped;
    expect(new Set(logged())).toEqual(new Set(["This request carries no valid credentials."]));
  });
});

describe("with an error listener", () => {
  it.each(["manager", "queue"] as const)("of the %s, the log gets nothing of a managed queue", async (where) => {
    const clock = createManualClock();
    const manager = new QueueManager({ driver: memoryDriver({ clock }), clock });
    manager.registerJob({ name: "email", queue: "mail", handler: () => {} });
    const heard: unknown[] = [];
    const source = where === "manager" ? manager : manager.queue("mail");
    source.on("error", ({ error }) => heard.push(error));
    await manager.enqueue({ name: "email", queue: "mail", payload: 1 });
    await manager.queue("mail").addJob("sms", 1);
    await manager.drain();
    expect(heard).toMatchObject([{ code: "unknown_job" }]);
  });
});

describe("a driver that is missing, or is none", () => {
  const NOT_DRIVERS = [
    ["undefined", undefined],
    ["object", null],
    ["the function memoryDriver: call it", memoryDriver],
    ["[object Promise]", Promise.resolve()],
    ["[object Object]", { driver: memoryDriver() }],
  ] as const;

  it.each(NOT_DRIVERS)("is refused where it is given: %s", (got, value) => {
    const driver = value as unknown as Driver;
    const refusal = (what: string) => `${what} needs a driver, such as memoryDriver(), got ${got}.`;
    expect(() => new Queue("mail", driver)).toThrow(refusal('Queue "mail"'));
    expect(() => new JobWorker(driver, { queues: [] })).toThrow(refusal("A worker"));
    expect(() => new QueueManager().addConnection("far", driver)).toThrow(refusal('Connection "far"'));
  });

  it("of a manager is named by what needs it, and the manager stays stopped", async () => {
    for (const options of [undefined, {}] as (QueueManagerOptions | undefined)[]) {
      const manager = new QueueManager(options);
      manager.registerJob({ name: "email", handler: () => {} });
      expect((await rejection(manager.enqueue({ name: "email", payload: 1 } as never))).message).toContain("a driver");
      expect((await rejection(manager.start())).message).toContain("a driver");
      expect(manager.status).toBe("stopped");
    }
  });
});

describe("ctx", () => {
  const run = (ctx: object): readonly (() => unknown)[] => {
    const { queue, driver, clock } = mailQueue();
    queue.on("job:email", () => {});
    return [
      () => new Queue("mail", driver, { ctx }),
      () => new QueueManager({ driver, ctx }),
      () => new JobWorker(driver, { queues: [], ctx, clock }),
      () => queue.drain({ ctx }),
    ];
  };

  it("is refused if it is an instance of a class, which a copy would leave without its methods", async () => {
    class Services {
      send() {}
    }
    for (const call of run(new Services()))
      expect(await rejection(Promise.resolve().then(call))).toMatchObject({
        code: "invalid_option",
        message: expect.stringContaining("ctx must be a plain object"),
      });
    for (const call of run(Object.assign(Object.create(null), { services: new Services() }))) await call();
  });

  it("is refused if it has a field that every ctx has", async () => {
    for (const call of run({ db: 1, signal: 2 }))
      expect(await rejection(Promise.resolve().then(call))).toMatchObject({
        code: "invalid_option",
        message: expect.stringContaining("ctx.signal must have another name"),
      });
  });
});

describe("on()", () => {
  const jobs = defineJobs({ email: {} });

  it("names the events that there are, and job:NAME", () => {
    const { queue, driver } = mailQueue({ jobs });
    const worker = new JobWorker(driver, { queues: [] });
    const manager = new QueueManager({ driver });
    for (const source of [queue, worker, manager])
      for (const event of ["complete", "email", "Job:email"])
        expect(() => source.on(event as keyof WorkerEvents, () => {})).toThrow(
          /There is no event .*job:NAME.*completed/,
        );
    expect(() => queue.on("job:typo" as "job:email", () => {})).toThrow('There is no job "typo" in the job map');
  });

  it("refuses what cannot be called", () => {
    const { queue } = mailQueue();
    expect(() => queue.on("job:email", undefined as never)).toThrow('on("job:email") needs a function, got undefined.');
    expect(() => queue.on("completed", {} as never)).toThrow('on("completed") needs a function, got object.');
  });
});

describe("a mistake in one of many jobs", () => {
  const positive = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: async (value: unknown) =>
        typeof value === "number" ? { value } : { issues: [{ message: "must be a number" }] },
    },
  } as const;
  const jobs = defineJobs({ count: { input: positive }, any: {} });
  const good = { name: "count", payload: 1 } as const;
  const WRONG = [
    ["invalid_payload", { name: "count", payload: "x" }],
    ["invalid_payload", { name: "any", payload: { run: () => 1 } }],
    ["unknown_job", { name: "typo", payload: 1 }],
    ["invalid_option", { name: "count", payload: 1, delay: "soon" }],
    ["invalid_option", undefined],
    ["invalid_option", "count"],
  ] as const;

  it.each(WRONG)("says which one it is: %s %j", async (code, wrong) => {
    const { queue, driver } = mailQueue({ jobs });
    const manager = new QueueManager({ driver, jobs });
    const all = [good, good, wrong] as never[];
    for (const added of [() => queue.addJobs(all), () => manager.enqueueAll(all)]) {
      const error = await rejection(added());
      expect(error).toMatchObject({ code, details: { at: "jobs[2]" } });
      expect(error.message).toMatch(/^jobs\[2\]: /);
    }
    expect(await queue.size()).toBe(0);
  });

  it("says where in a flow or batch it is", async () => {
    const { queue } = mailQueue({ jobs });
    const wrong = { name: "count", payload: "x" } as never;
    const root = { name: "any", payload: 1 } as const;
    const flow = queue.addFlow({ ...root, children: [{ ...root, children: [good, wrong] }] });
    expect(await rejection(flow)).toMatchObject({ details: { at: "children[0].children[1]" } });
    expect(await rejection(queue.addBatch([good, wrong], { onComplete: root }))).toMatchObject({
      details: { at: "jobs[1]" },
    });
  });

  it("is not numbered in a list of one, and what is no list is refused", async () => {
    const { queue } = mailQueue({ jobs });
    expect((await rejection(queue.addJobs([{ name: "count", payload: "x" } as never]))).message).toMatch(
      /^The payload/,
    );
    expect(await rejection(queue.addJobs(good as never))).toMatchObject({ code: "invalid_option" });
  });
});

describe("a clock moved by hand", () => {
  it("takes durations as everything does", async () => {
    const clock = createManualClock(0);
    await clock.advance("1h");
    clock.jump("1m");
    clock.jump(-1_000);
    await clock.advance(0.5);
    expect([clock.now(), clock.monotonic()]).toEqual([3_600_000 + 60_000 - 1_000 + 1, 3_600_001]);
  });

  it.each(["soon", -1, Number.NaN, Number.POSITIVE_INFINITY, undefined, null, {}])(
    "refuses to advance by %s, and stands still",
    async (wrong) => {
      const clock = createManualClock(0);
      expect(await rejection(clock.advance(wrong as never))).toMatchObject({ code: "invalid_option" });
      expect([clock.now(), clock.monotonic()]).toEqual([0, 0]);
    },
  );

  it.each(["soon", Number.NaN, undefined])("refuses to jump by %s", (wrong) => {
    const clock = createManualClock(0);
    expect(() => clock.jump(wrong as never)).toThrow("duration must be a duration");
    expect(clock.now()).toBe(0);
  });

  it.each(["2026-01-01", 0.5, Number.NaN, new Date(0)])("refuses to start at %s", (start) => {
    expect(() => createManualClock(start as never)).toThrow("start must be an integer");
  });

  it("shows whole ms while a timer fires between two of them", async () => {
    const clock = createManualClock(0);
    const shown: number[] = [];
    clock.after(2_000 / 3, () => shown.push(clock.now()));
    await clock.advance(1_000);
    expect([...shown, clock.now()]).toEqual([666, 1_000]);
  });
});
