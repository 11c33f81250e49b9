import { defineJobs, type Middleware, memoryDriver, Queue, QueueManager } from "@quayside/core";
import { describe, expect, it } from "vitest";
import { mailQueue, scene } from "./support.ts";

const note =
  (order: string[], name: string): Middleware =>
  async (_, next) => {
    order.push(`${name} before`);
    const result = await next();
    order.push(`${name} after`);
    return result;
  };

describe("middleware", () => {
  it("runs around handlers: manager, then queue, then definition, each once", async () => {
    const order: string[] = [];
    const { driver, clock } = scene();
    const manager = new QueueManager({ driver, clock, middleware: [note(order, "manager")] });
    manager.queue("mail").use(note(order, "queue"));
    manager.registerJob({
      name: "email",
      queue: "mail",
      middleware: [note(order, "definition")],
      handler: () => order.push("handler") && "sent",
    });
    const id = await manager.enqueue({ name: "email", queue: "mail", payload: null });
    await manager.drain();
    const named = ["manager", "queue", "definition"];
    expect(order).toEqual([
      ...named.map((name) => `${name} before`),
      "handler",
      ...[...named].reverse().map((name) => `${name} after`),
    ]);
    expect(await manager.queue("mail").get(id)).toMatchObject({ result: "sent" });
  });

  it("may change the result, or end the job without calling next", async () => {
    const { queue } = mailQueue();
    let ran = 0;
    queue.on("job:email", () => ++ran);
    const off = queue.use(async (_, next) => ({ wrapped: await next() }));
    const first = await queue.addJob("email", null);
    await queue.drain();
    off();
    queue.use(() => "skipped");
    const second = await queue.addJob("email", null);
    await queue.drain();
    expect(await queue.get(first)).toMatchObject({ result: { wrapped: 1 } });
    expect(await queue.get(second)).toMatchObject({ result: "skipped" });
    expect(ran).toBe(1);
  });

  it("sees what the handler throws, and may release instead (shouldRelease of the fourth document)", async () => {
    const { queue, clock } = mailQueue();
    let busy = true;
    queue.on("job:email", () => {
      if (busy) throw new Error("busy");
    });
    queue.use(async (ctx, next) => {
      try {
        return await next();
      } catch (error) {
        if (error instanceof Error && error.message === "busy") ctx.release("5s");
        throw error;
      }
    });
    const id = await queue.addJob("email", null, { maxAttempts: 1 });
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ state: "delayed", attempts: 0 });
    busy = false;
    await clock.advance(5_000);
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ state: "completed" });
  });

  it("refuses a second call of next, and runs nothing twice", async () => {
    const { queue } = mailQueue();
    let ran = 0;
    queue.on("job:email", () => ++ran);
    queue.use(async (_, next) => {
      await next();
      return next();
    });
    const id = await queue.addJob("email", null, { maxAttempts: 1 });
    await queue.drain();
    expect(await queue.get(id)).toMatchObject({ state: "failed", error: { message: /more than once/ } });
    expect(ran).toBe(1);
  });

  it("of a queue by itself may be given as an option, and gets the user's ctx", async () => {
    const jobs = defineJobs({ ping: {} });
    const seen: string[] = [];
    const queue = new Queue("mail", memoryDriver(), {
      jobs,
      ctx: { region: "eu" },
      middleware: [
        (ctx, next) => {
          seen.push(ctx.region);
          return next();
        },
      ],
    });
    queue.on("job:ping", (_, ctx) => seen.push(ctx.region));
    await queue.addJob("ping", null);
    await queue.drain();
    expect(seen).toEqual(["eu", "eu"]);
  });
});
