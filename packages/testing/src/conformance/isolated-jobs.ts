import { verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

/** Test cases about jobs that were interrupted twice and are claimed alone. */
export const isolatedJobsCases = verb("interruptions", (it) => {
  it("R10: a job interrupted once is claimed with others", async ({ add, expect, interrupt, untilDue, worker }) => {
    const [suspect] = await add({});
    const rescuer = worker();
    await interrupt(rescuer);
    await untilDue(suspect);
    await add({}, {});
    expect(await rescuer.claim(9)).toHaveLength(3);
  });

  it("R10: from its second interruption on a job is claimed alone", async ({
    add,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [suspect] = await add({});
    const rescuer = worker();
    for (let n = 0; n < 2; n++) {
      await interrupt(rescuer);
      await untilDue(suspect);
    }
    await add({}, {}, { queue: "other" });
    const [alone, ...rest] = await rescuer.claim(9, ["mail", "other"]);
    expect(alone?.job).toMatchObject({ id: suspect, interruptions: 2 });
    expect(rest).toEqual([]);
    expect(await rescuer.claim(9, ["mail", "other"])).toHaveLength(0);
    if (alone) await rescuer.complete(alone);
    expect(await rescuer.claim(9, ["mail", "other"])).toHaveLength(3);
  });

  it("R10: a worker that runs something else does not take a job that must be alone", async ({
    add,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [suspect] = await add({});
    const rescuer = worker();
    for (let n = 0; n < 2; n++) {
      await interrupt(rescuer);
      await untilDue(suspect);
    }
    await add({ priority: 1 });
    const [innocent] = await rescuer.take(1);
    expect(await rescuer.claim(9)).toHaveLength(0);
    expect(await worker().claimIds(9)).toEqual([suspect]);
    expect((await rescuer.complete(innocent)).lost).toEqual([]);
  });

  it("R10: who runs jobs of other stores is not given one that must be alone, and is told that it waits", async ({
    add,
    driver,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [suspect] = await add({});
    const rescuer = worker();
    for (let n = 0; n < 2; n++) {
      await interrupt(rescuer);
      await untilDue(suspect);
    }
    const one = worker();
    expect((await one.look()).alone).toBeUndefined();
    const claim = { limit: 9, queues: [{ queue: QUEUE }] };
    const refused = await driver.exchange({ ...one.last, exchange: 2, claim: { ...claim, busy: true } });
    expect(refused).toMatchObject({ jobs: [], alone: true });
    const given = await driver.exchange({ ...one.last, exchange: 3, claim });
    expect(given.jobs.map(({ job }) => job.id)).toEqual([suspect]);
    expect(given.alone).toBe(true);
    const settle = given.jobs.map(({ token }) => ({ token, outcome: "completed" as const }));
    expect((await driver.exchange({ ...one.last, exchange: 4, settle, claim })).alone).toBeUndefined();
  });

  it("R10: a job that must be alone does not join the ones before it, and keeps its turn", async ({
    add,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [suspect] = await add({});
    const rescuer = worker();
    for (let n = 0; n < 2; n++) {
      await interrupt(rescuer);
      await untilDue(suspect);
    }
    const [high] = await add({ priority: 1 });
    await add({});
    const [before, ...rest] = await rescuer.claim(9);
    expect(before?.job.id).toBe(high);
    expect(rest).toEqual([]);
    if (before) await rescuer.complete(before);
    expect(await rescuer.claimIds(9)).toEqual([suspect]);
  });

  it("R10: an innocent that fell with the culprit is not taken down by it again", async ({
    add,
    advance,
    expect,
    interrupt,
    job,
    untilDue,
    worker,
  }) => {
    const [suspect, innocent] = await add({}, {});
    const rescuer = worker();
    for (let crash = 0; crash < 2; crash++) {
      await worker().take(2);
      await rescuer.look();
      await advance(LEASE_MS + 1);
      await rescuer.look();
      for (const id of [suspect, innocent]) await untilDue(id);
    }
    // Both jobs were interrupted twice, so each runs alone until the harmless one is done.
    const first = worker();
    const [one] = await first.claim(9);
    if (one?.job.id === innocent) await first.complete(one);
    else {
      await first.release(one ? [one] : [], 600_000);
      await rescuer.complete(await rescuer.take(1));
      await advance(600_000);
    }
    await interrupt(rescuer);
    expect(await job(innocent)).toMatchObject({ state: "completed", interruptions: 2 });
    expect(await job(suspect)).toMatchObject({ interruptions: 3 });
  });
});
