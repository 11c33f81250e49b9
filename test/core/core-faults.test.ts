import {
  aesGcm,
  type Driver,
  defineJob,
  defineJobs,
  memoryDriver,
  Queue,
  QueueManager,
  type QueueOptions,
  RetryAfterError,
} from "@quayside/core";
import { cron } from "@quayside/core/cron";
import { createManualClock, drain, type ManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import * as z from "zod";

// The 25 cases in which outsiders broke the first edition. A case that still fails is marked `it.fails`.

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

type Jobs = Record<string, unknown>;

function make(options: Partial<QueueOptions<Jobs>> = {}, start?: number) {
  const clock = createManualClock(start);
  const driver: Driver = memoryDriver({ clock, cron });
  return { clock, queue: new Queue<Jobs>("q", driver, { clock, ...options }) };
}

const sleep = (clock: ManualClock, ms: number) => new Promise<void>((resolve) => clock.after(ms, resolve));

/** Runs of a handler that throws this, with `maxAttempts: 2`; stops counting at 200. */
async function runsOf(thrown: () => unknown): Promise<number> {
  const { clock, queue } = make();
  let runs = 0;
  queue.on("error", () => {});
  queue.on("job:a", () => {
    if (++runs < 200) throw thrown();
  });
  await queue.addJob("a", null, { maxAttempts: 2, backoff: "1s" });
  await queue.run();
  for (let step = 0; step < 100; step++) await clock.advance(5_000);
  await queue.stop();
  return runs;
}

describe("an attempt always ends (F1)", () => {
  it("settles an attempt that throws RetryAfterError(NaN)", async () => {
    expect(await runsOf(() => new RetryAfterError(Number.NaN))).toBe(2);
  });
  it("settles an attempt that throws RetryAfterError(-5)", async () => {
    expect(await runsOf(() => new RetryAfterError(-5))).toBe(2);
  });
  it("settles an attempt whose error has a stack of null", async () => {
    expect(await runsOf(() => Object.assign(new Error("x"), { message: "m", stack: null }))).toBe(2);
  });
  it("settles an attempt whose response has a headers.get that returns a number", async () => {
    expect(await runsOf(() => Object.assign(new Error("x"), { response: { headers: { get: () => 120 } } }))).toBe(2);
  });
});

describe("a Retry-After that is neither whole seconds nor a date is ignored (F3)", () => {
  for (const value of ["1.5", "-3"]) {
    it(`falls back to the job's backoff for Retry-After: ${value}`, async () => {
      const { clock, queue } = make();
      const delays: number[] = [];
      queue.on("retrying", ({ delayMs }) => delays.push(delayMs));
      queue.on("job:a", () => {
        const response = new Response(null, { status: 503, headers: { "retry-after": value } });
        throw Object.assign(new Error("503"), { response });
      });
      await queue.addJob("a", null, { maxAttempts: 2, backoff: "7s" });
      await queue.run();
      await clock.advance(1000);
      expect(delays).toEqual([7000]);
    });
  }
});

describe("schedule() may be repeated at every start of an app (F4)", () => {
  it("runs an hourly schedule when the app is opened every 30 minutes with another payload", async () => {
    const { clock, queue } = make();
    let runs = 0;
    queue.on("job:sync", () => void runs++);
    for (let start = 0; start < 48; start++) {
      await queue.schedule("sync", { every: "1h", name: "sync", payload: { openedAt: clock.now() } });
      await queue.run();
      await clock.advance(30 * MINUTE);
      await queue.stop();
    }
    expect(runs).toBeGreaterThan(0);
  });
  it("runs a missed occurrence once when the payload changes each day", async () => {
    const { clock, queue } = make({}, Date.UTC(2026, 0, 1, 9));
    let runs = 0;
    queue.on("job:daily", () => void runs++);
    for (let day = 0; day < 7; day++) {
      await queue.schedule("daily", { cron: "0 3 * * *", name: "daily", payload: { day } });
      await queue.run();
      await clock.advance(8 * HOUR);
      await queue.stop();
      clock.jump(16 * HOUR);
    }
    expect(runs).toBe(6);
  });
  it("keeps the phase of an encrypted schedule that is repeated unchanged", async () => {
    const { clock, queue } = make({
      encryption: aesGcm({ keys: { k1: crypto.getRandomValues(new Uint8Array(32)) }, current: "k1" }),
    });
    let runs = 0;
    queue.on("job:a", () => void runs++);
    for (let start = 0; start < 10; start++) {
      await queue.schedule("k", { every: "1h", name: "a", payload: { a: 1 }, encrypted: true });
      await queue.run();
      await clock.advance(30 * MINUTE);
      await queue.stop();
    }
    expect(runs).toBeGreaterThanOrEqual(4);
  });
  it("ignores the order of keys in the payload", async () => {
    const { clock, queue } = make();
    await queue.schedule("k", { every: "1h", name: "a", payload: { a: 1, b: 2 } });
    await clock.advance(30 * MINUTE);
    await queue.schedule("k", { every: "1h", name: "a", payload: { b: 2, a: 1 } });
    expect(((await queue.schedules())[0]!.nextAt! - clock.now()) / MINUTE).toBe(30);
  });
  it("runs once for `startAt: now` at 10 starts within 10 minutes", async () => {
    const { clock, queue } = make();
    let runs = 0;
    queue.on("job:a", () => void runs++);
    for (let start = 0; start < 10; start++) {
      await queue.schedule("k", { every: "1h", startAt: clock.now(), name: "a", payload: null });
      await queue.run();
      await clock.advance(MINUTE);
      await queue.stop();
    }
    expect(runs).toBe(1);
  });
});

describe("flows keep their children (F5, F6, F7)", () => {
  it("shows a retried parent the outcomes of its children", async () => {
    const { clock, queue } = make();
    const seen: number[] = [];
    queue.on("job:c", (payload) => payload as number);
    queue.on("job:p", (_, ctx) => {
      seen.push(ctx.children().length);
      if (seen.length < 3) throw new Error("mail server away");
    });
    const child = (payload: number) => ({ name: "c", payload }) as const;
    const options = { maxAttempts: 2, backoff: "1s" } as const;
    const flow = await queue.addFlow({ name: "p", payload: null, ...options, children: [child(1), child(2)] });
    await queue.run();
    await clock.advance(10_000);
    await queue.retry(flow.id);
    await clock.advance(10_000);
    expect(seen).toEqual([2, 2, 2]);
  });
  it("waits for a child that exists already under its dedupe key", async () => {
    const { clock, queue } = make();
    const log: string[] = [];
    const dedupe = { key: "url1" };
    queue.on("job:fetch", async (payload) => {
      await sleep(clock, 5000);
      log.push(`fetched ${payload}`);
    });
    queue.on("job:report", (_, ctx) => void log.push(`report of ${ctx.children().length}`));
    await queue.addJob("fetch", 1, { dedupe });
    await queue.addFlow({
      name: "report",
      payload: null,
      children: [{ name: "fetch", payload: 1, dedupe }],
    });
    await queue.run();
    await clock.advance(20_000);
    expect(log).toEqual(["fetched 1", "report of 1"]);
  });
  it("answers the same ids for each child when the same flow is added again", async () => {
    const { queue } = make();
    const flow = { name: "report", payload: null, id: "r1", children: [{ name: "fetch", payload: 1 }] };
    const first = await queue.addFlow(flow);
    const second = await queue.addFlow(flow);
    expect(second.children[0]!.id).toBe(first.children[0]!.id);
  });
});

it("starts at most `max` jobs in any interval of `per` (F8)", async () => {
  const { clock, queue } = make();
  await queue.configure({ rateLimit: { max: 10, per: "1s" } });
  const at: number[] = [];
  queue.on("job:a", () => void at.push(clock.now()));
  await queue.addJobs(Array.from({ length: 60 }, () => ({ name: "a", payload: null })));
  await queue.run({ concurrency: 100 });
  for (let step = 0; step < 600; step++) await clock.advance(10);
  expect(at).toHaveLength(60);
  expect(Math.max(...at.map((start) => at.filter((t) => t >= start && t < start + 1000).length))).toBe(10);
  await queue.stop();
});

function managed() {
  const clock = createManualClock();
  const manager = new QueueManager({ driver: memoryDriver({ clock }), clock });
  const seen = { done: 0 };
  return { clock, manager, seen };
}

describe("the last call wins (F9, F10)", () => {
  it("Queue: run() during drain() keeps working", async () => {
    const { clock, queue } = make();
    let done = 0;
    queue.on("job:a", async () => {
      await sleep(clock, 10);
      done++;
    });
    await queue.addJob("a", null);
    const draining = queue.drain();
    await queue.run();
    await clock.advance(1000);
    await draining;
    await queue.addJob("a", null);
    await clock.advance(MINUTE);
    expect(done).toBe(2);
  });
  it("QueueManager: start() during drain() keeps working", async () => {
    const { clock, manager, seen } = managed();
    const handler = async () => {
      await sleep(clock, 10);
      seen.done++;
    };
    manager.registerJob({ name: "a", queue: "q", handler });
    await manager.enqueue({ name: "a", queue: "q", payload: 1 });
    const draining = manager.drain();
    await manager.start();
    await clock.advance(1000);
    await draining;
    await manager.enqueue({ name: "a", queue: "q", payload: 2 });
    await clock.advance(MINUTE);
    expect([seen.done, manager.status]).toEqual([2, "running"]);
  });
  it("QueueManager: start, stop, start without waiting is running, and stops when stopped", async () => {
    const { clock, manager, seen } = managed();
    manager.registerJob({ name: "a", queue: "q", handler: () => void seen.done++ });
    await Promise.allSettled([manager.start(), manager.stop(), manager.start()]);
    const status = manager.status;
    await manager.enqueue({ name: "a", queue: "q", payload: 1 });
    await clock.advance(MINUTE);
    await manager.stop();
    await manager.enqueue({ name: "a", queue: "q", payload: 2 });
    await clock.advance(MINUTE);
    expect([status, seen.done]).toEqual(["running", 1]);
  });
  it("Queue: run, stop, run without waiting is running", async () => {
    const { clock, queue } = make();
    let done = 0;
    queue.on("job:a", () => void done++);
    const results = await Promise.allSettled([queue.run(), queue.stop(), queue.run()]);
    await queue.addJob("a", null);
    await clock.advance(MINUTE);
    expect([results[2].status, done]).toEqual(["fulfilled", 1]);
  });
});

describe("what JSON would drop is refused when adding (F11)", () => {
  const values = {
    "a Promise": Promise.resolve(1),
    "an Error": new Error("lost"),
    "a RegExp": /a/,
    "an invalid Date": new Date(Number.NaN),
  };
  for (const [name, value] of Object.entries(values)) {
    it(`refuses a payload with ${name}`, async () => {
      await expect(make().queue.addJob("a", { value })).rejects.toMatchObject({ code: "invalid_payload" });
    });
  }
});

it("refuses a z.date() schema when adding, or runs the job (F12)", async () => {
  const jobs = defineJobs({ a: defineJob({ input: z.object({ at: z.date() }), handler: () => "ok" }) });
  const clock = createManualClock();
  const queue = new Queue("q", memoryDriver({ clock }), { clock, jobs });
  const end = await queue.addJob("a", { at: new Date(0) }).then(
    async (id) => {
      await drain(queue, { clock });
      return (await queue.get(id))?.state;
    },
    (error: { code?: string }) => error.code,
  );
  expect(["completed", "invalid_payload"]).toContain(end);
});

it("goes on with an hourly recurrence after the clock was a year ahead for two hours (F13)", async () => {
  const { clock, queue } = make();
  let runs = 0;
  queue.on("job:a", () => void runs++);
  await queue.schedule("k", { every: "1h", name: "a", payload: null });
  await queue.run();
  clock.jump(365 * DAY);
  await clock.advance(2 * HOUR);
  clock.jump(-365 * DAY);
  runs = 0;
  for (let day = 0; day < 7; day++) {
    await clock.advance(DAY);
    await queue.stop();
    await queue.schedule("k", { every: "1h", name: "a", payload: null });
    await queue.run();
  }
  expect(runs).toBeGreaterThan(0);
  await queue.stop();
});
