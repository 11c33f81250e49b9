import { systemClock } from "@quayside/core";
import type { FoundJobs } from "@quayside/core/engine";
import { shardedDriver } from "@quayside/edge";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { closeAll, faultOf, open, SHARDS, until } from "./shards-at-fault.ts";

afterEach(closeAll);

describe("shards that are all slow", () => {
  it.each(["RPC", "HTTP"] as const)("are each asked by itself over %s, and all jobs are done", async (way) => {
    const clock = createManualClock();
    const { remote, faults, ids } = await open(2);
    for (let shard = 0; shard < SHARDS; shard++)
      faults.set(shard, faultOf["is slow"](way === "RPC" ? clock : systemClock));
    const { worker, ran, told } = remote(way === "RPC" ? clock : "HTTP");
    await worker.run({ concurrency: 3 });
    const isDone = () => told.length >= ids.length;
    if (way === "RPC") await until(clock, 100, isDone);
    else await vi.waitFor(() => expect(isDone()).toBe(true), { timeout: 25_000, interval: 50 });
    expect([...ran].sort()).toEqual([...ids].sort());
    for (let shard = 0; shard < SHARDS; shard++) faults.set(shard, undefined);
  });
});

describe.each(["throws", "hangs", "is slow"] as const)("a shard that %s", (fault) => {
  it.each([0, 2])("keeps no job of the others waiting: shard %i", async (broken) => {
    const clock = createManualClock();
    const { remote, faults, of, ids } = await open();
    const { worker, errors, ran } = remote(clock);
    faults.set(broken, faultOf[fault](clock));
    const healthy = ids.filter((id) => !of(broken).includes(id));
    await worker.run({ concurrency: 3 });
    await until(clock, 20, () => healthy.every((id) => ran.includes(id)));
    expect(clock.monotonic()).toBeLessThan(3_000);
    await until(clock, 20, () => errors.length > 0);
    expect(errors).toMatchObject([
      { message: expect.stringContaining(`Shard ${broken}`), details: { shard: `${broken}` } },
    ]);
    if (fault !== "is slow") faults.set(broken, undefined);
    await until(clock, 100, () => ran.length >= ids.length);
    expect([...ran].sort()).toEqual([...ids].sort());
    expect(errors).toHaveLength(1);
  });

  it("takes no running job of another shard from its worker, and gives its own to others after a lease", async () => {
    const clock = createManualClock();
    const { name, remote, faults, of, advance, alone } = await open(1);
    const began: string[] = [];
    const aborted: string[] = [];
    const gate = Promise.withResolvers<void>();
    const { worker, ran } = remote(clock, async ({ id, signal }) => {
      began.push(id);
      signal.addEventListener("abort", () => aborted.push(id));
      await gate.promise;
    });
    await worker.run({ concurrency: 4, lease: 9_000 });
    await until(clock, 1, () => began.length === 4);
    faults.set(1, fault === "throws" ? "throws" : "hangs");
    await until(clock, 200, () => aborted.length > 0);
    for (let lease = 0; lease < 10; lease++) await advance(clock, 3_000);
    expect(aborted).toEqual(of(1));
    expect(began).toHaveLength(4);
    for (const shard of [0, 2, 3]) {
      // Another worker finds nothing to take there.
      const rival = alone(shard);
      const ask = { worker: "rival", liveness: "time", leaseMs: 9_000, settle: [], running: [] } as const;
      const claim = { limit: 9, queues: [{ queue: name }] };
      expect((await rival.exchange({ ...ask, exchange: 1, claim })).jobs).toEqual([]);
    }
    gate.resolve();
    await until(clock, 100, () => ran.length === 4);
    expect(began).toHaveLength(4);
  });

  it("loses no settlement: what ended meanwhile is settled when the shard answers again", async () => {
    const clock = createManualClock();
    const { remote, faults, producer } = await open(2);
    const gate = Promise.withResolvers<void>();
    const began: string[] = [];
    const { worker, ran } = remote(clock, async ({ id }) => {
      began.push(id);
      await gate.promise;
    });
    await worker.run({ concurrency: 8 });
    await until(clock, 1, () => began.length === 8);
    faults.set(3, faultOf[fault](clock));
    gate.resolve();
    await until(clock, 100, () => ran.length === 8);
    await until(clock, 100, () => clock.monotonic() > 5_000);
    if (fault !== "is slow") expect(await producer.counts().then(({ completed }) => completed)).toBe(6);
    faults.set(3, undefined);
    await until(clock, 500, () => clock.monotonic() > 60_000);
    expect(await producer.counts()).toMatchObject({ completed: 8, active: 0 });
    expect(began).toHaveLength(8);
  });

  it("over HTTP keeps no job of the others waiting", async () => {
    const { remote, faults, of, ids } = await open();
    const { worker, errors, ran } = remote("HTTP");
    faults.set(2, faultOf[fault](systemClock));
    const healthy = ids.filter((id) => !of(2).includes(id));
    await worker.run({ concurrency: 3 });
    await vi.waitFor(() => expect(healthy.filter((id) => !ran.includes(id))).toEqual([]), { timeout: 3_000 });
    await vi.waitFor(() => expect(errors).toMatchObject([{ details: { shard: "2" } }]), { timeout: 2_000 });
    if (fault !== "is slow") faults.set(2, undefined);
    await vi.waitFor(() => expect([...ran].sort()).toEqual([...ids].sort()), { timeout: 15_000, interval: 50 });
    await worker.stop();
  });
});

describe("jobs read by their ids over shards", () => {
  it("are read from each shard at once; a broken shard leaves its own jobs, and no others", async () => {
    const { name, faults, of, ids } = await open();
    const driver = shardedDriver(faults.namespace, name, { shards: SHARDS });
    const idsOf = ({ jobs }: FoundJobs) => jobs.map(({ id }) => id).sort();
    const all = await driver.jobsPage(name, [...ids, "none"]);
    expect(idsOf(all)).toEqual([...ids].sort());
    expect(all.left).toEqual(["none"]);
    faults.set(1, "throws");
    const some = await driver.jobsPage(name, ids);
    expect(idsOf(some)).toEqual(ids.filter((id) => !of(1).includes(id)).sort());
    expect(some.left).toEqual(of(1));
    await driver.close();
  });
});
