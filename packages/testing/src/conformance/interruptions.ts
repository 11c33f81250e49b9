import { DEFAULTS, type JobRecord } from "@quayside/core";
import { NOTHING, verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

/** What becomes of jobs whose workers died under them, more than once. */
export const interruptionsCases = verb("interruptions", (it) => {
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
    // Both are under suspicion now, and run by themselves until the innocent one is done.
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

  it("R10: at the limit of interruptions a job ends as failed, and who recovers it is told", async ({
    add,
    advance,
    counts,
    expect,
    interrupt,
    job,
    now,
    untilDue,
    worker,
  }) => {
    const [id] = await add({});
    const rescuer = worker();
    for (let n = 1; n < DEFAULTS.maxInterruptions; n++) {
      await interrupt(rescuer);
      expect(await job(id)).toMatchObject({ interruptions: n });
      await untilDue(id);
    }
    await worker().take(1);
    await rescuer.look();
    await advance(LEASE_MS + 1);
    const { interrupted, jobs } = await rescuer.exchange({ limit: 1 });
    expect(jobs).toEqual([]);
    const ended = {
      id,
      state: "failed",
      error: { code: "interrupted" },
      attempts: 0,
      interruptions: DEFAULTS.maxInterruptions,
      finishedAt: now(),
    };
    expect(interrupted).toHaveLength(1);
    expect(interrupted[0]).toMatchObject(ended);
    expect(await job(id)).toMatchObject(ended);
    expect(await counts()).toEqual({ ...NOTHING, failed: 1 });
  });

  it("R10: a job says itself how many interruptions it survives", async ({
    add,
    advance,
    expect,
    interrupt,
    job,
    untilDue,
    worker,
  }) => {
    // Its wait is random, and may be over.
    const standing = async (id: string) => {
      const { state, interruptions } = (await job(id)) as JobRecord;
      return [state === "delayed" || state === "waiting", interruptions];
    };
    const [once, usual] = await add({ maxInterruptions: 1 }, {});
    const rescuer = worker();
    await worker().take(2);
    await rescuer.look();
    await advance(LEASE_MS + 1);
    await rescuer.exchange({ limit: 0 });
    const ended = { state: "failed", error: { code: "interrupted" }, attempts: 0 };
    expect(await job(once)).toMatchObject({ ...ended, interruptions: 1, maxInterruptions: 1 });
    expect(await standing(usual)).toEqual([true, 1]);

    const [twice] = await add({ maxInterruptions: 2, priority: 1 });
    await interrupt(rescuer);
    expect(await standing(twice)).toEqual([true, 1]);
    await untilDue(twice);
    await interrupt(rescuer);
    expect(await job(twice)).toMatchObject({ ...ended, interruptions: 2 });
  });

  it("R10: who recovers is told of each job it took back, as it now stands", async ({
    add,
    advance,
    expect,
    job,
    worker,
  }) => {
    const [a, b, c] = await add({}, {}, { queue: "other" });
    await worker().take(1);
    await worker().claim(2, ["mail", "other"]);
    const rescuer = worker();
    await rescuer.look();
    await advance(LEASE_MS + 1);
    const { interrupted } = await rescuer.look();
    expect(new Set(interrupted.map(({ id }) => id))).toEqual(new Set([a, b, c]));
    for (const record of interrupted) expect(record).toEqual(await job(record.id, record.queue));
    expect((await rescuer.repeat()).interrupted).toEqual(interrupted);
    expect((await rescuer.look()).interrupted).toEqual([]);
  });

  it("R10: who recovers is told of a job that ended by its interruptions although nothing of it is kept", async ({
    add,
    advance,
    counts,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [id] = await add({ id: "own", keep: { failed: 0 } });
    const rescuer = worker();
    for (let n = 1; n < DEFAULTS.maxInterruptions; n++) {
      await interrupt(rescuer);
      await untilDue(id);
    }
    await worker().take(1);
    await rescuer.look();
    await advance(LEASE_MS + 1);
    const { interrupted } = await rescuer.look();
    expect(interrupted.map(({ id, state, error }) => [id, state, error?.code])).toEqual([
      [id, "failed", "interrupted"],
    ]);
    expect(await counts()).toEqual(NOTHING);
  });

  for (const [what, foreign, jobs] of [
    ["queue", { queues: ["mail"] }, "other"],
    ["name", { queues: [{ queue: "other", names: ["letter"] }] }, "other"],
    ["queue, of which it has no handler,", { queues: [] }, "other"],
  ] as const)
    it(`R10: a job whose last interruption a worker without its ${what} sees ends under one that has it, which is told`, async ({
      add,
      advance,
      expect,
      job,
      worker,
    }) => {
      const [id] = await add({ queue: jobs, maxInterruptions: 1 });
      const [rescuer, own] = [worker(foreign), worker({ queues: [{ queue: jobs, names: ["email"] }] })];
      expect(await worker({ queues: [jobs] }).claimIds(1)).toEqual([id]);
      for (const one of [rescuer, own]) await one.look();
      await advance(LEASE_MS + 1);
      const { interrupted } = await rescuer.exchange({ limit: 1 });
      for (const { state } of interrupted) expect(state).not.toBe("failed");
      expect((await job(id, jobs))?.state).not.toBe("failed");
      const told: JobRecord[] = [];
      for (let n = 0; n < 5 && told.length === 0; n++) {
        const reply = await own.exchange({ limit: 1 });
        expect(reply.jobs).toEqual([]);
        told.push(...reply.interrupted);
        expect((await own.repeat()).interrupted).toEqual(reply.interrupted);
        await advance(60_000);
      }
      expect(told).toMatchObject([{ id, state: "failed", error: { code: "interrupted" }, interruptions: 1 }]);
      expect(await job(id, jobs)).toEqual(told[0]);
      expect((await own.exchange({ limit: 1 })).interrupted).toEqual([]);
    });

  it("R10, R32: jobs that others took back for the last time end under their own worker, at most so many as it asks for", async ({
    add,
    advance,
    counts,
    expect,
    worker,
  }) => {
    const ids = await add(...Array.from({ length: 5 }, () => ({ maxInterruptions: 1 })), {});
    const [rescuer, own] = [worker({ queues: ["other"] }), worker()];
    expect(await worker().claim(5)).toHaveLength(5);
    for (const one of [rescuer, own]) await one.look();
    await advance(LEASE_MS + 1);
    await rescuer.look();
    await advance(3_600_000);
    const told: string[] = [];
    const ran: string[] = [];
    for (let n = 0; n < 9; n++) {
      const { interrupted, jobs } = await own.exchange({ limit: 2, running: [] });
      told.push(...interrupted.filter(({ state }) => state === "failed").map(({ id }) => id));
      for (const claimed of jobs) ran.push(claimed.job.id);
      if (jobs.length > 0) await own.complete(jobs);
    }
    expect(told.sort()).toEqual(ids.slice(0, 5).sort());
    expect(ran).toEqual(ids.slice(5));
    expect(await counts()).toEqual({ ...NOTHING, failed: 5, completed: 1 });
  });
});
