import { DEFAULTS, type JobRecord } from "@quayside/core";
import { NOTHING, verb } from "./support.ts";
import { LEASE_MS } from "./test-worker.ts";

/** Test cases about the limit of interruptions. */
export const interruptionsCases = verb("interruptions", (it) => {
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
    // The delay is random and may have passed.
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
