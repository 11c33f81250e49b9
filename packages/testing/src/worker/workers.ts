import { QuaysideError } from "@quayside/core";
import { gate, gather, heldHandler, next, QUEUE, spyOnExchanges, topic, wrap } from "./support.ts";

/** What workers hold, how they stop, and what they do when their store does not answer. */
export const workerCases = topic("workers", (it) => {
  it("adds made in the same turn share one transaction, each caller with its own id", async ({
    expect,
    queue,
    driver,
  }) => {
    const sizes: number[] = [];
    const counting = wrap(driver, {
      enqueue(jobs) {
        sizes.push(jobs.length);
        return driver.enqueue(jobs);
      },
    });
    const mail = queue({ driver: counting });
    const ids = await Promise.all(Array.from({ length: 100 }, (_, n) => mail.addJob("email", n)));
    expect(sizes).toEqual([100]);
    expect(new Set(ids).size).toBe(100);
    expect(await mail.get(ids[42] as string)).toMatchObject({ payload: 42 });
  });

  it("concurrency is never exceeded, and no slot is left empty while work is due", async ({ expect, queue }) => {
    const mail = queue();
    let running = 0;
    let most = 0;
    mail.on("job:email", async () => {
      most = Math.max(most, ++running);
      await undefined;
      running--;
    });
    await mail.addJobs(Array.from({ length: 50 }, (_, n) => ({ name: "email", payload: n })));
    await mail.drain({ concurrency: 4 });
    expect(most).toBe(4);
    expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0, completed: 50 });
  });

  it("settlements and the next claim share one exchange", async ({ expect, queue, driver }) => {
    const spy = spyOnExchanges(driver);
    const mail = queue({ driver: spy.driver });
    mail.on("job:email", () => {});
    await mail.addJobs(Array.from({ length: 100 }, (_, n) => ({ name: "email", payload: n })));
    await mail.drain({ concurrency: 10 });
    // Ten batches: each but the first settles the one before; then one that settles the last, and the farewell.
    expect(spy.seen.length).toBeLessThanOrEqual(13);
  });

  it("two workers at once run each job once", async ({ expect, queue, under }) => {
    const ran: unknown[] = [];
    const tabs = [queue(), queue({ driver: await under.another() })];
    for (const tab of tabs) tab.on("job:email", (payload) => ran.push(payload));
    await tabs[0]?.addJobs(Array.from({ length: 60 }, (_, n) => ({ name: "email", payload: n })));
    await Promise.all(tabs.map((tab) => tab.drain({ concurrency: 3 })));
    // The one that drained first may have left jobs to the other, and both have stopped by now.
    expect(ran.length).toBe(60);
    expect(new Set(ran).size).toBe(60);
  });

  it("R8: a worker's key is random per start; its name is only a label", async ({ expect, worker, driver }) => {
    const spy = spyOnExchanges(driver);
    const one = worker(spy.driver, { name: "resizer", queues: [{ name: QUEUE, run: () => {} }] });
    await one.start();
    const first = one.id;
    await one.stop();
    await one.start();
    expect(one.id).not.toBe(first);
    await one.stop();
    expect(new Set(spy.seen.map(({ request }) => request.name))).toEqual(new Set(["resizer"]));
  });

  it("R8: a worker takes its lock before its first claim, and gives it back when it has stopped", async ({
    expect,
    queue,
    driver,
  }) => {
    const order: string[] = [];
    const locking = wrap(driver, {
      async enlist() {
        order.push("lock");
        return { liveness: "time", leave: () => order.push("leave") };
      },
      exchange(request) {
        order.push("exchange");
        return driver.exchange(request);
      },
    });
    const mail = queue({ driver: locking });
    mail.on("job:email", () => {});
    await mail.drain();
    expect(order[0]).toBe("lock");
    expect(order[order.length - 1]).toBe("leave");
  });

  it("R9: an exchange whose answer was lost is sent again and neither doubles nor loses anything", async ({
    expect,
    queue,
    driver,
    advance,
  }) => {
    const ran: unknown[] = [];
    const lose = new Set([1, 2, 4]);
    const lossy = wrap(driver, {
      async exchange(request) {
        const reply = await driver.exchange(request);
        if (lose.delete(request.exchange)) throw new QuaysideError("network", "the answer was lost");
        return reply;
      },
    });
    const mail = queue({ driver: lossy });
    const faults = gather(mail, "error");
    mail.on("job:email", (payload) => ran.push(payload));
    await mail.addJobs(Array.from({ length: 10 }, (_, n) => ({ name: "email", payload: n })));
    const drained = mail.drain({ concurrency: 4 });
    for (let lost = 1; lost <= 3; lost++) {
      if (faults.length < lost) await next(mail, "error");
      await advance(10_000);
    }
    await drained;
    expect(ran).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(await mail.counts()).toMatchObject({ waiting: 0, active: 0, completed: 10, failed: 0 });
  });

  it("R10: what runs is renewed at a third of the lease, all in one exchange", async ({
    expect,
    queue,
    driver,
    advance,
  }) => {
    const spy = spyOnExchanges(driver);
    const renewed = gate();
    const mail = queue({
      driver: wrap(spy.driver, {
        async exchange(request) {
          const reply = await spy.driver.exchange(request);
          if (request.running.length === 2 && request.claim.limit === 0) renewed.open();
          return reply;
        },
      }),
    });
    const handlers = [heldHandler(), heldHandler()];
    let started = 0;
    mail.on("job:email", (payload, ctx) => handlers[started++]?.run(payload, ctx));
    await mail.addJobs([1, 2].map((payload) => ({ name: "email", payload })));
    await mail.run({ concurrency: 2, lease: "30s" });
    await Promise.all(handlers.map(({ begun }) => begun));
    await advance(10_000);
    await renewed.opened;
    const done = gather(mail, "completed");
    const idle = next(mail, "idle");
    for (const handler of handlers) handler.finish("done");
    await idle;
    expect(done).toHaveLength(2);
  });

  it("R12: stop() stops claiming and waits for what runs; its result counts", async ({ expect, queue }) => {
    const mail = queue();
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    const [running, waiting] = await mail.addJobs([1, 2].map((payload) => ({ name: "email", payload })));
    await mail.run({ concurrency: 1 });
    await begun;
    const stopped = mail.stop();
    finish("done");
    await stopped;
    expect(await mail.get(running as string)).toMatchObject({ state: "completed", result: "done" });
    expect(await mail.get(waiting as string)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("R12: stop() aborts what runs on after its timeout and gives the job back, not counted", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const { run, begun, aborted } = heldHandler({ heeds: true });
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run();
    await begun;
    const stopped = mail.stop({ timeout: "3s" });
    await advance(3_000);
    expect(await aborted).toMatchObject({ code: "closed" });
    await stopped;
    expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("R12: stop() ends even when a handler never returns; a result after that loses", async ({
    expect,
    queue,
    advance,
  }) => {
    const mail = queue();
    const { run, begun, aborted, finish } = heldHandler();
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run();
    await begun;
    const stopped = mail.stop({ timeout: 0 });
    await aborted;
    await advance(5_000);
    await stopped;
    finish("too late");
    expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
  });

  it("stop() is idempotent, and a stopped worker can start again", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.run();
    await Promise.all([mail.stop(), mail.stop()]);
    await mail.stop();
    const id = await mail.addJob("email", null);
    const completed = next(mail, "completed");
    await mail.run();
    expect(await completed).toMatchObject({ job: { id } });
  });

  it("renewals go on while a worker waits for its last handler", async ({ expect, queue, driver, advance }) => {
    const spy = spyOnExchanges(driver);
    const renewed = gate();
    const mail = queue({
      driver: wrap(spy.driver, {
        async exchange(request) {
          const reply = await spy.driver.exchange(request);
          if (request.exchange > 1 && request.running.length === 1) renewed.open();
          return reply;
        },
      }),
    });
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    const id = await mail.addJob("email", null);
    await mail.run({ concurrency: 1, lease: "30s" });
    await begun;
    const stopped = mail.stop({ timeout: "5m" });
    await advance(10_000);
    await renewed.opened;
    finish("done");
    await stopped;
    expect(await mail.get(id)).toMatchObject({ state: "completed" });
  });

  it("R14: a worker that cannot reach its store for a lease aborts its handlers, frees its lock and starts anew", async ({
    expect,
    queue,
    driver,
    advance,
  }) => {
    let reachable = true;
    const left: string[] = [];
    const failing = wrap(driver, {
      exchange: (request) =>
        reachable ? driver.exchange(request) : Promise.reject(new QuaysideError("storage_unavailable", "gone")),
      enlist: async (worker) => ({ liveness: "time", leave: () => left.push(worker) }),
    });
    const mail = queue({ driver: failing });
    const faults = gather(mail, "error");
    const { run, begun, aborted } = heldHandler({ heeds: true });
    mail.on("job:email", run);
    await mail.addJob("email", null);
    await mail.run({ lease: "30s" });
    await begun;
    reachable = false;
    for (let second = 0; second < 60; second++) await advance(1_000);
    expect(await aborted).toMatchObject({ code: "lease_lost" });
    expect(left).toHaveLength(1);
    expect(faults.some(({ error }) => (error as QuaysideError).code === "lease_lost")).toBe(true);
    reachable = true;
  });

  it("R39: a worker whose server reads another protocol reports it, waits between tries, and works on once it is updated", async ({
    advance,
    driver,
    expect,
    queue,
  }) => {
    let updated = false;
    let sends = 0;
    const other = wrap(driver, {
      exchange(request) {
        if (updated) return driver.exchange(request);
        sends++;
        const details = { supported: 2, retryAfterMs: 60_000 };
        return Promise.reject(
          new QuaysideError("unsupported_version", "The request is of protocol version 1.", details),
        );
      },
    });
    const mail = queue({ driver: other });
    const faults = gather(mail, "error");
    mail.on("job:email", () => "done");
    const id = await mail.addJob("email", null);
    await mail.run();
    await expect(mail.drain()).rejects.toMatchObject({ code: "unsupported_version" });
    for (let minute = 0; minute < 10; minute++) await advance(60_000);
    expect(sends).toBeGreaterThan(5);
    expect(sends).toBeLessThanOrEqual(15);
    expect(faults).toHaveLength(sends);
    expect(await mail.get(id)).toMatchObject({ state: "waiting", attempts: 0 });
    updated = true;
    const completed = next(mail, "completed");
    await advance(60_000);
    await completed;
  });

  it("R18: a worker that asks too often asks again when it was told to, yet in time for what it holds", async ({
    advance,
    driver,
    expect,
    queue,
    under,
  }) => {
    let refusing = true;
    const sends: number[] = [];
    const limited = wrap(driver, {
      exchange(request) {
        if (!refusing) return driver.exchange(request);
        sends.push(under.clock.monotonic());
        return Promise.reject(new QuaysideError("rate_limited", "later", { retryAfterMs: 60_000 }));
      },
    });
    const mail = queue({ driver: limited });
    const { run, begun, finish } = heldHandler();
    mail.on("job:email", run);
    await mail.addJob("email", null);
    const first = next(mail, "error");
    await mail.run({ lease: "30s" });
    await first;
    await advance(59_999);
    expect(sends).toHaveLength(1);
    refusing = false;
    await advance(1);
    await begun;

    refusing = true;
    const renewal = next(mail, "error");
    await advance(10_000);
    await renewal;
    // A change that the driver tells late may have made it look, and be refused, before.
    const sent = sends.length;
    const again = next(mail, "error");
    await advance(9_999);
    expect(sends).toHaveLength(sent);
    await advance(1);
    await again;
    refusing = false;
    const completed = next(mail, "completed");
    finish("done");
    await advance(10_000);
    expect(await completed).toMatchObject({ result: "done" });
  });

  it("a worker without any handler says so once, and works once it has one", async ({ expect, queue }) => {
    const mail = queue();
    const faults = gather(mail, "error");
    const id = await mail.addJob("email", 1);
    await mail.drain();
    await mail.run();
    await mail.addJob("email", 2);
    await mail.stop();
    expect(faults.map(({ error }) => (error as QuaysideError).code)).toEqual(["unknown_job", "unknown_job"]);
    expect(await mail.get(id)).toMatchObject({ state: "waiting" });
    mail.on("job:email", () => {});
    await mail.drain();
    expect(await mail.counts()).toMatchObject({ completed: 2 });
  });

  it("R17: unknown names step aside, and the worker says so once", async ({ expect, queue }) => {
    const mail = queue();
    const faults = gather(mail, "error");
    mail.on("job:email", () => {});
    await mail.addJobs([
      { name: "sms", payload: 1 },
      { name: "email", payload: 2 },
      { name: "sms", payload: 3 },
    ]);
    await mail.drain();
    await mail.addJob("sms", 4);
    await mail.drain();
    expect(faults.map(({ error }) => (error as QuaysideError).code)).toEqual(["unknown_job", "unknown_job"]);
    expect(await mail.counts()).toMatchObject({ waiting: 3, completed: 1 });
    const done = gather(mail, "completed");
    mail.on("job:sms", () => {});
    await mail.drain();
    expect(done.map(({ job }) => job.payload)).toEqual([1, 3, 4]);
  });

  it("processNext() runs one job and says whether there was one", async ({ expect, worker, queue, driver }) => {
    const mail = queue();
    await mail.addJobs([1, 2].map((payload) => ({ name: "email", payload })));
    const ran: unknown[] = [];
    const one = worker(driver, { queues: [{ name: QUEUE, run: (job) => ran.push(job.payload) }] });
    expect(await one.processNext()).toBe(true);
    expect(ran).toEqual([1]);
    expect(await one.processNext(QUEUE)).toBe(true);
    expect(await one.processNext()).toBe(false);
    expect([one.processedCount, one.failedCount, one.status]).toEqual([2, 0, "stopped"]);
  });

  it("maxJobs stops the worker after so many jobs", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.addJobs([1, 2, 3].map((payload) => ({ name: "email", payload })));
    const done = gather(mail, "completed");
    const idle = next(mail, "idle");
    await mail.run({ maxJobs: 2 });
    await idle;
    await mail.stop();
    expect(done).toHaveLength(2);
    expect(await mail.counts()).toMatchObject({ waiting: 1 });
  });

  it("a paused queue is not worked until it is resumed, and then at once", async ({ expect, queue }) => {
    const mail = queue();
    mail.on("job:email", () => {});
    await mail.pause();
    await mail.addJob("email", null);
    const idle = next(mail, "idle");
    await mail.run();
    await idle;
    expect(await mail.counts()).toMatchObject({ waiting: 1, paused: true });
    const completed = next(mail, "completed");
    await mail.resume();
    await completed;
  });

  it("a listener that throws harms nobody: its error becomes an error event", async ({ expect, queue }) => {
    const mail = queue();
    const faults = gather(mail, "error");
    mail.on("job:email", () => {});
    mail.on("completed", () => {
      throw new Error("listener");
    });
    const id = await mail.addJob("email", null);
    await mail.drain();
    expect(faults.map(({ error }) => (error as Error).message)).toEqual(["listener"]);
    expect(await mail.get(id)).toMatchObject({ state: "completed" });
  });
});
