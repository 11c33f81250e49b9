import { awaitIncomplete, completions, many, record } from "./batch-support.ts";
import { gate, next, topic } from "./support.ts";

/** Test cases about the claims of batches: when they are complete, and which limits divide them. */
export const batchCases = topic("batches", (it) => {
  it("a batch handler gets as many jobs as its size in one call, in their order, and all complete", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    const calls = record(mail, 3, 60_000);
    const ids = await mail.addJobs(many(6));
    const done = completions(mail, 6);
    await mail.run();
    await done;
    expect(calls).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    for (const id of ids) expect(await mail.get(id)).toMatchObject({ state: "completed", attempts: 1 });
  });

  it("fewer jobs wait in the store, until one of them has waited", async ({ expect, queue, driver, advance }) => {
    const { driver: seen, incomplete } = awaitIncomplete(driver);
    const mail = queue({ driver: seen });
    const calls = record(mail, 3, 2_000);
    const ids = await mail.addJobs(many(2));
    await mail.run();
    await incomplete;
    expect(calls).toEqual([]);
    for (const id of ids) expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
    expect(await mail.counts()).toMatchObject({ waiting: 2, active: 0 });
    const done = completions(mail, 2);
    await advance(2_000);
    await done;
    expect(calls).toEqual([[0, 1]]);
  });

  it("jobs that are added later complete a batch before it has waited", async ({ expect, queue, driver }) => {
    const { driver: seen, incomplete } = awaitIncomplete(driver);
    const mail = queue({ driver: seen });
    const calls = record(mail, 3, 60_000);
    await mail.addJobs(many(2));
    await mail.run();
    await incomplete;
    const done = completions(mail, 3);
    await mail.addJob("index", "last");
    await done;
    expect(calls).toEqual([[0, 1, "last"]]);
  });

  it("single jobs run beside a batch, which takes one slot", async ({ expect, queue, driver }) => {
    const { driver: seen, incomplete } = awaitIncomplete(driver);
    const mail = queue({ driver: seen });
    const order: unknown[] = [];
    const batch = gate();
    mail.on("job:email", (payload) => void order.push(payload));
    mail.onBatch("job:index", { size: 2, wait: "1m" }, async (jobs) => {
      order.push(jobs.length);
      await batch.opened;
      order.push("end");
    });
    const email = (payload: string) => ({ name: "email", payload });
    await mail.addJobs([...many(1), email("before")]);
    await mail.run({ concurrency: 1 });
    await incomplete;
    const started = next(mail, "active", ({ job }) => job.name === "index");
    await mail.addJob("index", 2);
    await started;
    const done = next(mail, "completed", ({ job }) => job.payload === "after");
    await mail.addJobs([email("after")]);
    batch.open();
    await done;
    expect(order).toEqual(["before", 2, "end", "after"]);
  });

  it("of more jobs than a batch holds, those of the highest priority come first", async ({ expect, queue }) => {
    const mail = queue();
    const calls = record(mail, 2, 0);
    await mail.addJobs([...many(2), { name: "index", payload: "urgent", priority: 5 }]);
    await mail.drain();
    expect(calls).toEqual([["urgent", 0], [1]]);
  });

  it("R18: maxActive divides a batch: what may start starts", async ({ expect, queue }) => {
    const mail = queue();
    await mail.configure({ maxActive: 2 });
    const calls = record(mail, 3, 0);
    await mail.addJobs(many(3));
    await mail.drain();
    expect(calls).toEqual([[0, 1], [2]]);
  });

  it("the limit of a group divides a batch: what may start starts", async ({ expect, queue }) => {
    const mail = queue();
    const calls = record(mail, 3, 0);
    await mail.addJobs(many(3, { group: { key: "tenant", limit: 1 } }));
    await mail.drain();
    expect(calls).toEqual([[0], [1], [2]]);
  });

  it("R18: a rate limit divides a batch", async ({ expect, queue, advance }) => {
    const mail = queue();
    await mail.configure({ rateLimit: { max: 2, per: "10s" } });
    const calls = record(mail, 3, 0);
    await mail.addJobs(many(3));
    const first = completions(mail, 2);
    await mail.run();
    await first;
    expect(calls).toEqual([[0, 1]]);
    const last = completions(mail, 1);
    await advance(10_000);
    await last;
    expect(calls).toEqual([[0, 1], [2]]);
  });

  it("a paused queue claims no batch", async ({ expect, queue, driver }) => {
    const { driver: seen, incomplete } = awaitIncomplete(driver);
    const mail = queue({ driver: seen });
    const calls = record(mail, 2, 60_000);
    await mail.addJob("index", 0);
    await mail.run();
    await incomplete;
    await mail.pause();
    await mail.addJob("index", 1);
    expect(await mail.counts()).toMatchObject({ waiting: 2, active: 0, paused: true });
    const done = completions(mail, 2);
    await mail.resume();
    await done;
    expect(calls).toEqual([[0, 1]]);
  });

  it("two workers never get the same job, and none is lost", async ({ expect, queue }) => {
    const [one, other] = [queue(), queue()];
    const ids = await one.addJobs(many(20));
    const calls = [record(one, 4, 0), record(other, 4, 0)];
    await Promise.all([one.drain(), other.drain()]);
    const handled = calls.flat(2) as number[];
    expect(handled.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, index) => index));
    for (const id of ids) expect(await one.get(id)).toMatchObject({ state: "completed", attempts: 1 });
  });

  it("drain() handles jobs that have not waited, and what their batch adds", async ({ expect, queue }) => {
    const mail = queue();
    const emails: unknown[] = [];
    mail.on("job:email", (payload) => void emails.push(payload));
    mail.onBatch("job:index", { size: 10, wait: "1h" }, async (jobs, ctx) => {
      await ctx.addJob("email", jobs.length);
    });
    await mail.addJobs(many(2));
    await mail.drain();
    expect(emails).toEqual([2]);
    expect(await mail.counts()).toMatchObject({ waiting: 0, completed: 3 });
  });
});
