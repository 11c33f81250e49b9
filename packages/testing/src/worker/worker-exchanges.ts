import { QuaysideError } from "@quayside/core";
import { gate, gather, heldHandler, next, QUEUE, spyOnExchanges, topic, wrap } from "./support.ts";

/** Test cases about the key, the lease and the exchanges of a worker. */
export const workerExchangeCases = topic("workers", (it) => {
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
      async register() {
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
      register: async (worker) => ({ liveness: "time", leave: () => left.push(worker) }),
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
    // A late change of the driver may have caused an earlier exchange, which was refused.
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
});
