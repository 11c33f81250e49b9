import type { Driver, HandlerContext } from "@quayside/core";
import { type JobWorker, Slots } from "@quayside/core/engine";
import { gate, gather, heldHandler, next, QUEUE, spyOnExchanges, topic, wrap } from "./support.ts";

/** Hears of no change: a feed that opens tells of all kinds, and at the one of settings what is held ahead goes back. */
const deaf: Pick<Driver, "watch"> = { watch: () => () => {} };

const many = (count: number) => Array.from({ length: count }, (_, n) => ({ name: "email", payload: n }));

/** Jobs that a worker holds before it has room to run them. */
export const prefetchCases = topic("prefetch", (it) => {
  it("a slot that falls free has its next job while an exchange is on its way", async ({ driver, expect, queue }) => {
    const answer = gate();
    const last = gate();
    const mail = queue({
      driver: wrap(driver, {
        ...deaf,
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

  it("R13: stop() gives back at once what has not started, not counted", async ({ driver, expect, queue, under }) => {
    let stopping = false;
    const last = gate();
    const mail = queue({
      driver: wrap(driver, {
        async exchange(request) {
          const reply = await driver.exchange(request);
          if (stopping && request.claim.limit === 0 && request.running.length === 1) last.open();
          return reply;
        },
      }),
    });
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    const [, ...waiting] = await mail.addJobs(many(4));
    await mail.run({ concurrency: 1, prefetch: 3 });
    await begun;
    expect(await mail.counts()).toMatchObject({ active: 4 });
    stopping = true;
    const stopped = mail.stop();
    await last.opened;
    expect(await mail.counts()).toMatchObject({ active: 1, waiting: 3 });
    finish("done");
    await stopped;
    for (const id of waiting)
      expect(await (await under.another()).get(QUEUE, id as string)).toMatchObject({
        state: "waiting",
        attempts: 0,
        interruptions: 0,
      });
  });

  it("R13: a worker that stops while a claim is on its way gives back all of it", async ({ driver, expect, queue }) => {
    const asked = gate();
    const answer = gate();
    const mail = queue({
      driver: wrap(driver, {
        async exchange(request) {
          asked.open();
          if (request.claim.limit > 0) await answer.opened;
          return driver.exchange(request);
        },
      }),
    });
    mail.on("job:email", heldHandler({ heeds: true }).run);
    await mail.addJobs(many(3));
    await mail.run({ concurrency: 1, prefetch: 2 });
    await asked.opened;
    const stopped = mail.stop({ timeout: 0 });
    answer.open();
    await stopped;
    expect(await mail.counts()).toMatchObject({ active: 0, waiting: 3 });
  });

  it("R14: what was lost before it has started does not start", async ({ driver, expect, queue }) => {
    const settled: string[] = [];
    let taken = "";
    const told = gate();
    const mail = queue({
      driver: wrap(driver, {
        ...deaf,
        async exchange(request) {
          settled.push(...request.settle.map(({ token }) => token));
          const reply = await driver.exchange(request);
          if (request.exchange === 1) taken = reply.jobs[2]?.token ?? "";
          if (request.exchange === 2) told.open();
          return request.exchange === 2 ? { ...reply, lost: [...reply.lost, taken] } : reply;
        },
      }),
    });
    mail.on("job:email", async (payload) => {
      if (payload !== 1) return;
      await told.opened;
      // Until the worker has heard the answer, too.
      for (let round = 0; round < 20; round++) await undefined;
    });
    await mail.addJobs(many(3));
    const idle = next(mail, "idle");
    await mail.run({ concurrency: 1, prefetch: 2 });
    await idle;
    expect(settled).toHaveLength(3);
    expect(settled).not.toContain(taken);
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

  it("R11: a job that is cancelled before it has started does not run", async ({ driver, expect, queue }) => {
    const told = gate();
    const mail = queue({
      driver: wrap(driver, {
        async exchange(request) {
          const reply = await driver.exchange(request);
          if (request.exchange > 1 && request.running.length === 2) told.open();
          return reply;
        },
      }),
    });
    const ran: unknown[] = [];
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", (payload, ctx) => {
      ran.push(payload);
      return payload === 0 ? run(payload, ctx) : undefined;
    });
    const [, second] = await mail.addJobs(many(3));
    await mail.run({ concurrency: 1, prefetch: 2 });
    await begun;
    await mail.cancel(second as string);
    await told.opened;
    const idle = next(mail, "idle");
    finish("done");
    await idle;
    expect(await mail.get(second as string)).toMatchObject({ state: "cancelled" });
    expect(ran).toEqual([0, 2]);
  });

  it("R14: a worker that must let go gives back what it has not started, too", async ({ driver, expect, queue }) => {
    const ends: (() => Promise<void>)[] = [];
    const mail = queue({
      driver: wrap(driver, {
        onActiveChange(shift) {
          ends.push(() => shift.end());
          shift.begin();
          return () => {};
        },
      }),
    });
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    await mail.addJobs(many(3));
    await mail.run({ concurrency: 1, prefetch: 2 });
    await begun;
    await Promise.all(ends.map((end) => end()));
    expect(await mail.counts()).toMatchObject({ active: 0, waiting: 3 });
    finish("too late");
  });

  it("R18: a queue that is paused has back what has not started", async ({ driver, expect, queue }) => {
    let paused = false;
    const told = gate();
    const mail = queue({
      driver: wrap(driver, {
        async exchange(request) {
          const reply = await driver.exchange(request);
          if (paused && request.running.length === 1 && reply.jobs.length === 0) told.open();
          return reply;
        },
      }),
    });
    const done = gather(mail, "completed");
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", (payload, ctx) => (payload === 0 ? run(payload, ctx) : undefined));
    await mail.addJobs(many(3));
    await mail.run({ concurrency: 1, prefetch: 2 });
    await begun;
    await mail.pause();
    paused = true;
    await told.opened;
    const idle = next(mail, "idle");
    finish("done");
    await idle;
    expect(done).toHaveLength(1);
    expect(await mail.counts()).toMatchObject({ waiting: 2, active: 0, completed: 1 });
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
    // Each of its jobs waits for a few rounds at most.
    expect(order.lastIndexOf("limited") < plain / 2).toBe(true);
  });
});
