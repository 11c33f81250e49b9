import { systemClock } from "@quayside/core";
import { createManualClock, type ManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Fault } from "./faulty-shards.ts";
import { closeAll, openQueues, type RemoteWorker } from "./queues-at-fault.ts";
import { until } from "./shards-at-fault.ts";

afterEach(closeAll);

const FAULTS = ["throws", "hangs", "is slow", "loses its answers"] as const;
const faultFor = (name: (typeof FAULTS)[number], clock: ManualClock): Fault => {
  if (name === "loses its answers") return "loses";
  // Longer than an exchange waits for a queue.
  if (name === "is slow")
    return async (call) => {
      await new Promise<void>((resolve) => void clock.after(5_000, resolve));
      return call();
    };
  return name;
};
const sorted = (list: readonly string[]) => [...list].sort();

describe.each(FAULTS)("a worker of three queues over HTTP, of which the object of one %s (R41)", (fault) => {
  it.each([0, 1, 2])("runs the jobs of the others as without it: queue %i", async (broken) => {
    const healthyOf = (index: number) => index !== broken;
    const run = async (each: readonly number[], withFault: boolean) => {
      const clock = createManualClock();
      const queues = await openQueues(each);
      const { faults, ids, of } = queues;
      if (withFault) faults.set(broken, faultFor(fault, clock));
      const remote = queues.work(clock, async () => {}, { concurrency: 3 });
      await remote.worker.start();
      const healthy = ids.filter((id) => !of(broken).includes(id));
      await until(clock, 20, () => healthy.every((id) => remote.ran.includes(id)));
      const exchanges = [0, 1, 2].filter(healthyOf).reduce((sum, index) => sum + faults.exchangesWith(index), 0);
      return { ...queues, remote, clock, exchanges, ms: clock.monotonic() };
    };
    const without = await run(
      [8, 8, 8].map((each, index) => (index === broken ? 0 : each)),
      false,
    );
    await without.remote.worker.stop();
    const { remote, clock, exchanges, ms, faults, ids, of, counts } = await run([8, 8, 8], true);
    expect(ms - without.ms).toBeLessThanOrEqual(2_100);
    expect(exchanges).toBeLessThanOrEqual(without.exchanges + 4);
    await until(clock, 50, () => remote.errors.length > 0);
    expect(remote.errors).toMatchObject([
      {
        message: expect.stringMatching(/^Queue "several-\d+-\d" does not answer/),
        details: { queue: expect.any(String) },
      },
    ]);
    if (fault !== "is slow") faults.set(broken, undefined);
    await until(clock, 200, () => remote.told.length >= ids.length);
    expect(sorted(remote.told)).toEqual(sorted(ids.map((id) => `completed ${id}`)));
    expect(sorted(remote.ran)).toEqual(sorted(ids));
    faults.set(broken, undefined);
    expect(await counts()).toEqual([0, 1, 2].map((index) => ({ completed: of(index).length, left: 0 })));
    expect(remote.errors).toHaveLength(1);
    // What is asked apart does not wake its worker for nothing.
    await until(clock, 500, () => clock.monotonic() > ms + 30_000);
    const asked = () => [0, 1, 2].reduce((sum, index) => sum + faults.exchangesWith(index), 0);
    const before = asked();
    const from = clock.monotonic();
    await until(clock, 500, () => clock.monotonic() > from + 20_000);
    expect(asked() - before).toBeLessThan(12);
  });

  it("takes no running job of another queue from its worker", async () => {
    const clock = createManualClock();
    const { work, faults, of, alone, names } = await openQueues(2);
    const gate = Promise.withResolvers<void>();
    const { worker, began, aborted, ran } = work(clock, () => gate.promise, { concurrency: 6, lease: 9_000 });
    await worker.start();
    await until(clock, 1, () => began.length === 6);
    faults.set(1, faultFor(fault === "is slow" ? "hangs" : fault, clock));
    const driftBy = async (ms: number) => {
      const { env } = await import("cloudflare:workers");
      for (const name of names) await env.BARE_QUEUE.getByName(name).advance(ms);
      for (let step = 0; step < ms; step += 500) {
        await clock.advance(500);
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
    };
    for (let lease = 0; lease < 8; lease++) await driftBy(3_000);
    // One whose answers are lost has renewed all the same; its worker cannot tell.
    expect(sorted(aborted)).toEqual(of(1));
    for (const index of [0, 2]) {
      const rival = alone(index);
      const ask = { worker: "rival", liveness: "time", leaseMs: 9_000, settle: [], running: [] } as const;
      const claim = { limit: 9, queues: [{ queue: names[index] as string }] };
      expect((await rival.exchange({ ...ask, exchange: 1, claim })).jobs).toEqual([]);
    }
    gate.resolve();
    await until(clock, 100, () => ran.length === 6);
  });

  it("tells how a job of it ended once the object has stored it, and no earlier", async () => {
    const clock = createManualClock();
    const { work, faults, of, ids, counts } = await openQueues(2);
    const gate = Promise.withResolvers<void>();
    const { worker, began, told } = work(clock, () => gate.promise, { concurrency: 6 });
    await worker.start();
    await until(clock, 1, () => began.length === 6);
    faults.set(2, faultFor(fault, clock));
    gate.resolve();
    await until(clock, 50, () => told.length >= 4);
    expect(sorted(told)).toEqual(sorted([...of(0), ...of(1)].map((id) => `completed ${id}`)));
    if (fault !== "is slow") {
      const from = clock.monotonic();
      await until(clock, 500, () => clock.monotonic() > from + 6_000);
      expect(told).toHaveLength(4);
      faults.set(2, undefined);
    }
    await until(clock, 100, () => told.length >= 6);
    expect(sorted(told)).toEqual(sorted(ids.map((id) => `completed ${id}`)));
    expect(began).toHaveLength(6);
    faults.set(2, undefined);
    expect(await counts()).toEqual([0, 1, 2].map(() => ({ completed: 2, left: 0 })));
  });

  it.each(["drain", "stop"] as const)("%s() ends beside it, and gives back what it has leased", async (way) => {
    const clock = createManualClock();
    const { work, faults, of, alone, names } = await openQueues(2);
    faults.set(1, faultFor(fault, clock));
    const { worker, ran, errors } = work(clock);
    if (way === "stop") {
      await worker.start();
      await until(clock, 100, () => errors.length > 0 && ran.length >= 4);
    }
    let over = false;
    void worker[way]().then(() => {
      over = true;
    });
    await until(clock, 100, () => over);
    expect(sorted(ran.filter((id) => !of(1).includes(id)))).toEqual([...of(0), ...of(2)]);
    const from = clock.monotonic();
    faults.set(1, undefined);
    await until(clock, 100, () => clock.monotonic() > from + 6_000);
    const object = alone(1);
    const name = names[1] as string;
    for (let look = 0; look < 100 && (await object.counts(name)).active > 0; look++) await clock.advance(500);
    const { active, waiting, completed } = await object.counts(name);
    expect({ active, all: waiting + completed }).toEqual({ active: 0, all: 2 });
    expect(clock.monotonic() - from).toBeLessThan(40_000);
  });
});

describe("a worker of three queues over HTTP", () => {
  const answered = async (remote: RemoteWorker, count: number, clock: ManualClock) =>
    until(clock, 100, () => remote.told.length >= count);

  it("with none that answers in time: each is asked by itself, and all jobs are done", async () => {
    const clock = createManualClock();
    const { work, faults, ids } = await openQueues(3);
    for (const index of [0, 1, 2]) faults.set(index, faultFor("is slow", clock));
    const remote = work(clock, async () => {}, { concurrency: 2 });
    await remote.worker.start();
    await answered(remote, ids.length, clock);
    expect(sorted(remote.ran)).toEqual(sorted(ids));
  });

  it("goes on with one that comes back while the others still fail", async () => {
    const clock = createManualClock();
    const { work, faults, of } = await openQueues(3);
    for (const index of [0, 1, 2]) faults.set(index, index === 0 ? "hangs" : "throws");
    const remote = work(clock, async () => {}, { concurrency: 2 });
    await remote.worker.start();
    await until(clock, 100, () => remote.errors.length === 3);
    faults.set(1, undefined);
    await answered(remote, 3, clock);
    expect(sorted(remote.ran)).toEqual(of(1));
  });

  it("fails as a whole where all fail at once, and sends the same again", async () => {
    const clock = createManualClock();
    const { work, faults, ids } = await openQueues(2);
    for (const index of [0, 1, 2]) faults.set(index, "throws");
    const remote = work(clock);
    await remote.worker.start();
    await until(clock, 100, () => remote.errors.length > 0);
    expect(remote.errors).toMatchObject([{ code: "network", message: expect.not.stringContaining("Queue") }]);
    for (const index of [0, 1, 2]) faults.set(index, undefined);
    await answered(remote, ids.length, clock);
    expect(sorted(remote.ran)).toEqual(sorted(ids));
  });

  it("of which one has a limit of its own: what it gave late is no more than that", async () => {
    const clock = createManualClock();
    const { work, faults, ids } = await openQueues([0, 6, 0]);
    faults.set(1, faultFor("is slow", clock));
    let running = 0;
    let most = 0;
    const remote = work(
      clock,
      async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => void clock.after(700, resolve));
        running--;
      },
      { concurrency: 5, perQueue: 2 },
    );
    await remote.worker.start();
    await answered(remote, ids.length, clock);
    expect(most).toBe(2);
  });

  it("tells of a refusal of one queue's claim, and works the others", async () => {
    const clock = createManualClock();
    const { work, faults, ids, of } = await openQueues(3);
    const refusal = { ok: false, error: { code: "forbidden", message: "Refused.", details: {} } };
    faults.set(0, async (call, verb) => (verb === "exchange" ? refusal : call()));
    const remote = work(clock, async () => {}, { concurrency: 2 });
    await remote.worker.start();
    await answered(remote, 6, clock);
    expect(remote.errors[0]).toMatchObject({ code: "forbidden", details: { queue: expect.any(String) } });
    const asked = faults.exchangesWith(0);
    const from = clock.monotonic();
    await until(clock, 100, () => clock.monotonic() > from + 30_000);
    expect(faults.exchangesWith(0) - asked).toBeLessThan(60);
    faults.set(0, undefined);
    await until(clock, 200, () => remote.told.length >= ids.length);
    expect(sorted(remote.ran.slice(6))).toEqual(of(0));
  });

  it("asks one that is rate limited again after the pause that it asked for", async () => {
    const clock = createManualClock();
    const { work, faults, ids, of } = await openQueues(2);
    const error = { code: "rate_limited", message: "Too many.", details: { retryAfterMs: 5_000 } };
    faults.set(0, async (call, verb) => (verb === "exchange" ? { ok: false, error } : call()));
    const remote = work(clock, async () => {}, { concurrency: 2 });
    await remote.worker.start();
    await answered(remote, 4, clock);
    await until(clock, 100, () => clock.monotonic() > 4_000);
    expect(faults.exchangesWith(0)).toBe(1);
    faults.set(0, undefined);
    await answered(remote, ids.length, clock);
    expect(sorted(remote.ran.slice(4))).toEqual(of(0));
    expect(remote.errors).toMatchObject([{ code: "rate_limited", details: { retryAfterMs: 5_000 } }]);
  });

  it("one of them split: its shard and another queue at fault beside each other, each end is told when it is stored", async () => {
    const clock = createManualClock();
    const { work, faults, ids, counts } = await openQueues([3, 3, 8], { splitLast: true });
    const gate = Promise.withResolvers<void>();
    const { worker, began, told } = work(clock, () => gate.promise, { concurrency: ids.length });
    await worker.start();
    await until(clock, 1, () => began.length === ids.length);
    faults.set(0, "hangs");
    faults.set(3, "throws");
    gate.resolve();
    const stored = async () => (await counts()).reduce((sum, { completed }) => sum + completed, 0);
    // The whole of the split queue is late for a while, too.
    await until(clock, 50, () => told.length >= 3);
    faults.set(2, "hangs");
    for (let step = 0; step < 40; step++) await clock.advance(250);
    faults.set(3, undefined);
    faults.set(2, undefined);
    faults.set(0, undefined);
    await until(clock, 200, () => told.length >= ids.length);
    expect(sorted(told)).toEqual(sorted(ids.map((id) => `completed ${id}`)));
    expect(await stored()).toBe(ids.length);
    expect(began).toHaveLength(ids.length);
  });

  it.each(["throws", "hangs"] as const)("in real time: one that %s", async (fault) => {
    const { work, faults, ids, of } = await openQueues(6);
    faults.set(1, fault);
    const { worker, ran, told } = work(systemClock, async () => {}, { concurrency: 3 });
    await worker.start();
    const healthy = ids.filter((id) => !of(1).includes(id));
    await vi.waitFor(() => expect(healthy.filter((id) => !ran.includes(id))).toEqual([]), { timeout: 4_000 });
    faults.set(1, undefined);
    await vi.waitFor(() => expect(sorted(told)).toEqual(sorted(ids.map((id) => `completed ${id}`))), {
      timeout: 15_000,
      interval: 50,
    });
    expect(ran).toHaveLength(ids.length);
    await worker.stop();
  });
});
