import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const HOUR_MS = 3_600_000;

/** Test cases about waiting and ended jobs after the clock was set back. */
export const clockSetBackCases = verb("clock", (it, needs) => {
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
    await jump(-HOUR_MS);
    expect(await driver.nextWake([QUEUE])).toBe(0);
    expect((await job(before[0])).state).toBe("waiting");
    await advance(1);
    const [after] = await add({});
    const one = worker();
    const claimed = await one.claimIds(9);
    expect(claimed[0]).toBe(before[1]);
    expect(new Set(claimed)).toEqual(new Set([...before, after]));
  });

  needs("inspect");
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
    await jump(-HOUR_MS);
    const fresh = await another();
    expect(await fresh.nextWake([QUEUE])).toBe(0);
    expect(await fresh.counts(QUEUE)).toEqual({ ...NOTHING, waiting: 2 });
    expect((await fresh.list({ queue: QUEUE, state: "waiting" })).jobs.map(({ id }) => id)).toEqual(ids);
    expect(await worker({ driver: fresh }).claimIds(9)).toEqual(ids);
    expect(await counts()).toEqual(await driver.counts(QUEUE));
  });

  needs();
  it("R23: a delayed job does not become due by a clock that is set back, and keeps nobody waiting", async ({
    add,
    advance,
    expect,
    job,
    jump,
    worker,
  }) => {
    const [delayed, undelayed] = await add({ delayMs: 60_000 }, {});
    await jump(-HOUR_MS);
    const one = worker();
    expect(await one.claimIds(9)).toEqual([undelayed]);
    expect((await job(delayed)).state).toBe("delayed");
    await advance(HOUR_MS + 60_000);
    expect(await one.claimIds(9)).toEqual([delayed]);
  });

  it("R23: a delayed job that runs while the clock is set back makes nobody look again at once", async (scene) => {
    const { add, advance, another, expect, jump, worker } = scene;
    await jump(HOUR_MS);
    await add({ delayMs: 1_000 });
    await advance(1_000);
    const one = worker();
    const held = await one.take(1);
    await jump(-HOUR_MS);
    const waits: (number | undefined)[] = [];
    for (const other of [worker(), worker({ driver: await another() })])
      for (let looks = 0; looks < 5; looks++) waits.push((await other.exchange({ limit: 1 })).nextWakeMs);
    // The first exchanges may repair jobs after the clock change.
    expect(waits.filter((ms, index) => ms === 0 && index % 5 > 1)).toEqual([]);
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R23: what a clock set back has stranded wakes a process that starts after", async (scene) => {
    const { add, advance, another, expect, jump, worker } = scene;
    await jump(HOUR_MS);
    await add({ delayMs: 5_000 }, { delayMs: 6_000, priority: 1 });
    await jump(-HOUR_MS);
    const fresh = await another();
    expect(await fresh.nextWake([QUEUE])).toBe(0);
    const one = worker({ driver: fresh });
    for (let looks = 0; looks < 3; looks++) await one.exchange({ limit: 1 });
    expect(await fresh.nextWake([QUEUE])).toBe(5_000);
    await advance(6_000);
    expect(await one.claim(2)).toHaveLength(2);
  });

  needs("groups");
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
    // The job is due and becomes blocked.
    expect(await one.claim(1)).toHaveLength(0);
    await jump(-24 * HOUR_MS);
    for (let looks = 0; looks < 3; looks++) await one.exchange({ limit: 1 });
    await one.complete(held);
    expect(await one.claim(1)).toHaveLength(1);
  });

  needs();
  it("R23: what a clock set back has stranded is brought back to the last job, also behind jobs that are due sooner", async (scene) => {
    const { advance, another, driver, expect, jump, worker } = scene;
    await jump(24 * HOUR_MS);
    await driver.enqueue(Array.from({ length: 300 }, () => newJob({ delayMs: 5_000 })));
    await jump(-24 * HOUR_MS);
    const fresh = await another();
    const one = worker({ driver: fresh });
    await one.exchange({ limit: 1 });
    await fresh.enqueue([newJob({ name: "near", delayMs: 1_000 })]);
    for (let looks = 0; looks < 6; looks++) await one.exchange({ limit: 1 });
    await advance(6_000);
    expect(await one.claim(400)).toHaveLength(301);
  });

  for (const mode of ["drop", "throttle"] as const) {
    needs("dedupe");
    it(`R23: a dedupe key (${mode}) with a time is not taken until a clock that was set back`, async (scene) => {
      const { add, expect, jump, worker } = scene;
      await jump(HOUR_MS);
      const dedupe = { key: "k", mode, ttlMs: 60_000 };
      const [first] = await add({ dedupe });
      const one = worker();
      await one.complete(await one.take(1));
      await jump(-HOUR_MS);
      const [second] = await add({ dedupe });
      expect(second).not.toBe(first);
      await one.complete(await one.take(1));
      expect(await add({ dedupe })).toEqual([second]);
    });
  }

  needs("dedupe");
  it("R23: a debounced job waits maxWait at most after the clock was set back", async (scene) => {
    const { add, advance, expect, job, jump, now } = scene;
    const dedupe = { key: "k", mode: "debounce", maxWaitMs: 90_000 } as const;
    await jump(HOUR_MS);
    const [id] = await add({ dedupe, delayMs: 60_000 });
    await jump(-HOUR_MS);
    await add({ dedupe, delayMs: 60_000 });
    const from = now();
    await advance(50_000);
    await add({ dedupe, delayMs: 60_000 });
    expect((await job(id)).availableAt).toBe(from + 90_000);
  });

  needs("inspect");
  it("R23: jobs that ended before the clock was set back are forgotten before those that end after", async (scene) => {
    const { add, driver, expect, job, jump, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { failed: 2 } });
    const one = worker();
    const fail = async () => {
      const [id] = await add({});
      await one.fail(await one.take(1));
      return id;
    };
    await jump(HOUR_MS);
    const [oldest, old] = [await fail(), await fail()];
    await jump(-HOUR_MS);
    const first = await fail();
    expect((await job(first)).state).toBe("failed");
    expect(await driver.get(QUEUE, oldest)).toBeUndefined();
    const second = await fail();
    expect(await driver.get(QUEUE, old)).toBeUndefined();
    const ids = (await driver.list({ queue: QUEUE, state: "failed" })).jobs.map(({ id }) => id);
    expect(ids).toEqual([second, first]);
  });

  needs("admin");
  it("R23: waiting jobs of before a clock set back are cleared as such, in another process too", async ({
    add,
    another,
    counts,
    expect,
    jump,
  }) => {
    await add({}, { priority: 2 }, { delayMs: 1_000 }, { delayMs: 2 * HOUR_MS });
    await jump(-HOUR_MS);
    const fresh = await another();
    expect(await fresh.command({ type: "clear", queue: QUEUE, state: "waiting" })).toEqual({ affected: 2 });
    expect(await counts()).toEqual({ ...NOTHING, delayed: 2 });
    expect(await fresh.command({ type: "clear", queue: QUEUE, state: "delayed" })).toEqual({ affected: 2 });
    expect(await counts()).toEqual(NOTHING);
  });

  needs();
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
    await jump(-HOUR_MS);
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
    await jump(-24 * HOUR_MS);
    const one = worker({ driver: await another() });
    expect(await one.claim(9)).toHaveLength(1);
    expect(await worker().claim(9)).toHaveLength(0);
    expect(await one.claim(9)).toHaveLength(0);
  });

  it("R23: jobs added after the clock was set back keep their order", async ({ add, expect, jump, worker }) => {
    const [old] = await add({});
    await jump(-HOUR_MS);
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push(...(await add({}, {})));
    const claimed = await worker().claimIds(20);
    expect(claimed.filter((id) => id !== old)).toEqual(ids);
    expect(claimed).toHaveLength(11);
  });
});
