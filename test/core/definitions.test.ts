import { defineJob, defineJobs, QuaysideError, Queue, QueueManager, RetryAfterError } from "@quayside/core";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { mailQueue, rejection, scene } from "./support.ts";

function defined<const Definitions extends Parameters<typeof defineJobs>[0]>(definitions: Definitions) {
  const { driver, clock, another } = scene();
  const jobs = defineJobs(definitions);
  return { queue: new Queue("mail", driver, { jobs, clock }), clock, driver, another, jobs };
}

describe("a definition", () => {
  it("may carry the handler, which gets what the schema makes of the payload", async () => {
    const seen: unknown[] = [];
    const { queue } = defined({
      email: defineJob({
        input: z.object({ to: z.string(), subject: z.string().default("(none)") }),
        handler: ({ subject }) => seen.push(subject),
      }),
    });
    await queue.addJob("email", { to: "ada" });
    await queue.drain();
    expect(seen).toEqual(["(none)"]);
  });

  it("runs its own handler first; those of the queue follow", async () => {
    const order: string[] = [];
    const { queue } = defined({ email: { handler: () => order.push("definition") } });
    queue.on("job:email", () => order.push("queue"));
    await queue.addJob("email", null);
    await queue.drain();
    expect(order).toEqual(["definition", "queue"]);
  });

  it("checks results by its output schema: what fits is stored as the schema makes it, what does not fails for good", async () => {
    const { queue } = defined({
      size: { output: z.object({ width: z.number(), unit: z.string().default("px") }), maxAttempts: 5 },
    });
    queue.on("job:size", (payload) => payload);
    const [good, bad] = (await queue.addJobs([
      { name: "size", payload: { width: 3 } },
      { name: "size", payload: { width: "3" } },
    ])) as [string, string];
    await queue.drain();
    expect(await queue.get(good)).toMatchObject({ result: { width: 3, unit: "px" } });
    expect(await queue.get(bad)).toMatchObject({ state: "failed", attempts: 1, error: { code: "invalid_result" } });
  });

  it("retryIf: an error that it refuses ends the job, whatever attempts are left", async () => {
    const asked: unknown[] = [];
    const { queue, clock } = defined({
      email: {
        maxAttempts: 5,
        backoff: "1s",
        retryIf(error, attempt) {
          asked.push(attempt);
          return (error as Error).message !== "no such address";
        },
      },
    });
    queue.on("job:email", (_, ctx) => {
      throw new Error(ctx.attempt < 2 ? "try again" : "no such address");
    });
    const id = await queue.addJob("email", null);
    await queue.drain();
    await clock.advance(1_000);
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ state: "failed", attempts: 2 });
    expect(asked).toEqual([1, 2]);
  });

  it('backoff as a function gives the delay, or ends the job with "fail"', async () => {
    const { queue, clock } = defined({
      email: {
        maxAttempts: 9,
        backoff: (attempt, error) => ((error as Error).message === "gone" ? "fail" : attempt * 10_000),
      },
    });
    const delays: number[] = [];
    queue.on("retrying", ({ delayMs }) => delays.push(delayMs));
    queue.on("job:email", (_, ctx) => {
      throw new Error(ctx.attempt < 3 ? "busy" : "gone");
    });
    const id = await queue.addJob("email", null);
    for (const ms of [0, 10_000, 20_000]) {
      await clock.advance(ms);
      await queue.drain();
    }
    expect(delays).toEqual([10_000, 20_000]);
    expect(await queue.get(id)).toMatchObject({ state: "failed", attempts: 3, error: { message: "gone" } });
  });

  it("the job's own backoff, and what the error asks for, go before the definition's function", async () => {
    const { queue } = defined({ email: { backoff: () => "1h" } });
    const delays: number[] = [];
    queue.on("retrying", ({ delayMs }) => delays.push(delayMs));
    queue.on("job:email", (payload) => {
      if (payload === "later") throw new RetryAfterError("7s");
      if (payload === "quota") throw new QuaysideError("rate_limited", "Later.", { retryAfterMs: 8_000 });
      if (payload === "http")
        throw Object.assign(new Error("429"), { response: { headers: new Headers({ "retry-after": "9" }) } });
      throw new Error("busy");
    });
    await queue.addJob("email", "own", { backoff: "5s" });
    await queue.addJob("email", "later");
    await queue.addJob("email", "quota");
    await queue.addJob("email", "http");
    await queue.addJob("email", "usual");
    await queue.drain();
    expect(delays).toEqual([5_000, 7_000, 8_000, 9_000, 3_600_000]);
  });

  it("a definition's backoff function overrules the backoff of its queue", async () => {
    const { driver, clock } = scene();
    const jobs = defineJobs({ email: { backoff: () => "7s" } });
    const queue = new Queue("mail", driver, { jobs, clock, defaults: { backoff: "1s" } });
    const delays: number[] = [];
    queue.on("retrying", ({ delayMs }) => delays.push(delayMs));
    queue.on("job:email", () => {
      throw new Error("busy");
    });
    await queue.addJob("email", null);
    await queue.drain();
    expect(delays).toEqual([7_000]);
  });

  it("a policy that throws is told as an error and costs the job nothing", async () => {
    const { queue } = defined({
      email: {
        backoff: () => {
          throw new Error("policy");
        },
      },
    });
    const faults: unknown[] = [];
    queue.on("error", ({ error }) => faults.push((error as Error).message));
    queue.on("job:email", () => {
      throw new Error("busy");
    });
    const id = await queue.addJob("email", null);
    await queue.drain();
    expect(faults).toEqual(["policy"]);
    expect(await queue.get(id)).toMatchObject({ state: "delayed", attempts: 1 });
  });

  it("maxExceptions ends a job that keeps throwing, and the worker says failed", async () => {
    const { queue, clock } = defined({ email: { maxAttempts: 9, maxExceptions: 2, backoff: "1s" } });
    const events: string[] = [];
    queue.on("retrying", () => events.push("retrying"));
    queue.on("failed", () => events.push("failed"));
    queue.on("job:email", () => {
      throw new Error("no");
    });
    const id = await queue.addJob("email", null);
    await queue.drain();
    await clock.advance(1_000);
    await queue.drain();
    expect(events).toEqual(["retrying", "failed"]);
    expect(await queue.get(id)).toMatchObject({ state: "failed", attempts: 2 });
  });

  it("onFailed runs once, where the job failed for good, before drain resolves; its own error is an error event", async () => {
    const failed: unknown[] = [];
    const { queue, clock } = defined({
      email: {
        maxAttempts: 2,
        backoff: "1s",
        async onFailed(job, error) {
          await undefined;
          failed.push([job.id, (error as Error).message]);
          throw new Error("hook");
        },
      },
    });
    const faults: unknown[] = [];
    queue.on("error", ({ error }) => faults.push((error as Error).message));
    queue.on("job:email", (_, ctx) => {
      throw new Error(`no ${ctx.attempt}`);
    });
    const id = await queue.addJob("email", null);
    await queue.drain();
    expect(failed).toEqual([]);
    await clock.advance(1_000);
    await queue.drain();
    expect(failed).toEqual([[id, "no 2"]]);
    expect(faults).toEqual(["hook"]);
  });

  it("drain of a running worker waits for onFailed too", async () => {
    let done = false;
    const { queue, clock } = defined({
      email: {
        onFailed: () =>
          new Promise<void>((resolve) => {
            clock.after(1_000, () => {
              done = true;
              resolve();
            });
          }),
      },
    });
    queue.on("job:email", (_, ctx) => ctx.fail("no"));
    await queue.run();
    await queue.addJob("email", null);
    const drained = queue.drain().then(() => done);
    await clock.advance(1_000);
    expect(await drained).toBe(true);
    await queue.stop();
  });
});

