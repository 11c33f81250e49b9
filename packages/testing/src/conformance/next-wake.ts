import { verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

export const nextWakeCases = verb("next wake", (it) => {
  it("R19: nothing to come has no instant", async ({ driver, expect, worker }) => {
    expect(await driver.nextWake([QUEUE])).toBeUndefined();
    expect(await driver.nextWake([])).toBeUndefined();
    expect((await worker().exchange({ limit: 1 })).nextWakeMs).toBeUndefined();
  });

  it("R19: a job that is due wakes at once", async ({ add, driver, expect }) => {
    await add({});
    expect(await driver.nextWake([QUEUE])).toBe(0);
  });

  it("R19: delayed jobs wake at the first one's instant, relative to now", async ({
    add,
    advance,
    driver,
    expect,
    worker,
  }) => {
    await add({ delayMs: 60_000 }, { delayMs: 5_000 }, { delayMs: 9_000, priority: 5 });
    const one = worker();
    expect(await driver.nextWake([QUEUE])).toBe(5_000);
    expect((await one.exchange({ limit: 1 })).nextWakeMs).toBe(5_000);
    await advance(2_000);
    expect(await driver.nextWake([QUEUE])).toBe(3_000);
    expect((await one.exchange({ limit: 1 })).nextWakeMs).toBe(3_000);
    await advance(3_000);
    expect(await driver.nextWake([QUEUE])).toBe(0);
  });

  it("R19: who sleeps as long as it is told finds the job", async ({ add, advance, expect, worker }) => {
    const ids = await add({ delayMs: 1_234 }, { delayMs: 777, priority: -3 }, { delayMs: 86_400_000 * 40 });
    const one = worker();
    const found: string[] = [];
    for (let looks = 0; looks < 3; looks++) {
      const { nextWakeMs } = await one.exchange({ limit: 1 });
      await advance(nextWakeMs as number);
      const jobs = await one.claim(1);
      found.push(...jobs.map(({ job }) => job.id));
      await one.complete(jobs);
    }
    expect(found).toEqual([ids[1], ids[0], ids[2]]);
  });

  it("R19: over several queues the first to come counts, and no others", async ({ add, driver, expect }) => {
    await add({ queue: "a", delayMs: 5_000 }, { queue: "b", delayMs: 3_000 }, { queue: "c" });
    expect(await driver.nextWake(["a", "b"])).toBe(3_000);
    expect(await driver.nextWake(["a"])).toBe(5_000);
    expect(await driver.nextWake(["a", "b", "c"])).toBe(0);
    expect(await driver.nextWake(["d"])).toBeUndefined();
  });

  it("R19: a paused queue wakes nobody, and wakes at once when it is resumed", async ({
    add,
    driver,
    expect,
    worker,
  }) => {
    await add({}, { delayMs: 1_000 }, { queue: "other", delayMs: 7_000 });
    await driver.command({ type: "pause", queue: QUEUE });
    expect(await driver.nextWake([QUEUE])).toBeUndefined();
    expect(await driver.nextWake([QUEUE, "other"])).toBe(7_000);
    expect((await worker().exchange({ limit: 1 })).nextWakeMs).toBeUndefined();
    await driver.command({ type: "resume", queue: QUEUE });
    expect(await driver.nextWake([QUEUE])).toBe(0);
  });

  it("R19: a job that runs does not wake its own worker", async ({ add, expect, worker }) => {
    await add({});
    const one = worker();
    await one.take(1);
    expect((await one.exchange({ limit: 1 })).nextWakeMs).not.toBe(0);
  });

  it("R19: a job that another runs wakes when its lease may be judged, not before", async ({
    add,
    another,
    expect,
    worker,
  }) => {
    await add({});
    await worker().take(1);
    const { nextWakeMs } = await worker({ driver: await another() }).exchange({ limit: 1 });
    expect(nextWakeMs as number).toBeGreaterThanOrEqual(LEASE_MS);
    expect(nextWakeMs as number).toBeLessThanOrEqual(2 * LEASE_MS);
  });

  it("R19: a lease that lives on does not make the others spin", async ({ add, advance, another, expect, worker }) => {
    await add({});
    const one = worker();
    await one.take(1);
    const two = worker({ driver: await another() });
    for (let n = 0; n < 10; n++) {
      const { nextWakeMs } = await two.exchange({ limit: 1 });
      expect(nextWakeMs as number).toBeGreaterThan(1_000);
      await advance(LEASE_MS / 3);
      await one.look();
    }
  });

  it("R19: a lease wakes before a job that is far off", async ({ add, another, driver, expect, worker }) => {
    await add({});
    await worker().take(1);
    await add({ delayMs: 86_400_000 });
    const two = worker({ driver: await another() });
    expect((await two.exchange({ limit: 1 })).nextWakeMs as number).toBeLessThanOrEqual(2 * LEASE_MS);
    await add({ delayMs: 1_000 });
    expect((await two.exchange({ limit: 1 })).nextWakeMs).toBe(1_000);
    expect(await driver.nextWake([QUEUE])).toBe(1_000);
  });

  it("R19: an exchange that took all it was allowed says that more is due", async ({ add, expect, worker }) => {
    await add({}, {}, {});
    const one = worker();
    expect((await one.exchange({ limit: 2 })).nextWakeMs).toBe(0);
    expect((await one.exchange({ limit: 2 })).nextWakeMs).toBeUndefined();
  });

  it("R19: a retry and a release move the instant", async ({ add, driver, expect, worker }) => {
    await add({}, {});
    const one = worker();
    const [a, b] = await one.take(2);
    await one.retry(a, 5_000);
    expect(await driver.nextWake([QUEUE])).toBe(5_000);
    await one.release(b, 2_000);
    expect(await driver.nextWake([QUEUE])).toBe(2_000);
  });

  it("R19: cancelled and removed jobs wake nobody", async ({ add, command, driver, expect }) => {
    const [a, b] = await add({ delayMs: 1_000 }, { delayMs: 2_000 });
    await command("cancel", a);
    expect(await driver.nextWake([QUEUE])).toBe(2_000);
    await command("remove", b);
    expect(await driver.nextWake([QUEUE])).toBeUndefined();
  });
});
