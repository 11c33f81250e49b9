import { defineJobs, Queue, UnrecoverableError } from "@quayside/core";
import { shardedDriver } from "@quayside/edge";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { closeAll, faultOf, open, until } from "./shards-at-fault.ts";

afterEach(closeAll);

describe.each(["throws", "hangs", "is slow"] as const)("how a job of a shard that %s ended", (fault) => {
  it("is told once the shard has stored it, and no earlier", async () => {
    const clock = createManualClock();
    const { remote, faults, of, ids, producer } = await open(2);
    const gate = Promise.withResolvers<void>();
    let began = 0;
    const { worker, told, ran } = remote(clock, async () => {
      began++;
      await gate.promise;
    });
    await worker.run({ concurrency: 8 });
    await until(clock, 1, () => began === 8);
    faults.set(3, faultOf[fault](clock));
    gate.resolve();
    await until(clock, 50, () => told.length >= 6);
    expect(ran).toHaveLength(8);
    const others = ids.filter((id) => !of(3).includes(id)).map((id) => `completed ${id}`);
    expect(told.toSorted()).toEqual(others.toSorted());
    const began3 = clock.monotonic();
    if (fault !== "is slow") await until(clock, 500, () => clock.monotonic() > began3 + 5_000);
    if (fault !== "is slow") expect(told).toHaveLength(6);
    faults.set(3, undefined);
    await until(clock, 100, () => told.length >= 8);
    expect(told.toSorted()).toEqual(ids.map((id) => `completed ${id}`).toSorted());
    expect(await producer.counts()).toMatchObject({ completed: 8, active: 0 });
  });
});

describe("how a job of a shard at fault ended", () => {
  it("that failed for good: onFailed runs once the shard has stored it", async () => {
    const clock = createManualClock();
    const { name, ids, of, faults } = await open(1);
    const failed: string[] = [];
    const gate = Promise.withResolvers<void>();
    let began = 0;
    const driver = shardedDriver(faults.namespace, name, { shards: 4, clock });
    const jobs = defineJobs({
      email: {
        maxAttempts: 1,
        onFailed: (job) => void failed.push(job.id),
        handler: async () => {
          began++;
          await gate.promise;
          throw new UnrecoverableError("no");
        },
      },
    });
    const worker = new Queue(name, driver, { clock, jobs });
    await worker.run({ concurrency: 4 });
    await until(clock, 1, () => began === 4);
    faults.set(0, "hangs");
    gate.resolve();
    await until(clock, 50, () => failed.length >= 3);
    expect(failed).not.toContain(of(0)[0]);
    faults.set(0, undefined);
    await until(clock, 200, () => failed.length >= 4);
    expect(failed.toSorted()).toEqual(ids.toSorted());
    await driver.close();
  });

  it("is told by stop() where the shard answers in time, and as a lost lease where it does not", async () => {
    const clock = createManualClock();
    const { remote, faults, of } = await open(1);
    const gate = Promise.withResolvers<void>();
    let began = 0;
    const { worker, told, errors } = remote(clock, async () => {
      began++;
      await gate.promise;
    });
    await worker.run({ concurrency: 4 });
    await until(clock, 1, () => began === 4);
    faults.set(1, "hangs");
    const delays = [1_200, 600];
    faults.set(2, async (call) => {
      await new Promise<void>((resolve) => void clock.after(delays.shift() ?? 0, resolve));
      return call();
    });
    gate.resolve();
    await until(clock, 50, () => told.length >= 2);
    let over = false;
    void worker.stop().then(() => {
      over = true;
    });
    await until(clock, 50, () => over);
    const [silent] = of(1);
    expect(told.toSorted()).toEqual([0, 2, 3].map((shard) => `completed ${of(shard)[0]}`).toSorted());
    expect(errors).toContainEqual(expect.objectContaining({ code: "lease_lost", details: { id: silent } }));
  });

  it("is told over HTTP once the shard has stored it", async () => {
    const { remote, faults, ids, of } = await open(1);
    const gate = Promise.withResolvers<void>();
    let began = 0;
    const { worker, told } = remote("HTTP", async () => {
      began++;
      await gate.promise;
    });
    await worker.run({ concurrency: 4 });
    await vi.waitFor(() => expect(began).toBe(4), { timeout: 3_000 });
    faults.set(1, "throws");
    gate.resolve();
    await vi.waitFor(() => expect(told).toHaveLength(3), { timeout: 3_000 });
    expect(told).not.toContain(`completed ${of(1)[0]}`);
    faults.set(1, undefined);
    await vi.waitFor(() => expect(told.toSorted()).toEqual(ids.map((id) => `completed ${id}`).toSorted()), {
      timeout: 10_000,
    });
    await worker.stop();
  });
});