describe("shouldQueue", () => {
  const definitions = (ran: unknown[]) =>
    ({
      resize: {
        shouldQueue: (payload: unknown) => (payload as { width: number }).width > 100,
        handler(payload: unknown, ctx: { attempt: number; release(delay: string): void }) {
          ran.push(payload);
          const { width } = payload as { width: number };
          if (width === 0) throw new Error("no width");
          if (width === 1) ctx.release("5s");
          return width;
        },
        onFailed: (_: unknown, error: unknown) => ran.push((error as Error).message),
      },
    }) as unknown as Record<"resize", object>;

  it("false: the job runs here in a page that is no secure context, too", async () => {
    const { queue } = defined(definitions([]));
    vi.stubGlobal("crypto", { getRandomValues: crypto.getRandomValues.bind(crypto) });
    try {
      const ids = [await queue.addJob("resize", { width: 10 }), await queue.addJob("resize", { width: 11 })];
      expect(new Set(ids).size).toBe(2);
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it("false: the job runs here before addJob resolves, and is not stored", async () => {
    const ran: unknown[] = [];
    const { queue } = defined(definitions(ran));
    const done: unknown[] = [];
    queue.on("completed", ({ job, result }) => done.push([job.id, result]));
    queue.use((_, next) => {
      ran.push("middleware");
      return next();
    });
    const id = await queue.addJob("resize", { width: 10 });
    expect(ran).toEqual(["middleware", { width: 10 }]);
    expect(done).toEqual([[id, 10]]);
    expect(await queue.get(id)).toBeUndefined();
    expect(await queue.size()).toBe(0);
  });

  it("true: the job is stored and runs in its turn", async () => {
    const ran: unknown[] = [];
    const { queue } = defined(definitions(ran));
    const id = await queue.addJob("resize", { width: 200 });
    expect(ran).toEqual([]);
    expect(await queue.get(id)).toMatchObject({ state: "waiting" });
  });

  it("what the one attempt throws, addJob throws, after onFailed", async () => {
    const ran: unknown[] = [];
    const { queue } = defined(definitions(ran));
    expect(await rejection(queue.addJob("resize", { width: 0 }))).toMatchObject({ message: "no width" });
    expect(ran).toEqual([{ width: 0 }, "no width"]);
  });

  it("a job that gives itself back here is stored after all, under its id", async () => {
    const ran: unknown[] = [];
    const { queue } = defined(definitions(ran));
    const id = await queue.addJob("resize", { width: 1 });
    expect(await queue.get(id)).toMatchObject({ state: "delayed", payload: { width: 1 } });
  });

  it("in addJobs those that are stored are stored first; ids keep their order", async () => {
    const ran: unknown[] = [];
    const { queue } = defined(definitions(ran));
    const ids = await queue.addJobs([10, 200, 20].map((width) => ({ name: "resize" as const, payload: { width } })));
    expect(ids).toHaveLength(3);
    expect((await queue.list()).jobs.map(({ id }) => id)).toEqual([ids[1]]);
    expect(ran).toEqual([{ width: 10 }, { width: 20 }]);
  });
});

describe("a registered definition", () => {
  it("serves its own queue first and other queues where they have none", async () => {
    const { driver, clock } = scene();
    const seen: string[] = [];
    const manager = new QueueManager({ driver, clock, queues: { crm: {}, stats: {}, other: {} } });
    manager.registerJob({ name: "user", queue: "crm", handler: () => seen.push("crm") });
    manager.registerJob({ name: "user", queue: "stats", handler: () => seen.push("stats") });
    await manager.publish({ name: "user", queues: ["crm", "stats", "other"], payload: null });
    await manager.drain();
    expect(seen.sort()).toEqual(["crm", "crm", "stats"]);
  });
});

describe("shouldQueue false: as in a store", () => {
  const here = { shouldQueue: () => false } as const;
  const wholeNumber = {
    "~standard": {
      version: 1,
      vendor: "test",
      validate: (value: unknown) => (Number.isInteger(value) ? { value } : { issues: [{ message: "a number" }] }),
    },
  } as const;
  const jobs = defineJobs({ here: { ...here, input: wholeNumber }, stored: {} });

  it("a handler's ctx has what run() and drain() were given", async () => {
    const { queue } = mailQueue({ jobs, ctx: { own: 1 } });
    const seen: unknown[] = [];
    queue.on("job:here", (_, ctx) => void seen.push({ ...ctx }));
    queue.on("job:stored", (_, ctx) => ctx.enqueue({ name: "here", payload: 1 }));
    await queue.addJob("stored", null);
    await queue.drain({ ctx: { given: 2 } });
    await queue.run({ ctx: { given: 3 } });
    await queue.addJob("here", 1);
    await queue.stop();
    expect(seen).toMatchObject([
      { own: 1, given: 2 },
      { own: 1, given: 3 },
    ]);
  });

  it("an id runs once: in parallel, one after the other, in one call, and from its own handler", async () => {
    const { queue } = mailQueue({ jobs });
    const ran: unknown[] = [];
    queue.on("job:here", async (payload, { id }) => {
      ran.push([id, payload]);
      await queue.addJob("here", 9, { id });
    });
    const add = (payload: number, id: string) => queue.addJob("here", payload, { id });
    expect(await Promise.all([add(1, "a"), add(2, "a")])).toEqual(["a", "a"]);
    expect(await add(3, "a")).toBe("a");
    const both = [4, 5].map((payload) => ({ name: "here" as const, payload, id: "b" }));
    expect(await queue.addJobs(both)).toEqual(["b", "b"]);
    expect(ran).toEqual([
      ["a", 1],
      ["b", 4],
    ]);
  });

  const hostile: Record<string, () => unknown> = {
    "RetryAfterError(NaN)": () => new RetryAfterError(Number.NaN),
    "RetryAfterError(-5)": () => new RetryAfterError(-5),
    "an error whose stack is null": () => Object.assign(new Error("x"), { stack: null }),
    "an error whose headers.get answers a number": () => Object.assign(new Error("x"), { headers: { get: () => 5 } }),
    "a proxy that throws": () =>
      new Proxy(new Error("x"), {
        get() {
          throw new Error("from the proxy");
        },
      }),
    "a symbol": () => Symbol("x"),
  };
  it.each(Object.keys(hostile))("a handler that throws %s runs once, and addJob rejects", async (name) => {
    const { queue } = mailQueue({ jobs });
    let runs = 0;
    queue.on("job:here", () => {
      runs++;
      throw hostile[name]?.();
    });
    const added = queue.addJob("here", 1);
    await expect(added).rejects.toBeDefined();
    expect(runs).toBe(1);
  });

  it("an id that is stored does not run here; one that failed may run again", async () => {
    const { queue, driver } = mailQueue({ jobs });
    const ran: unknown[] = [];
    queue.on("job:here", (payload, ctx) => {
      ran.push(payload);
      if (payload === 1) ctx.release("1h");
      if (payload === 2) throw new Error("fails");
    });
    await queue.addJob("here", 1, { id: "released" });
    await queue.addJob("here", 3, { id: "released" });
    await new Queue("mail", driver).addJob("here", 4, { id: "elsewhere" });
    await queue.addJob("here", 5, { id: "elsewhere" });
    expect(await rejection(queue.addJob("here", 2, { id: "failing" }))).toMatchObject({ message: "fails" });
    await queue.addJob("here", 6, { id: "failing" });
    expect(ran).toEqual([1, 2, 6]);
    expect(await queue.counts()).toMatchObject({ waiting: 1, delayed: 1 });
  });

  it("remembers the last 1,000 ids", async () => {
    const { queue } = mailQueue({ jobs });
    let ran = 0;
    queue.on("job:here", () => void ran++);
    for (let id = 0; id <= 1_000; id++) await queue.addJob("here", 1, { id: `${id}` });
    await queue.addJob("here", 1, { id: "1000" });
    expect(ran).toBe(1_001);
    await queue.addJob("here", 1, { id: "0" });
    expect(ran).toBe(1_002);
  });

  it("one that fails keeps no other from running, and its error is thrown", async () => {
    const { queue } = mailQueue({ jobs });
    const ran: unknown[] = [];
    queue.on("job:here", (payload) => {
      ran.push(payload);
      if (payload !== 3) throw new Error(`${payload} fails`);
    });
    const all = [1, 2, 3].map((payload) => ({ name: "here" as const, payload }));
    const added = queue.addJobs([...all, { name: "stored", payload: null }]);
    expect(await rejection(added)).toMatchObject({ message: "1 fails" });
    expect(ran).toEqual([1, 2, 3]);
    expect(await queue.counts()).toMatchObject({ waiting: 1 });
  });

  it.each([
    ["a payload", { payload: "x" }, { code: "invalid_payload", details: { at: "jobs[2]" } }],
    ["an option", { payload: 1, delay: "soon" }, { code: "invalid_option", details: { at: "jobs[2]" } }],
  ])("%s that is refused is refused before anything is stored or runs", async (_, wrong, refusal) => {
    const { queue } = mailQueue({ jobs });
    const ran: unknown[] = [];
    queue.on("job:here", (payload) => void ran.push(payload));
    const all = [
      { name: "stored", payload: null },
      { name: "here", payload: 1 },
      { name: "here", ...wrong },
    ];
    expect(await rejection(queue.addJobs(all as never))).toMatchObject(refusal);
    expect([ran, await queue.size()]).toEqual([[], 0]);
  });

  it("needs no keys, for nothing of it is stored", async () => {
    const { queue } = mailQueue({ jobs: defineJobs({ here: { ...here, encrypted: true } }) });
    const ran: unknown[] = [];
    queue.on("job:here", (payload) => void ran.push(payload));
    await queue.addJob("here", 1);
    expect(ran).toEqual([1]);
  });
});
