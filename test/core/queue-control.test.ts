import { defineJobs, Queue } from "@quayside/core";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { mailQueue, rejection, scene } from "./support.ts";

describe("steering a queue", () => {
  it("update changes payload, priority and delay of a waiting job", async () => {
    const { queue } = mailQueue();
    const order: unknown[] = [];
    queue.on("job:email", (payload) => order.push(payload));
    const [, second, third] = (await queue.addJobs([1, 2, 3].map((payload) => ({ name: "email", payload })))) as [
      string,
      string,
      string,
    ];
    await queue.update(second, { payload: "changed", priority: 5 });
    await queue.update(third, { delay: "1h" });
    expect(await queue.get(third)).toMatchObject({ state: "delayed" });
    await queue.drain();
    expect(order).toEqual(["changed", 1]);
    expect(await rejection(queue.update(second, { priority: 1 }))).toMatchObject({ code: "conflict" });
    expect(await rejection(queue.update("nobody", { payload: 1 }))).toMatchObject({ code: "job_not_found" });
  });

  it("update checks the new payload by the schema of the job's name", async () => {
    const { driver, clock } = scene();
    const jobs = defineJobs({ email: { input: z.object({ to: z.string() }) } });
    const queue = new Queue("mail", driver, { clock, jobs });
    const id = await queue.addJob("email", { to: "ada" });
    // @ts-expect-error a payload that the schema refuses
    expect(await rejection(queue.update(id, { payload: { to: 1 } }))).toMatchObject({ code: "invalid_payload" });
    await queue.update(id, { payload: { to: "bob" } });
    expect(await queue.get(id)).toMatchObject({ payload: { to: "bob" } });
    for (const change of [{ priority: 101 }, { delay: -1 }])
      expect(await rejection(queue.update(id, change))).toMatchObject({ code: "invalid_option" });
  });

  it("retryAll puts failed jobs back in line, all or those of a filter", async () => {
    const { queue, clock } = mailQueue();
    let broken = true;
    for (const name of ["email", "sms"])
      queue.on(`job:${name}`, () => {
        if (broken) throw new Error("no");
      });
    const add = (name: string, tags: string[]) => queue.addJob(name, null, { tags, maxAttempts: 1 });
    await add("email", ["eu"]);
    await queue.drain();
    await clock.advance(3_600_001);
    await add("sms", ["eu"]);
    await add("sms", ["us"]);
    await queue.drain();
    expect(await queue.counts()).toMatchObject({ failed: 3 });
    expect(await queue.retryAll({ olderThan: "1h" })).toMatchObject({ affected: 1 });
    expect(await queue.retryAll({ name: "sms", tags: ["us"] })).toMatchObject({ affected: 1 });
    expect(await queue.retryAll()).toMatchObject({ affected: 1 });
    broken = false;
    await queue.drain();
    expect(await queue.counts()).toMatchObject({ failed: 0, completed: 3 });
  });

  it("clear takes a state or a filter", async () => {
    const { queue } = mailQueue();
    await queue.addJobs([
      { name: "email", payload: 1, tags: ["eu"] },
      { name: "email", payload: 2, tags: ["us"] },
      { name: "sms", payload: 3, delay: "1h" },
    ]);
    expect(await queue.clear({ tags: ["us"] })).toMatchObject({ affected: 1 });
    expect(await queue.clear("delayed")).toMatchObject({ affected: 1 });
    expect(await queue.clear({ name: "sms" })).toMatchObject({ affected: 0 });
    expect(await queue.clear({ state: "waiting", name: "email" })).toMatchObject({ affected: 1 });
    expect(await queue.size()).toBe(0);
  });

  it("list filters by tags", async () => {
    const { queue } = mailQueue();
    await queue.addJobs([
      { name: "email", payload: 1, tags: ["eu", "big"] },
      { name: "email", payload: 2, tags: ["eu"] },
      { name: "email", payload: 3 },
    ]);
    const payloads = async (tags: string[]) => (await queue.list({ tags })).jobs.map(({ payload }) => payload);
    expect(await payloads(["eu"])).toEqual([1, 2]);
    expect(await payloads(["big", "eu"])).toEqual([1]);
  });

  it("configure sets a rate limit and maxActive that hold for all workers, and null lifts them", async () => {
    const { queue, clock, another } = mailQueue();
    const other = mailQueue({ driver: another(), clock }).queue;
    let ran = 0;
    for (const each of [queue, other]) each.on("job:email", () => ++ran);
    await queue.configure({ rateLimit: { max: 2, per: "1s" } });
    await queue.addJobs([1, 2, 3, 4, 5].map((payload) => ({ name: "email", payload })));
    await queue.drain();
    await other.drain();
    expect(ran).toBe(2);
    await queue.configure({ rateLimit: null, maxActive: 1 });
    await other.drain();
    expect(ran).toBe(5);
    for (const wrong of [
      { maxActive: 0 },
      { maxWaiting: 0 },
      { maxWaiting: 1.5 },
      { rateLimit: { max: 0, per: 1 } },
      { rateLimit: { max: 1, per: 0 } },
    ])
      expect(await rejection(queue.configure(wrong))).toMatchObject({ code: "invalid_option" });
  });

  it("schedule, schedules, unschedule", async () => {
    const { queue, clock } = mailQueue();
    const ran: unknown[] = [];
    queue.on("job:report", (payload) => ran.push(payload));
    await queue.schedule("daily", { every: "1d", name: "report", payload: { kind: "daily" }, tags: ["report"] });
    expect(await queue.schedules()).toMatchObject([
      { key: "daily", name: "report", payload: { kind: "daily" }, nextAt: clock.now() + 86_400_000 },
    ]);
    await clock.advance(86_400_000);
    await queue.drain();
    await clock.advance(86_400_000);
    await queue.drain();
    expect(ran).toEqual([{ kind: "daily" }, { kind: "daily" }]);
    expect(await queue.unschedule("daily")).toBe(true);
    expect(await queue.unschedule("daily")).toBe(false);
    expect(await queue.schedules()).toEqual([]);
    expect(await queue.size()).toBe(0);
    expect(await rejection(queue.schedule("x", { every: 1, name: "report", payload: null }))).toMatchObject({
      code: "invalid_option",
    });
  });

  it("metrics count and time attempts, per queue and per name", async () => {
    const { queue, clock } = mailQueue();
    queue.on("job:email", async (payload, ctx) => {
      await new Promise<void>((resolve) => clock.after(payload as number, resolve));
      if (ctx.attempt === 1 && payload === 400) throw new Error("no");
    });
    queue.on("job:sms", (_, ctx) => ctx.fail("no"));
    await queue.addJobs([
      ...[100, 200, 400].map((payload) => ({ name: "email", payload })),
      { name: "sms", payload: 1 },
    ]);
    await clock.advance(1_000);
    await queue.run();
    await clock.advance(5_000);
    await queue.stop();
    const metrics = queue.metrics();
    expect(metrics).toMatchObject({ processed: 3, failed: 1, retried: 1, jobs: { sms: { processed: 0, failed: 1 } } });
    expect(metrics.jobs["email"]).toMatchObject({ processed: 3, failed: 0, retried: 1, runMs: { count: 4, max: 400 } });
    const { p50, p99 } = metrics.jobs["email"]?.runMs ?? { p50: 0, p99: 0 };
    expect(p50 >= 200 && p50 <= 220).toBe(true);
    expect(p99).toBe(400);
    expect(metrics.jobs["sms"]?.waitMs.p50).toBe(1_000);
    expect(mailQueue().queue.metrics()).toMatchObject({ processed: 0, runMs: { count: 0, p50: 0 } });
  });
});
