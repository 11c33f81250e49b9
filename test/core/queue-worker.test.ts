import { memoryDriver, QuaysideError, Queue, QueueManager, QueueWorker } from "@quayside/core";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

/** Two queues on one driver; their clock moves by hand. */
function open() {
  const clock = createManualClock();
  const driver = memoryDriver({ clock });
  const queues = (["mail", "images"] as const).map((name) => new Queue(name, driver, { clock, ctx: { from: name } }));
  const [mail, images] = queues as [Queue, Queue];
  return { clock, driver, mail, images };
}

const refusal = (message: RegExp) =>
  expect.objectContaining({
    code: "invalid_option",
    details: expect.objectContaining({ option: "queues" }),
    message: expect.stringMatching(message),
  });

describe("QueueWorker", () => {
  it("works one queue", async () => {
    const { mail } = open();
    const ran: unknown[] = [];
    mail.on("job:send", (payload) => void ran.push(payload));
    await mail.addJob("send", 1);
    const worker = new QueueWorker(mail);
    await worker.drain();
    expect(ran).toEqual([1]);
    expect(worker.processedCount).toBe(1);
    expect(worker.status).toBe("stopped");
  });

  it("works several queues, each with its own bound on concurrency", async () => {
    const { mail, images } = open();
    const running = { mail: 0, images: 0 };
    const most = { mail: 0, images: 0 };
    for (const queue of [mail, images])
      queue.on("job:job", async () => {
        const name = queue.name as keyof typeof running;
        most[name] = Math.max(most[name], ++running[name]);
        for (let turn = 0; turn < 20; turn++) await undefined;
        running[name]--;
      });
    for (const queue of [mail, images])
      await queue.addJobs(Array.from({ length: 8 }, (_, payload) => ({ name: "job", payload })));
    const worker = new QueueWorker([mail, { queue: images, concurrency: 2 }], { concurrency: 6 });
    await worker.drain();
    expect(worker.processedCount).toBe(16);
    expect(most.images).toBe(2);
    expect(most.mail).toBeGreaterThan(2);
  });

  it("gives each job the ctx of its queue, after that of the worker", async () => {
    const { mail, images } = open();
    const seen: unknown[] = [];
    for (const queue of [mail, images])
      queue.on("job:job", (_, ctx) => {
        const { from, by } = ctx as unknown as { from: string; by: string };
        seen.push([from, by]);
      });
    await mail.addJob("job", 1);
    await images.addJob("job", 1);
    await new QueueWorker([mail, images], { ctx: { by: "worker" } }).drain();
    await mail.addJob("job", 1);
    await new QueueWorker(mail, { ctx: { from: "worker", by: "worker" } }).drain();
    expect(seen).toEqual([
      ["mail", "worker"],
      ["images", "worker"],
      ["worker", "worker"],
    ]);
  });

  it("lets handlers add jobs with ctx.enqueue, to their own queue and to another", async () => {
    const { mail, images } = open();
    const ran: unknown[] = [];
    mail.on("job:first", async (_, ctx) => {
      await ctx.enqueue({ name: "second", payload: "own" });
      await ctx.enqueue({ queue: "images", name: "second", payload: "other" });
    });
    for (const queue of [mail, images]) queue.on("job:second", (payload) => void ran.push([queue.name, payload]));
    await mail.addJob("first", null);
    await new QueueWorker([mail, images]).drain();
    expect(ran).toEqual(
      expect.arrayContaining([
        ["mail", "own"],
        ["images", "other"],
      ]),
    );
  });

  it("emits each event also on the queue that it concerns, and counts attempts in the metrics of that queue", async () => {
    const { mail, images } = open();
    const told: unknown[] = [];
    for (const queue of [mail, images]) {
      queue.on("job:job", () => "done");
      queue.on("completed", ({ job }) => told.push([queue.name, job.queue]));
      queue.on("idle", () => told.push([queue.name, "idle"]));
    }
    await mail.addJob("job", 1);
    const worker = new QueueWorker([mail, images]);
    worker.on("completed", ({ job }) => told.push(["worker", job.queue]));
    await worker.drain();
    expect(told).toEqual([
      ["worker", "mail"],
      ["mail", "mail"],
      ["mail", "idle"],
      ["images", "idle"],
    ]);
    expect(mail.metrics().processed).toBe(1);
    expect(images.metrics().processed).toBe(0);
  });

  it("reports an error that concerns one queue to that queue alone", async () => {
    const { mail, images } = open();
    const told: unknown[] = [];
    for (const queue of [mail, images]) {
      queue.on("job:job", () => "done");
      queue.on("error", ({ error }) => told.push([queue.name, (error as QuaysideError).code]));
    }
    await images.addJob("unknown", 1);
    await new QueueWorker([mail, images]).drain();
    expect(told).toEqual([["images", "unknown_job"]]);
  });

  it("looks for work when a handler is added to one of its queues while it runs", async () => {
    const { mail, images } = open();
    mail.on("job:job", () => {});
    images.on("error", () => {});
    await images.addJob("late", "found");
    const worker = new QueueWorker([mail, images]);
    await worker.start();
    await worker.drain();
    const ran = new Promise((resolve) => images.on("job:late", resolve));
    expect(await ran).toBe("found");
    await worker.stop();
  });

  it("works the queues of a manager", async () => {
    const { clock, driver } = open();
    const manager = new QueueManager({ driver, clock });
    const ran: unknown[] = [];
    manager.registerJob({ name: "job", queue: "mail", handler: (payload) => void ran.push(payload) });
    await manager.enqueue({ name: "job", queue: "mail", payload: 1 });
    await new QueueWorker(manager.queue("mail")).drain();
    expect(ran).toEqual([1]);
  });

  it("refuses no queue, one queue twice, several drivers, and what is no queue", () => {
    const { mail, images } = open();
    const far = new Queue("far", memoryDriver());
    expect(() => new QueueWorker([])).toThrow(refusal(/at least one queue/));
    expect(() => new QueueWorker([mail, images, mail])).toThrow(refusal(/each queue once/));
    expect(() => new QueueWorker([mail, far])).toThrow(refusal(/one driver/));
    expect(() => new QueueWorker("mail" as unknown as Queue)).toThrow(refusal(/must be an object/));
    expect(() => new QueueWorker({ name: "mail" } as unknown as Queue)).toThrow(refusal(/must be Queue objects/));
    expect(() => new QueueWorker([{ queue: mail, concurrency: 0 }])).toThrow(/concurrency must be an integer/);
    expect(() => new QueueWorker(mail, { slots: 1 } as object)).toThrow(/slots is no option/);
    expect(() => new QueueWorker([{ queue: mail, concurency: 1 } as object as Queue])).toThrow(
      /concurency is no option/,
    );
    expect(() => new QueueWorker(undefined as unknown as Queue)).toThrow(QuaysideError);
  });
});
