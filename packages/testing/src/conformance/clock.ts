import { NOTHING, verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

const HOUR_MS = 3_600_000;

/** Test cases about delays, leases and running jobs while the clock is set forward or back. */
export const clockCases = verb("clock", (it, needs) => {
  needs("expiry");
  it("R22: delays count from the clock of the store, in adds, retries, releases and expiries", async ({
    add,
    advance,
    expect,
    job,
    jump,
    now,
    worker,
  }) => {
    await advance(12_345);
    await jump(HOUR_MS);
    const [added, retried, released] = await add({ delayMs: 1_000, priority: -1 }, { expiresInMs: 7_000 }, {});
    expect((await job(added)).availableAt).toBe(now() + 1_000);
    expect((await job(retried)).expiresAt).toBe(now() + 7_000);
    await advance(500);
    const one = worker();
    const [a, b] = await one.take(2);
    await one.retry(a, 3_000);
    await one.release(b, 4_000);
    expect((await job(retried)).availableAt).toBe(now() + 3_000);
    expect((await job(released)).availableAt).toBe(now() + 4_000);
  });

  for (const [what, ms] of [
    ["forward", HOUR_MS],
    ["back", -HOUR_MS],
  ] as const) {
    needs();
    it(`R22: after the clock was set ${what} a new delay is as long as it says`, async ({
      add,
      advance,
      counts,
      driver,
      expect,
      job,
      jump,
      now,
      worker,
    }) => {
      const one = worker();
      await add({});
      await one.complete(await one.take(1));
      await jump(ms);
      const [id] = await add({ delayMs: 60_000 });
      expect(await job(id)).toMatchObject({ state: "delayed", addedAt: now(), availableAt: now() + 60_000 });
      expect(await driver.nextWake([QUEUE])).toBe(60_000);
      expect(await counts()).toEqual({ ...NOTHING, delayed: 1, completed: 1 });
      await advance(59_999);
      expect(await one.claim(1)).toHaveLength(0);
      await advance(1);
      const [held] = await one.take(1);
      await one.retry(held, 5_000);
      expect(await driver.nextWake([QUEUE])).toBe(5_000);
      expect(await one.claim(1)).toHaveLength(0);
      await advance(5_000);
      await one.release(await one.take(1), 5_000);
      await advance(4_999);
      expect(await one.claim(1)).toHaveLength(0);
      await advance(1);
      expect(await one.claimIds(1)).toEqual([id]);
    });
  }

  needs();
  it("R23: a clock set forward makes delayed jobs due and robs nobody", async ({
    add,
    another,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [running, delayed] = await add({}, { delayMs: HOUR_MS });
    const one = worker();
    const [held] = await one.take(1);
    const two = worker({ driver: await another() });
    await two.look();
    await jump(HOUR_MS);
    expect(await two.claimIds(9)).toEqual([delayed]);
    expect(await job(running)).toMatchObject({ state: "active", interruptions: 0 });
    expect((await one.look()).lost).toEqual([]);
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R23: whenever the clock is set forward, a worker that renews in time keeps its jobs", async ({
    add,
    advance,
    another,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    const two = worker({ driver: await another() });
    const look = async () => expect((await two.exchange({ limit: 9 })).jobs).toEqual([]);
    for (const jumpAt of [0, 1, 5_000, 9_999]) {
      await look();
      await advance(jumpAt);
      await look();
      await jump(HOUR_MS);
      await look();
      await advance(LEASE_MS / 3 - jumpAt);
      await look();
      expect((await one.look()).lost).toEqual([]);
    }
    expect(await job(id)).toMatchObject({ state: "active", interruptions: 0 });
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R23: a worker that died before the clock was set forward is found out all the same", async ({
    add,
    advance,
    another,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [id] = await add({});
    await worker().take(1);
    const two = worker({ driver: await another() });
    await two.look();
    await jump(HOUR_MS);
    for (let n = 0; n < 4; n++) {
      await two.look();
      await advance(LEASE_MS / 2);
    }
    await two.look();
    expect((await job(id)).interruptions).toBe(1);
  });

  it("R23: after the clock was set back a lease ends one lease from then at the latest", async ({
    add,
    advance,
    another,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [id] = await add({});
    await worker().take(1);
    const two = worker({ driver: await another() });
    await two.look();
    await jump(-HOUR_MS);
    for (let n = 0; n < 4; n++) {
      await two.look();
      await advance(LEASE_MS / 2);
    }
    await two.look();
    expect((await job(id)).interruptions).toBe(1);
  });

  it("R23: a clock set back robs nobody either", async ({ add, advance, another, expect, job, jump, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    const two = worker({ driver: await another() });
    for (const ms of [-HOUR_MS, HOUR_MS, -HOUR_MS, -HOUR_MS, 3 * HOUR_MS]) {
      await two.look();
      await jump(ms);
      await two.look();
      await advance(LEASE_MS / 3);
      await two.look();
      expect((await one.look()).lost).toEqual([]);
    }
    expect(await job(id)).toMatchObject({ state: "active", interruptions: 0 });
    expect((await one.complete(held)).lost).toEqual([]);
  });

  needs("inspect");
  it("R23: a job that runs is no delayed one, whatever the clock says of its instant", async ({
    add,
    advance,
    counts,
    driver,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [id] = await add({ delayMs: 1_000 }, {});
    await advance(1_000);
    const one = worker();
    const held = await one.take(2);
    await jump(-HOUR_MS);
    expect((await job(id)).state).toBe("active");
    expect(await counts()).toEqual({ ...NOTHING, active: 2 });
    expect((await driver.list({ queue: QUEUE, state: "delayed" })).jobs).toEqual([]);
    expect((await one.exchange({ limit: 1 })).nextWakeMs).not.toBe(0);
    expect((await one.complete(held)).lost).toEqual([]);
  });
});
