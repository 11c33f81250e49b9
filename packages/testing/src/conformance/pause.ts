import { NOTHING, verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

export const pauseCases = verb("pause", (it) => {
  it("R19: nothing is claimed from a paused queue until it is resumed", async ({
    add,
    another,
    counts,
    driver,
    expect,
    worker,
  }) => {
    const [id] = await add({});
    await driver.command({ type: "pause", queue: QUEUE });
    expect(await worker({ driver: await another() }).claim(9)).toHaveLength(0);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, paused: true });
    await driver.command({ type: "resume", queue: QUEUE });
    expect((await counts()).paused).toBe(false);
    expect(await worker().claimIds(9)).toEqual([id]);
  });

  it("R19: jobs may be added to a paused queue, and to one that has none yet", async ({
    add,
    counts,
    driver,
    expect,
    worker,
  }) => {
    await driver.command({ type: "pause", queue: QUEUE });
    expect(await counts()).toEqual({ ...NOTHING, paused: true });
    const ids = await add({}, {});
    expect(await counts()).toEqual({ ...NOTHING, waiting: 2, paused: true });
    await driver.command({ type: "resume", queue: QUEUE });
    expect(await worker().claimIds(9)).toEqual(ids);
  });

  it("R19: what runs when a queue is paused goes on and settles", async ({
    add,
    advance,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const [first, second] = await one.take(2);
    await driver.command({ type: "pause", queue: QUEUE });
    await advance(LEASE_MS / 3);
    expect((await one.look()).lost).toEqual([]);
    await one.complete(first);
    await one.retry(second, 0);
    expect((await job(a)).state).toBe("completed");
    expect((await job(b)).state).toBe("waiting");
    expect(await one.claim(9)).toHaveLength(0);
  });

  it("R19: a paused queue does not keep a worker from the others", async ({ add, driver, expect, worker }) => {
    const [, other] = await add({}, { queue: "other" });
    await driver.command({ type: "pause", queue: QUEUE });
    expect(await worker().claimIds(9, [QUEUE, "other"])).toEqual([other]);
  });

  it("R10: jobs of a paused queue are recovered, and wait", async ({
    add,
    advance,
    driver,
    expect,
    interrupt,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const rescuer = worker();
    await worker().take(1);
    await driver.command({ type: "pause", queue: QUEUE });
    await rescuer.look();
    await advance(LEASE_MS + 1);
    await rescuer.look();
    expect((await job(id)).interruptions).toBe(1);
    await advance(86_400_000);
    expect(await rescuer.claim(1)).toHaveLength(0);
    await driver.command({ type: "resume", queue: QUEUE });
    await interrupt(rescuer);
    expect((await job(id)).interruptions).toBe(2);
  });

  it("R19: to pause twice or to resume what runs changes nothing", async ({ add, counts, driver, expect, worker }) => {
    const [id] = await add({});
    await driver.command({ type: "resume", queue: QUEUE });
    await driver.command({ type: "pause", queue: QUEUE });
    await driver.command({ type: "pause", queue: QUEUE });
    expect((await counts()).paused).toBe(true);
    await driver.command({ type: "resume", queue: QUEUE });
    await driver.command({ type: "resume", queue: QUEUE });
    expect(await worker().claimIds(1)).toEqual([id]);
  });

  it("R19: pause and the queue's settings leave each other alone", async ({ add, counts, driver, expect, worker }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 0 } });
    await driver.command({ type: "pause", queue: QUEUE });
    await driver.command({ type: "configure", queue: QUEUE, keep: { failed: 0 } });
    expect((await counts()).paused).toBe(true);
    await driver.command({ type: "resume", queue: QUEUE });
    await add({}, {});
    const one = worker();
    const [a, b] = await one.take(2);
    await one.complete(a);
    await one.fail(b);
    expect(await counts()).toEqual(NOTHING);
  });
});
