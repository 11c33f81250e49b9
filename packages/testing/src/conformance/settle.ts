import { KEEP_NONE, NOTHING, verb } from "./support.ts";
import { BOOM, QUEUE } from "./test-worker.ts";

export const settleCases = verb("settle", (it, needs) => {
  it("R9: a completed job keeps its result and says when it ran", async ({
    add,
    advance,
    counts,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const startedAt = now();
    const [held] = await one.take(1);
    await advance(250);
    await one.complete(held, '{"sent":true}');
    expect(await job(id)).toMatchObject({
      state: "completed",
      result: { sent: true },
      attempts: 1,
      startedAt,
      finishedAt: startedAt + 250,
    });
    expect(await counts()).toEqual({ ...NOTHING, completed: 1 });
  });

  it("R9: a job completed without a result has none", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.complete(await one.take(1));
    expect((await job(id)).result).toBeUndefined();
    expect((await job(id)).error).toBeUndefined();
  });

  it("R13: a failure without a retry ends the job at once, whatever attempts are left", async ({
    add,
    counts,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add({ maxAttempts: 5 });
    const one = worker();
    const error = { code: "unrecoverable", message: "no such address", name: "AddressError", stack: "at …" } as const;
    await one.fail(await one.take(1), error);
    expect(await job(id)).toMatchObject({ state: "failed", error, attempts: 1, finishedAt: now() });
    expect(await counts()).toEqual({ ...NOTHING, failed: 1 });
    expect(await one.claim(1)).toHaveLength(0);
  });

  it("R9: one exchange settles any mix of outcomes and claims more", async ({
    add,
    counts,
    expect,
    job,
    now,
    worker,
  }) => {
    const [done, failed, retried, released, stopped, runs] = await add({}, {}, {}, {}, {}, {});
    const [next] = await add({});
    const one = worker();
    const tokens = (await one.claim(6)).map(({ token }) => token) as [string, string, string, string, string, string];
    const reply = await one.exchange({
      settle: [
        { token: tokens[0], outcome: "completed", result: "1" },
        { token: tokens[1], outcome: "failed", error: BOOM },
        { token: tokens[2], outcome: "failed", error: BOOM, retryMs: 1_000 },
        { token: tokens[3], outcome: "released", delayMs: 2_000 },
        { token: tokens[4], outcome: "cancelled" },
      ],
      limit: 5,
    });
    expect(reply.lost).toEqual([]);
    expect(reply.jobs.map(({ job: { id } }) => id)).toEqual([next]);
    expect((await job(done)).state).toBe("completed");
    expect((await job(failed)).state).toBe("failed");
    expect(await job(retried)).toMatchObject({ state: "delayed", availableAt: now() + 1_000 });
    expect(await job(released)).toMatchObject({ state: "delayed", availableAt: now() + 2_000 });
    expect((await job(stopped)).state).toBe("cancelled");
    expect((await job(runs)).state).toBe("active");
    expect(await counts()).toEqual({ ...NOTHING, delayed: 2, active: 2, completed: 1, failed: 1, cancelled: 1 });
  });

  it("R9: a token that nobody gave is lost and changes nothing", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    const reply = await one.exchange({ settle: [{ token: "made up", outcome: "completed" }] });
    expect(reply.lost).toEqual(["made up"]);
    expect((await job(id)).state).toBe("active");
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R9: an outcome that does not exist is refused by a code, and the job runs on", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    const answer = await one.exchange({ settle: [{ token: held.token, outcome: "exploded" as never }] }).then(
      // A split queue answers for the shards that have not refused.
      ({ lost }) => (lost.length > 0 ? "lost" : "answered in part"),
      ({ code }) => code,
    );
    expect(["invalid_option", "bad_request", "answered in part"]).toContain(answer);
    expect((await job(id)).state).toBe("active");
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R9: a token settled twice is lost the second time", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await one.complete(held, "1");
    expect((await one.fail(held)).lost).toEqual([held.token]);
    expect(await job(id)).toMatchObject({ state: "completed", result: 1 });
  });

  it("R9: a token works for the worker that got it and for no other", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    expect((await worker().complete(held)).lost).toEqual([held.token]);
    expect((await job(id)).state).toBe("active");
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R9: a token of an earlier attempt does not settle the next one", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [first] = await one.take(1);
    await one.release(first);
    const [second] = await one.take(1);
    expect((await one.complete(first)).lost).toEqual([first.token]);
    expect((await job(id)).state).toBe("active");
    expect((await one.complete(second)).lost).toEqual([]);
  });

  it("R9: progress of a running job is seen while it runs and kept when it ends", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await one.exchange({ progress: [{ token: held.token, value: { done: 3, of: 10 } }] });
    expect(await job(id)).toMatchObject({ state: "active", progress: { done: 3, of: 10 } });
    await one.look();
    expect((await job(id)).progress).toEqual({ done: 3, of: 10 });
    await one.exchange({ progress: [{ token: held.token, value: 0 }] });
    expect((await job(id)).progress).toBe(0);
    await one.complete(held);
    expect(await job(id)).toMatchObject({ state: "completed", progress: 0 });
  });

  it("R2: a job added inside the range of a batch being settled survives", async ({
    add,
    advance,
    counts,
    driver,
    expect,
    jump,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    await add({});
    await advance(1_000);
    await add({}, {});
    const one = worker();
    const batch = await one.take(3);
    await jump(-500);
    const between = await add({}, { delayMs: 100 });
    await one.complete(batch);
    const { waiting, delayed, active } = await counts();
    expect([waiting + delayed, active]).toEqual([2, 0]);
    await advance(1_000);
    expect(new Set(await worker().claimIds(9))).toEqual(new Set(between));
  });

  it("R2: a delayed job that lies inside the range of a batch being settled survives", async ({
    add,
    advance,
    counts,
    driver,
    expect,
    jump,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    await add({}, {});
    await advance(2_000);
    await add({}, {});
    const one = worker();
    const batch = await one.claim(9);
    expect(batch).toHaveLength(4);
    await jump(-2_000);
    const [delayed] = await add({ delayMs: 1_000 });
    await one.complete(batch);
    await advance(1_000);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
    expect(await worker().claimIds(9)).toEqual([delayed]);
  });

  for (const keep of [0, 100]) {
    needs();
    it(`R2: what another worker holds between the jobs being settled stays its own, with ${keep} kept`, async ({
      add,
      counts,
      driver,
      expect,
      worker,
    }) => {
      await driver.command({ type: "configure", queue: QUEUE, keep: { completed: keep } });
      await add(...Array.from({ length: 9 }, () => ({})));
      const one = worker();
      const two = worker();
      const mine: Awaited<ReturnType<typeof one.claim>>[number][] = [];
      const theirs: typeof mine = [];
      for (let round = 0; round < 3; round++) {
        mine.push(...(await one.claim(2)));
        theirs.push(...(await two.claim(1)));
      }
      expect((await one.complete(mine)).lost).toEqual([]);
      expect(await counts()).toEqual({ ...NOTHING, active: 3, completed: Math.min(6, keep) });
      expect((await two.complete(theirs)).lost).toEqual([]);
      expect(await counts()).toEqual({ ...NOTHING, completed: Math.min(9, keep) });
    });
  }

  needs("unknownNames");
  it("R2: what waits between the jobs being settled stays, whatever kept it from the claim", async ({
    add,
    counts,
    driver,
    expect,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    const [, b] = await add({}, { name: "strange" }, {}, {}, {});
    const one = worker({ queues: [{ queue: QUEUE, names: ["email"] }] });
    const batch = await one.claim(9);
    expect(batch).toHaveLength(4);
    // Back at its position, in the middle of the settled jobs.
    expect(await worker().claimIds(1, [{ queue: QUEUE, names: ["strange"] }])).toEqual([b]);
    await one.complete(batch);
    expect(await counts()).toEqual({ ...NOTHING, active: 1 });
  });

  needs();
  it("R2: a long batch settles whole, and nothing else goes with it", async ({
    add,
    counts,
    driver,
    expect,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    await add(...Array.from({ length: 300 }, (_, n) => ({ priority: n % 3, ...(n % 50 === 7 && { id: `own-${n}` }) })));
    const one = worker();
    const batch = await one.claim(200);
    expect((await one.complete(batch.filter((_, n) => n % 4 !== 0))).lost).toEqual([]);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 100, active: 50 });
    await one.complete(batch.filter((_, n) => n % 4 === 0));
    expect(await counts()).toEqual({ ...NOTHING, waiting: 100 });
    expect(await one.claim(200)).toHaveLength(100);
  });

  it("R9: settling in the order of no line is as good", async ({ add, counts, expect, worker }) => {
    await add({}, { queue: "b" }, { priority: 3 }, { queue: "b" }, {});
    const one = worker({ queues: [QUEUE, "b"] });
    const batch = [...(await one.claim(9))].reverse();
    expect((await one.complete(batch)).lost).toEqual([]);
    expect((await counts()).completed).toBe(3);
    expect((await counts("b")).completed).toBe(2);
  });
});
