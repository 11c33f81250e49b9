import { DEFAULTS } from "@quayside/core";
import { type LeaseRecord, put } from "@quayside/core/engine";
import { verb } from "./support.ts";
import { LEASE_MS } from "./test-worker.ts";

/** Creates leases without jobs, as stopped workers leave them. */
const emptyLeases = (count: number, now: number): LeaseRecord[] =>
  Array.from({ length: count }, (_, index) => ({
    key: [`a${index}`],
    liveness: "time",
    leaseMs: LEASE_MS,
    renewedAt: now,
    expiresAt: now + LEASE_MS,
    exchange: 1,
    held: [],
  }));

/**
 * Test cases about leases: all are read, empty ones are removed, and one exchange recovers a limited number of jobs.
 */
export const leaseCases = verb("leases", (it) => {
  it("R42: behind 10,050 other leases a worker sees its own, and others see what it runs", async ({
    add,
    expect,
    job,
    now,
    transact,
    worker,
  }) => {
    if (!transact) return;
    const [id] = await add({ maxAttempts: 1 });
    await transact(() => put("leases", emptyLeases(10_050, now())));
    const one = worker({ key: "z1" });
    const [held] = await one.take(1);
    expect(await worker({ key: "z2" }).claimIds(1)).toEqual([]);
    expect(await job(id)).toMatchObject({ state: "active" });
    expect((await one.look()).lost).toEqual([]);
    expect((await one.complete(held)).lost).toEqual([]);
    expect(await job(id)).toMatchObject({ state: "completed", attempts: 1 });
  });

  it("R42: the leases of 300 workers that went away without a word go by the clock, in steps of 256", async ({
    advance,
    another,
    expect,
    now,
    records,
    transact,
    worker,
  }) => {
    if (!transact) return;
    await transact(() => put("leases", emptyLeases(300, now())));
    await advance(DEFAULTS.silenceCapMs);
    // Neither process has seen these leases before, as after an object was evicted.
    const first = await worker({ driver: await another() }).exchange({ limit: 1 });
    expect(first).toMatchObject({ jobs: [], interrupted: [], nextWakeMs: 0 });
    const second = await worker({ driver: await another() }).exchange({ limit: 1 });
    expect(second).toMatchObject({ jobs: [], interrupted: [] });
    expect(second.nextWakeMs).toBeUndefined();
    expect((await records())?.leases).toEqual([]);
  });

  it("R32: the jobs of a worker that held 600 are taken back in steps of 256, each once", async ({
    add,
    advance,
    another,
    counts,
    expect,
    worker,
  }) => {
    const ids = await add(...Array.from({ length: 600 }, () => ({})));
    const gone = worker();
    await gone.claim(600);
    const rescuer = worker({ driver: await another() });
    await rescuer.look();
    await advance(LEASE_MS + 1);
    const back: string[] = [];
    for (const size of [256, 256, 88]) {
      const { interrupted } = await rescuer.look();
      expect(interrupted).toHaveLength(size);
      expect(interrupted.every(({ interruptions, attempts }) => interruptions === 1 && attempts === 0)).toBe(true);
      back.push(...interrupted.map(({ id }) => id));
      const { active } = await counts();
      expect(active).toBe(600 - back.length);
    }
    expect((await rescuer.look()).interrupted).toEqual([]);
    expect([...back].sort()).toEqual([...ids].sort());
  });

  it("R32: a worker that comes back while its jobs are being taken back keeps the rest of them", async ({
    add,
    advance,
    another,
    expect,
    worker,
  }) => {
    await add(...Array.from({ length: 300 }, () => ({})));
    const late = worker();
    const held = await late.claim(300);
    const rescuer = worker({ driver: await another() });
    await rescuer.look();
    await advance(LEASE_MS + 1);
    expect((await rescuer.look()).interrupted).toHaveLength(256);
    const { lost } = await late.look();
    expect(lost).toHaveLength(256);
    expect((await rescuer.look()).interrupted).toEqual([]);
    const kept = held.filter(({ token }) => !lost.includes(token));
    expect((await late.complete(kept)).lost).toEqual([]);
  });
});
