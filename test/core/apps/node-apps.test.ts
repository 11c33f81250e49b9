// Apps as their authors would write them in Node: without a cast, a name said twice or a repeated type argument.
import {
  defineJobs,
  defineQueue,
  Job,
  memoryDriver,
  Queue,
  QueueManager,
  QueueWorker,
  type,
  UnrecoverableError,
} from "@quayside/core";
import { createManualClock, testQueue } from "@quayside/testing";
import { describe, expect, it } from "vitest";

describe("an order with compensation", () => {
  const jobs = defineJobs({
    reserve: { input: type<{ order: string }>(), output: type<{ reservation: string }>() },
    charge: { input: type<{ order: string; cents: number }>(), output: type<{ charge: string }>(), maxAttempts: 1 },
    ship: { input: type<{ order: string }>(), output: type<{ parcel: string }>() },
    undo: { input: type<{ order: string; why: string }>() },
  });
  const log: string[] = [];
  const shop = () => {
    const { queue, drain } = testQueue({ jobs });
    queue.on("job:reserve", ({ order }) => ({ reservation: `r-${order}` }));
    queue.on("job:charge", ({ order, cents }) => {
      if (cents > 100) throw new UnrecoverableError("card declined");
      return { charge: `c-${order}` };
    });
    queue.on("job:ship", ({ order }) => ({ parcel: `p-${order}` }));
    queue.on("job:undo", ({ order, why }) => void log.push(`undo ${order}: ${why}`));
    queue.on("failed", async ({ job, error }) => {
      const why = error instanceof Error ? error.message : "unknown";
      if (job.name === "charge") await queue.addJob("undo", { order: job.payload.order, why });
    });
    return { queue, drain };
  };

  it("ships what was reserved and paid", async () => {
    const { queue, drain } = shop();
    const order = "7";
    await queue.addSequence([
      { name: "reserve", payload: { order } },
      { name: "charge", payload: { order, cents: 100 } },
      { name: "ship", payload: { order }, id: `ship-${order}` },
    ]);
    await drain();
    expect(await queue.get(`ship-${order}`)).toMatchObject({ state: "completed", result: { parcel: "p-7" } });
  });

  it("undoes what was reserved when the card is declined", async () => {
    const { queue, drain } = shop();
    const order = "8";
    await queue.addSequence([
      { name: "reserve", payload: { order } },
      { name: "charge", payload: { order, cents: 200 } },
      { name: "ship", payload: { order }, id: `ship-${order}` },
    ]);
    await drain();
    expect(await queue.get(`ship-${order}`)).toMatchObject({ state: "failed", error: { code: "child_failed" } });
    await drain();
    expect(log).toEqual(["undo 8: card declined"]);
  });
});

describe("a worker in Node that ends with SIGTERM", () => {
  it("finishes what runs, gives back the rest, and closes", async () => {
    const reports = defineQueue("reports", { jobs: defineJobs({ report: { input: type<{ month: string }>() } }) });
    const driver = memoryDriver();
    const queue = new Queue(reports, driver);
    const done: string[] = [];
    let begun = () => {};
    const started = new Promise<void>((resolve) => (begun = resolve));
    let finish = () => {};
    const finished = new Promise<void>((resolve) => (finish = resolve));
    queue.on("job:report", async ({ month }) => {
      begun();
      await finished;
      done.push(month);
    });
    await queue.addJobs(["05", "06"].map((month) => ({ name: "report", payload: { month } })));
    const worker = new QueueWorker([queue], { concurrency: 1 });
    const ended = new Promise<void>((resolve) => {
      process.once("SIGTERM", () => worker.close({ timeout: "20s" }).finally(resolve));
    });
    await worker.start();
    await started;
    process.emit("SIGTERM");
    finish();
    await ended;
    expect(done).toEqual(["05"]);
    await expect(queue.counts()).rejects.toMatchObject({ code: "closed" });
  });
});

