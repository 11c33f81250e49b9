import type { HandlerContext } from "@quayside/core";
import { type JobWorker, Slots } from "@quayside/core/engine";
import { many, withoutChanges } from "./prefetch-jobs.ts";
import { gate, gather, heldHandler, next, spyOnExchanges, topic, wrap } from "./support.ts";

/** Test cases about jobs that a worker claims before it has a free slot. */
export const prefetchCases = topic("prefetch", (it) => {
  it("a slot that falls free has its next job while an exchange is on its way", async ({ driver, expect, queue }) => {
    const answer = gate();
    const last = gate();
    const mail = queue({
      driver: wrap(driver, {
        ...withoutChanges,
        async exchange(request) {
          if (request.exchange > 1) await answer.opened;
          return driver.exchange(request);
        },
      }),
    });
    mail.on("job:email", (payload) => {
      if (payload === 2) last.open();
    });
    await mail.addJobs(many(3));
    await mail.run({ concurrency: 1, prefetch: 2 });
    await last.opened;
    expect(await mail.counts()).toMatchObject({ active: 3, completed: 0 });
    answer.open();
    await mail.drain();
    expect(await mail.counts()).toMatchObject({ active: 0, completed: 3 });
  });

  it("concurrency is never exceeded, whatever is held ahead, and each job runs once", async ({ expect, queue }) => {
    const mail = queue();
    let running = 0;
    let most = 0;
    const ran: unknown[] = [];
    mail.on("job:email", async (payload) => {
      most = Math.max(most, ++running);
      await undefined;
      ran.push(payload);
      running--;
    });
    await mail.addJobs(many(60));
    const idle = next(mail, "idle");
    await mail.run({ concurrency: 4, prefetch: 7 });
    await idle;
    expect(most).toBe(4);
    expect(new Set(ran).size).toBe(60);
    expect(ran).toHaveLength(60);
    expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0, completed: 60 });
  });

  it("R18: what is limited starts as soon as there is room, and is never held ahead", async ({
    driver,
    expect,
    queue,
  }) => {
    const spy = spyOnExchanges(driver);
    const mail = queue({ driver: spy.driver });
    const done = gather(mail, "completed");
    mail.on("job:email", () => {});
    const group = { key: "g", limit: 2 };
    await mail.addJobs([...many(5), ...many(5).map((job) => ({ ...job, group })), ...many(5)]);
    const idle = next(mail, "idle");
    await mail.run({ concurrency: 1, prefetch: 4 });
    await idle;
    expect(done).toHaveLength(15);
    for (const { request, reply } of spy.seen) {
      const now = request.claim.limit - (request.claim.prefetch ?? 0);
      expect(reply.jobs.slice(now).filter(({ job }) => job.group)).toEqual([]);
    }
  });

  it("of workers that share their room none is idle that holds a job", async ({ driver, expect, worker }) => {
    const slots = new Slots(1);
    const order: string[] = [];
    const first = heldHandler();
    const run = async (job: { queue: string; id: string }, ctx: HandlerContext) => {
      if (order.push(job.queue) === 1) await first.run(job, ctx);
    };
    const held = gate();
    const telling = wrap(driver, {
      async exchange(request) {
        const reply = await driver.exchange(request);
        if (reply.jobs[0]?.job.queue === "b") held.open();
        return reply;
      },
    });
    const [a, b] = ["a", "b"].map((name) => worker(telling, { slots, prefetch: 2, queues: [{ name, run }] }));
    for (const queue of ["a", "b"])
      await driver.enqueue(Array.from({ length: 6 }, () => ({ queue, name: "email", payload: "1" })));
    await a?.start();
    await first.begun;
    await b?.start();
    await held.opened;
    const idle = ["a", "b"].map(async (name, index) => {
      await next([a, b][index] as JobWorker, "idle");
      return order.filter((queue) => queue === name).length;
    });
    first.finish(undefined);
    expect(await Promise.all(idle)).toEqual([6, 6]);
  });

  it("a prefetch that is no whole number from 0 to 10,000 is refused, and nothing is claimed", async ({
    expect,
    queue,
  }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.addJob("email", null);
    for (const prefetch of [-1, 0.5, 10_001, Number.NaN]) {
      const refused = { code: "invalid_option", details: { option: "prefetch" } };
      await expect((async () => mail.run({ prefetch }))()).rejects.toMatchObject(refused);
    }
    expect(await mail.counts()).toMatchObject({ waiting: 1, active: 0 });
  });

  it("maxJobs counts what is held ahead", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    const done = gather(mail, "completed");
    await mail.addJobs(many(5));
    const idle = next(mail, "idle");
    await mail.run({ concurrency: 1, prefetch: 9, maxJobs: 3 });
    await idle;
    await mail.stop();
    expect(done).toHaveLength(3);
    expect(await mail.counts()).toMatchObject({ waiting: 2 });
  });

  it("two queues are both worked, the one whose jobs are never held ahead too", async ({ driver, expect, worker }) => {
    const plain = 200;
    const order: string[] = [];
    const run = (job: { queue: string }) => void order.push(job.queue);
    const add = (name: string, count: number) =>
      driver.enqueue(Array.from({ length: count }, () => ({ queue: name, name: "email", payload: "1" })));
    await add("plain", plain);
    await add("limited", 5);
    const one = worker(driver, {
      concurrency: 2,
      prefetch: 4,
      queues: [
        { name: "plain", run },
        { name: "limited", concurrency: 1, run },
      ],
    });
    await one.drain();
    expect(order).toHaveLength(plain + 5);
    // Each of its jobs waits for a few exchanges at most.
    expect(order.lastIndexOf("limited") < plain / 2).toBe(true);
  });
});
