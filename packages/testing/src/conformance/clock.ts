import { NOTHING, newJob, verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

const HOUR = 3_600_000;

export const clockCases = verb("clock", (it) => {
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
    await jump(HOUR);
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
    ["forward", HOUR],
    ["back", -HOUR],
  ] as const) {
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

  it("R23: a clock set forward makes delayed jobs due and robs nobody", async ({
    add,
    another,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [running, delayed] = await add({}, { delayMs: HOUR });
    const one = worker();
    const [held] = await one.take(1);
    const two = worker({ driver: await another() });
    await two.look();
    await jump(HOUR);
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
      await jump(HOUR);
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
    await jump(HOUR);
    for (let n = 0; n < 4; n++) {
      await two.look();
      await advance(LEASE_MS / 2);
    }
    await two.look();
    expect((await job(id)).interruptions).toBe(1);
  });

  it("R23: jobs without a delay do not wait out a clock that was set back", async ({
    add,
    advance,
    driver,
    expect,
    job,
    jump,
    worker,
  }) => {
    const before = await add({}, { priority: 3 });
    await jump(-HOUR);
    expect(await driver.nextWake([QUEUE])).toBe(0);
    expect((await job(before[0])).state).toBe("waiting");
    await advance(1);
    const [after] = await add({});
    const one = worker();
    const claimed = await one.claimIds(9);
    expect(claimed[0]).toBe(before[1]);
    expect(new Set(claimed)).toEqual(new Set([...before, after]));
  });

  it("R23: neither do they in another process, which has not seen the later time", async ({
    add,
    another,
    counts,
    driver,
    expect,
    jump,
    worker,
  }) => {
    const ids = await add({}, { id: "own" });
    await jump(-HOUR);
    const fresh = await another();
    expect(await fresh.nextWake([QUEUE])).toBe(0);
    expect(await fresh.counts(QUEUE)).toEqual({ ...NOTHING, waiting: 2 });
    expect((await fresh.list({ queue: QUEUE, state: "waiting" })).jobs.map(({ id }) => id)).toEqual(ids);
    expect(await worker({ driver: fresh }).claimIds(9)).toEqual(ids);
    expect(await counts()).toEqual(await driver.counts(QUEUE));
  });

  it("R23: a delayed job does not become due by a clock that is set back, and keeps nobody waiting", async ({
    add,
    advance,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [delayed, undelayed] = await add({ delayMs: 60_000 }, {});
    await jump(-HOUR);
    const one = worker();
    expect(await one.claimIds(9)).toEqual([undelayed]);
    expect((await job(delayed)).state).toBe("delayed");
    await advance(HOUR + 60_000);
    expect(await one.claimIds(9)).toEqual([delayed]);
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
    await jump(-HOUR);
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
    for (const ms of [-HOUR, HOUR, -HOUR, -HOUR, 3 * HOUR]) {
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
    await jump(-HOUR);
    expect((await job(id)).state).toBe("active");
    expect(await counts()).toEqual({ ...NOTHING, active: 2 });
    expect((await driver.list({ queue: QUEUE, state: "delayed" })).jobs).toEqual([]);
    expect((await one.exchange({ limit: 1 })).nextWakeMs).not.toBe(0);
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R23: a delayed job that runs while the clock is set back makes nobody look again at once", async (scene) => {
    const { add, advance, another, expect, jump, worker } = scene;
    await jump(HOUR);
    await add({ delayMs: 1_000 });
    await advance(1_000);
    const one = worker();
    const held = await one.take(1);
    await jump(-HOUR);
    const waits: (number | undefined)[] = [];
    for (const other of [worker(), worker({ driver: await another() })])
      for (let looks = 0; looks < 5; looks++) waits.push((await other.exchange({ limit: 1 })).nextWakeMs);
    // The first looks may go through what the jump has stranded.
    expect(waits.filter((ms, index) => ms === 0 && index % 5 > 1)).toEqual([]);
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R23: what a clock set back has stranded wakes a process that starts after", async (scene) => {
    const { add, advance, another, expect, jump, worker } = scene;
    await jump(HOUR);
    await add({ delayMs: 5_000 }, { delayMs: 6_000, priority: 1 });
    await jump(-HOUR);
    const fresh = await another();
    expect(await fresh.nextWake([QUEUE])).toBe(0);
    const one = worker({ driver: fresh });
    for (let looks = 0; looks < 3; looks++) await one.exchange({ limit: 1 });
    expect(await fresh.nextWake([QUEUE])).toBe(5_000);
    await advance(6_000);
    expect(await one.claim(2)).toHaveLength(2);
  });

  it("R24: a delayed job that finds room in its group after the clock was set back does not wait out the jump", async ({
    add,
    advance,
    expect,
    jump,
    worker,
  }) => {
    const group = { key: "customer" };
    await add({ group });
    await add({ group, delayMs: 1_000 });
    const one = worker();
    const [held] = await one.take(1);
    await advance(2_000);
    // It is due, and steps aside.
    expect(await one.claim(1)).toHaveLength(0);
    await jump(-24 * HOUR);
    for (let looks = 0; looks < 3; looks++) await one.exchange({ limit: 1 });
    await one.complete(held);
    expect(await one.claim(1)).toHaveLength(1);
  });

  it("R23: what a clock set back has stranded is brought back to the last job, also behind jobs that are due sooner", async (scene) => {
    const { advance, another, driver, expect, jump, worker } = scene;
    await jump(24 * HOUR);
    await driver.enqueue(Array.from({ length: 300 }, () => newJob({ delayMs: 5_000 })));
    await jump(-24 * HOUR);
    const fresh = await another();
    const one = worker({ driver: fresh });
    await one.exchange({ limit: 1 });
    await fresh.enqueue([newJob({ name: "near", delayMs: 1_000 })]);
    for (let looks = 0; looks < 6; looks++) await one.exchange({ limit: 1 });
    await advance(6_000);
    expect(await one.claim(400)).toHaveLength(301);
  });

  for (const mode of ["drop", "throttle"] as const) {
    it(`R23: a dedupe key (${mode}) with a time is not taken until a clock that was set back`, async (scene) => {
      const { add, expect, jump, worker } = scene;
      await jump(HOUR);
      const dedupe = { key: "k", mode, ttlMs: 60_000 };
      const [first] = await add({ dedupe });
      const one = worker();
      await one.complete(await one.take(1));
      await jump(-HOUR);
      const [second] = await add({ dedupe });
      expect(second).not.toBe(first);
      await one.complete(await one.take(1));
      expect(await add({ dedupe })).toEqual([second]);
    });
  }

  it("R23: a debounced job waits maxWait at most after the clock was set back", async (scene) => {
    const { add, advance, expect, job, jump, now } = scene;
    const dedupe = { key: "k", mode: "debounce", maxWaitMs: 90_000 } as const;
    await jump(HOUR);
    const [id] = await add({ dedupe, delayMs: 60_000 });
    await jump(-HOUR);
    await add({ dedupe, delayMs: 60_000 });
    const from = now();
    await advance(50_000);
    await add({ dedupe, delayMs: 60_000 });
    expect((await job(id)).availableAt).toBe(from + 90_000);
  });

  it("R23: jobs that ended before the clock was set back are forgotten before those that end after", async (scene) => {
    const { add, driver, expect, job, jump, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { failed: 2 } });
    const one = worker();
    const fail = async () => {
      const [id] = await add({});
      await one.fail(await one.take(1));
      return id;
    };
    await jump(HOUR);
    const [oldest, old] = [await fail(), await fail()];
    await jump(-HOUR);
    const first = await fail();
    expect((await job(first)).state).toBe("failed");
    expect(await driver.get(QUEUE, oldest)).toBeUndefined();
    const second = await fail();
    expect(await driver.get(QUEUE, old)).toBeUndefined();
    const ids = (await driver.list({ queue: QUEUE, state: "failed" })).jobs.map(({ id }) => id);
    expect(ids).toEqual([second, first]);
  });

  it("R23: waiting jobs of before a clock set back are cleared as such, in another process too", async ({
    add,
    another,
    counts,
    expect,
    jump,
  }) => {
    await add({}, { priority: 2 }, { delayMs: 1_000 }, { delayMs: 2 * HOUR });
    await jump(-HOUR);
    const fresh = await another();
    expect(await fresh.command({ type: "clear", queue: QUEUE, state: "waiting" })).toEqual({ affected: 2 });
    expect(await counts()).toEqual({ ...NOTHING, delayed: 2 });
    expect(await fresh.command({ type: "clear", queue: QUEUE, state: "delayed" })).toEqual({ affected: 2 });
    expect(await counts()).toEqual(NOTHING);
  });

  it("R23: what one claimed before the clock was set back is not claimed again", async ({
    add,
    counts,
    expect,
    jump,
    worker,
  }) => {
    await add({}, {});
    const one = worker();
    const [held] = await one.take(1);
    await jump(-HOUR);
    expect(await worker().claim(9)).toHaveLength(1);
    expect(await worker().claim(9)).toHaveLength(0);
    await one.complete(held);
    expect(await counts()).toEqual({ ...NOTHING, active: 1, completed: 1 });
  });

  it("R23: what is claimed beside a job that the clock has left behind is not claimed again", async ({
    add,
    another,
    expect,
    jump,
    worker,
  }) => {
    await add({ delayMs: 60_000, priority: 1 }, {});
    await jump(-24 * HOUR);
    const one = worker({ driver: await another() });
    expect(await one.claim(9)).toHaveLength(1);
    expect(await worker().claim(9)).toHaveLength(0);
    expect(await one.claim(9)).toHaveLength(0);
  });

  it("R23: jobs added after the clock was set back keep their order", async ({ add, expect, jump, worker }) => {
    const [old] = await add({});
    await jump(-HOUR);
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push(...(await add({}, {})));
    const claimed = await worker().claimIds(20);
    expect(claimed.filter((id) => id !== old)).toEqual(ids);
    expect(claimed).toHaveLength(11);
  });
});