describe("the test of a handler with retries", () => {
  it("moves the clock from attempt to attempt", async () => {
    const jobs = defineJobs({
      sync: { input: type<{ account: string }>(), maxAttempts: 3, backoff: { kind: "fixed", delay: "1h" } },
    });
    const { queue, clock, drain } = testQueue({ jobs });
    const tries: number[] = [];
    queue.on("job:sync", (_, { attempt }) => {
      tries.push(clock.now());
      if (attempt < 3) throw new Error("503");
      return "synced";
    });
    const id = await queue.addJob("sync", { account: "ada" });
    await drain();
    expect(await queue.get(id)).toMatchObject({ state: "completed", result: "synced", attempts: 3 });
    expect(tries.map((at) => at - (tries[0] ?? 0))).toEqual([0, 3_600_000, 7_200_000]);
  });
});

describe("jobs as classes", () => {
  it("are dispatched, also many at once, and restored to run", async () => {
    const sent: string[] = [];
    class Welcome extends Job<{ userId: string }> {
      static jobName = "welcome";
      handle({ userId }: { userId: string }) {
        sent.push(userId);
      }
    }
    const manager = new QueueManager({ connections: { main: memoryDriver() }, queues: { default: {} } });
    manager.register(Welcome);
    await Welcome.dispatch({ userId: "ada" });
    await Welcome.dispatchBatch([{ userId: "bob" }, { userId: "cy" }]);
    await manager.process({ count: 10 });
    expect(sent.sort()).toEqual(["ada", "bob", "cy"]);
    await manager.close();
  });
});

describe("an editor that saves a while after the last key", () => {
  it("saves once, with what was typed last, and at the latest after maxWait", async () => {
    const jobs = defineJobs({ save: { input: type<{ id: string; text: string }>() } });
    const { queue, clock, advance } = testQueue({ jobs });
    const saved: [string, number][] = [];
    const start = clock.now();
    queue.on("job:save", ({ text }) => void saved.push([text, clock.now() - start]));
    const edit = (text: string) =>
      queue.addJob(
        "save",
        { id: "doc", text },
        { dedupe: { key: "doc", mode: "debounce", wait: "2s", maxWait: "5s" } },
      );
    for (const text of ["a", "ab", "abc"]) {
      await edit(text);
      await advance("1s");
    }
    await advance("2s");
    expect(saved).toEqual([["abc", 4_000]]);
    for (const text of ["b", "bc", "bcd", "bcde", "bcdef", "bcdefg", "bcdefgh"]) {
      await edit(text);
      await advance("1s");
    }
    expect(saved.map(([, at]) => at)).toEqual([4_000, 10_000]);
  });
});

describe("an admin's script: retry all failed mail since yesterday", () => {
  it("retries these jobs, and no other", async () => {
    const mail = defineQueue("mail", {
      jobs: defineJobs({ email: { input: type<{ to: string }>() }, report: {} }),
      keep: { failed: 1_000 },
    });
    const clock = createManualClock();
    const queue = new Queue(mail, memoryDriver({ clock }));
    let broken = true;
    const handler = () => {
      if (broken) throw new UnrecoverableError("the provider is down");
    };
    queue.handle({ email: handler, report: handler });
    await queue.addJob("email", { to: "old" });
    await queue.drain();
    await clock.advance(2 * 86_400_000);
    await queue.addJobs([
      { name: "email", payload: { to: "ada" } },
      { name: "report" },
      { name: "email", payload: { to: "bob" } },
    ]);
    await queue.drain();
    expect(await queue.counts()).toMatchObject({ failed: 4 });
    broken = false;

    const since = clock.now() - 86_400_000;
    const retried: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await queue.list({ state: "failed", limit: 2, cursor });
      for (const job of page.jobs) {
        if (job.name !== "email" || (job.finishedAt ?? 0) < since) continue;
        await queue.retry(job.id);
        retried.push(job.payload.to);
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(retried.sort()).toEqual(["ada", "bob"]);
    await queue.drain();
    expect(await queue.counts()).toMatchObject({ failed: 2, completed: 2 });
    await queue.close();
  });
});
