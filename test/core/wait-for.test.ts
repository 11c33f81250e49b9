import { type Driver, everything, memoryDriver } from "@quayside/core";
import { StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { Metered } from "./metered-store.ts";
import { mailQueue, rejection } from "./support.ts";

describe("waitFor", () => {
  it("resolves with the result when the job has ended, without polling", async () => {
    const { queue, driver, clock } = mailQueue();
    let gets = 0;
    const get = driver.get.bind(driver);
    driver.get = (...args) => {
      gets++;
      return get(...args);
    };
    queue.on("job:add", (payload) => (payload as number) + 1);
    const id = await queue.addJob("add", 41, { delay: "1h" });
    const waiting = queue.waitFor(id);
    await clock.advance(3_500_000);
    expect(gets).toBe(1);
    await clock.advance(100_000);
    await queue.drain();
    expect(await waiting).toBe(42);
    expect(gets).toBe(2);
  });

  it("works for a job that ended before, and from another process", async () => {
    const { queue, another } = mailQueue();
    queue.on("job:add", (payload) => (payload as number) + 1);
    const id = await queue.addJob("add", 1);
    await queue.drain();
    const elsewhere = mailQueue({ driver: another() }).queue;
    expect(await elsewhere.waitFor(id)).toBe(2);
    const second = await queue.addJob("add", 2);
    const waiting = elsewhere.waitFor(second);
    await queue.drain();
    expect(await waiting).toBe(3);
  });

  it("rejects with the job's own error, by its code", async () => {
    const { queue } = mailQueue();
    queue.on("job:fail", (_, ctx) => ctx.fail("no such address"));
    const id = await queue.addJob("fail", null);
    const waiting = rejection(queue.waitFor(id));
    await queue.drain();
    expect(await waiting).toMatchObject({ code: "unrecoverable", message: "no such address" });
  });

  it("a failure that will be tried again is no end", async () => {
    const { queue, clock } = mailQueue();
    queue.on("job:try", (_, ctx) => {
      if (ctx.attempt === 1) throw new Error("no");
      return "yes";
    });
    const id = await queue.addJob("try", null, { backoff: "1s" });
    const waiting = queue.waitFor(id);
    await queue.drain();
    await clock.advance(1_000);
    await queue.drain();
    expect(await waiting).toBe("yes");
  });

  it("rejects with cancelled, job_not_found, timeout, or the signal's reason", async () => {
    const { queue, clock } = mailQueue();
    const id = await queue.addJob("add", 1);
    const timedOut = rejection(queue.waitFor(id, { timeout: "5s" }));
    await clock.advance(5_000);
    expect(await timedOut).toMatchObject({ code: "timeout" });
    const aborted = new AbortController();
    const left = rejection(queue.waitFor(id, { signal: aborted.signal }));
    aborted.abort(new Error("left the page"));
    expect(await left).toMatchObject({ message: "left the page" });
    expect(await rejection(queue.waitFor(id, { signal: aborted.signal }))).toMatchObject({ message: "left the page" });
    const waiting = rejection(queue.waitFor(id, { timeout: "1h" }));
    await queue.cancel(id);
    expect(await waiting).toMatchObject({ code: "cancelled" });
    expect(await rejection(queue.waitFor("nobody"))).toMatchObject({ code: "job_not_found" });
    expect(clock.pending).toBe(0);
  });

  it("a job that is not kept ends as job_not_found, saying why", async () => {
    const { queue } = mailQueue();
    queue.on("job:add", () => 1);
    const id = await queue.addJob("add", 1, { keep: { completed: 0 } });
    const waiting = rejection(queue.waitFor(id));
    await queue.drain();
    expect(await waiting).toMatchObject({ code: "job_not_found", message: expect.stringContaining("keep") });
  });

  it("reads each of 300 jobs a bounded number of times when they are cancelled one by one", async () => {
    const store = new Metered();
    const { queue } = mailQueue({
      driver: new StoreDriver(store, { plugins: everything(), clock: createManualClock() }),
    });
    const ids = await queue.addJobs(Array.from({ length: 300 }, () => ({ name: "add", payload: 1 })));
    const ends = Promise.allSettled(ids.map((id) => queue.waitFor(id)));
    for (const id of ids) await queue.cancel(id);
    expect((await ends).every(({ status }) => status === "rejected")).toBe(true);
    expect(store.read).toBeLessThanOrEqual(10 * ids.length);
  });

  it("looks once more before it times out, for a driver that forgot to tell", async () => {
    const { queue, driver, clock } = mailQueue();
    const silent: Driver = Object.assign(memoryDriver(), { get: driver.get.bind(driver), watch: () => () => {} });
    const deaf = mailQueue({ driver: silent, clock }).queue;
    queue.on("job:add", () => 1);
    const id = await queue.addJob("add", 1);
    const waiting = deaf.waitFor(id, { timeout: "5s" });
    await queue.drain();
    await clock.advance(5_000);
    expect(await waiting).toBe(1);
  });

  it("rejects with what the driver met", async () => {
    const driver = memoryDriver();
    const { queue } = mailQueue({ driver });
    await driver.close();
    expect(await rejection(queue.waitFor("1"))).toMatchObject({ code: "closed" });
  });
});
