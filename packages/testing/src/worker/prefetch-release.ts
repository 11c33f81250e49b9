import { many, withoutChanges } from "./prefetch-jobs.ts";
import { gate, gather, heldHandler, next, QUEUE, topic, wrap } from "./support.ts";

/** Test cases about jobs that were claimed ahead and do not start. */
export const prefetchReleaseCases = topic("prefetch", (it) => {
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
        ...withoutChanges,
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
      // Until the worker has received the reply.
      for (let round = 0; round < 20; round++) await undefined;
    });
    await mail.addJobs(many(3));
    const idle = next(mail, "idle");
    await mail.run({ concurrency: 1, prefetch: 2 });
    await idle;
    expect(settled).toHaveLength(3);
    expect(settled).not.toContain(taken);
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
});
