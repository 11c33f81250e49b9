import { QueueManager } from "@quayside/core";
import { JobWorker } from "@quayside/core/engine";
import { describe, expect, it } from "vitest";
import { mailQueue, rejection, scene } from "./support.ts";

describe("ctx", () => {
  it("log keeps lines with the job, also those of the last moment, each cut at 4 KiB", async () => {
    const { queue, clock } = mailQueue();
    const heard: string[] = [];
    queue.on("log", ({ line }) => heard.push(line));
    let finish = () => {};
    queue.on("job:email", async (_, ctx) => {
      ctx.log("begun");
      await new Promise<void>((resolve) => (finish = resolve));
      ctx.log("x".repeat(5_000));
    });
    const id = await queue.addJob("email", null);
    await queue.run();
    await clock.advance(1_000);
    expect(await queue.get(id)).toMatchObject({ state: "active", logs: ["begun"] });
    finish();
    await clock.advance(0);
    await queue.stop();
    expect(await queue.get(id)).toMatchObject({ state: "completed", logs: ["begun", `${"x".repeat(4_087)}… (cut)`] });
    expect(heard).toHaveLength(2);
  });

  it("signal can be read through an object made of the context, and through a proxy", async () => {
    const { queue } = mailQueue();
    const seen: boolean[] = [];
    queue.on("job:email", (_, ctx) => {
      for (const copy of [Object.create(ctx) as typeof ctx, new Proxy(ctx, {})]) seen.push(copy.signal === ctx.signal);
    });
    await queue.addJob("email", null);
    await queue.drain();
    expect(seen).toEqual([true, true]);
  });

  it("signal stays where a field of the queue's ctx is named __proto__", async () => {
    const { queue } = mailQueue();
    const seen: unknown[] = [];
    queue.on("job:email", (_, ctx) => void seen.push(ctx.signal instanceof AbortSignal));
    await queue.addJob("email", null);
    await queue.drain({ ctx: JSON.parse('{ "__proto__": { "x": 1 } }') });
    expect(seen).toEqual([true]);
  });

  it("log keeps the last 100 lines", async () => {
    const { queue } = mailQueue();
    queue.on("job:email", (_, ctx) => {
      for (let line = 1; line <= 250; line++) ctx.log(`${line}`);
    });
    const id = await queue.addJob("email", null);
    await queue.drain();
    const { logs = [] } = (await queue.get(id)) ?? {};
    expect([logs.length, logs[0], logs[99]]).toEqual([100, "151", "250"]);
  });

  it("logs of several attempts are kept together", async () => {
    const { queue, clock } = mailQueue();
    queue.on("job:email", (_, ctx) => {
      ctx.log(`attempt ${ctx.attempt}`);
      if (ctx.attempt === 1) throw new Error("no");
    });
    const id = await queue.addJob("email", null, { backoff: "1s" });
    await queue.drain();
    await clock.advance(1_000);
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ logs: ["attempt 1", "attempt 2"] });
  });

  it("enqueue adds a job, to the same queue unless it says otherwise; publish one to each of several", async () => {
    const { queue, driver } = mailQueue();
    const added: unknown[] = [];
    queue.on("job:user", async (_, ctx) => {
      added.push(await ctx.enqueue({ name: "audit", payload: 1, priority: 5 }));
      added.push(await ctx.enqueue({ name: "audit", queue: "logs", payload: 2 }));
      added.push(...(await ctx.publish({ name: "user.created", queues: ["crm", "stats"], payload: 3 })));
    });
    await queue.addJob("user", null);
    await queue.drain();
    const [own, logs, crm, stats] = added as [string, string, string, string];
    expect(await driver.get("mail", own)).toMatchObject({ name: "audit", payload: 1, priority: 5 });
    expect(await driver.get("logs", logs)).toMatchObject({ name: "audit", payload: 2 });
    expect(await driver.get("crm", crm)).toMatchObject({ name: "user.created", payload: 3 });
    expect(await driver.get("stats", stats)).toMatchObject({ name: "user.created", payload: 3 });
  });

  it("in a manager: default queue is the job's own, and definitions know theirs", async () => {
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock, ctx: { db: "db" } });
    const ran: unknown[] = [];
    manager.registerJob({ name: "audit", queue: "logs", handler: (_, ctx) => ran.push([ctx.queue, ctx.db]) });
    manager.registerJob({
      name: "user",
      queue: "crm",
      handler: async (_, ctx) => {
        await ctx.enqueue({ name: "audit", payload: null });
        await ctx.enqueue({ name: "welcome", payload: null });
      },
    });
    await manager.enqueue({ name: "user", queue: "crm", payload: null });
    await manager.drain();
    expect(ran).toEqual([["logs", "db"]]);
    expect(await manager.queue("crm").counts()).toMatchObject({ waiting: 1 });
  });

  it("children is empty for a job that has none; enqueue in a bare worker says what is missing", async () => {
    const { driver, clock } = scene();
    const { queue } = mailQueue({ driver });
    const seen: unknown[] = [];
    const worker = new JobWorker(driver, {
      clock,
      queues: [
        {
          name: "mail",
          run: async (_, ctx) => {
            seen.push(ctx.children(), (await rejection((async () => ctx.enqueue({ name: "x", payload: 1 }))())).code);
          },
        },
      ],
    });
    await queue.addJob("email", null);
    await worker.drain();
    expect(seen).toEqual([[], "invalid_option"]);
  });
});
