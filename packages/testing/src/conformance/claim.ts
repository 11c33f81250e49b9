import { NOTHING, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

export const claimCases = verb("claim", (it, needs) => {
  it("R8: a claimed job is active, its attempt counted, and says when it started", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add({});
    await advance(1_000);
    const [held] = await worker().take(1);
    expect(held.job).toMatchObject({ id, state: "active", attempts: 1, interruptions: 0, startedAt: now() });
    expect(await job(id)).toEqual(held.job);
  });

  it("R8: a job being worked is not taken by a second worker that starts", async ({ add, another, expect, worker }) => {
    const [first] = await add({});
    expect(await worker().claimIds(5)).toEqual([first]);
    const second = worker({ driver: await another() });
    expect(await second.claimIds(5)).toEqual([]);
    const [next] = await add({});
    expect(await second.claimIds(5)).toEqual([next]);
  });

  it("R8: a worker does not get again what it holds", async ({ add, expect, worker }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    expect(await one.claimIds(1)).toEqual([a]);
    expect(await one.claimIds(5)).toEqual([b]);
    expect(await one.claimIds(5)).toEqual([]);
  });

  it("R8: two workers that claim at the same time share the jobs and none gets two holders", async ({
    add,
    another,
    expect,
    worker,
  }) => {
    const ids = await add(...Array.from({ length: 20 }, () => ({})));
    const other = await another();
    const one = worker();
    const two = worker({ driver: other });
    const claims = await Promise.all([
      one.claimIds(7),
      two.claimIds(7),
      worker().claimIds(7),
      worker({ driver: other }).claimIds(7),
    ]);
    expect(claims.flat()).toHaveLength(20);
    expect(new Set(claims.flat())).toEqual(new Set(ids));
  });

  it("R8: the name of a worker is a label: two of one name hold and settle apart", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add({}, {});
    const one = worker({ name: "mailer" });
    const two = worker({ name: "mailer" });
    const [first] = await one.take(1);
    const [second] = await two.take(1);
    expect([first.job.id, second.job.id]).toEqual([a, b]);
    await two.complete(second);
    expect((await one.look()).lost).toEqual([]);
    expect((await job(a)).state).toBe("active");
    expect((await job(b)).state).toBe("completed");
  });

  it("R8: a worker's key may be any printable ASCII; other text is refused", async ({
    add,
    expect,
    refused,
    worker,
  }) => {
    for (const key of ["", "é", "\u{1f600}", "\uffff", "worker one", "a".repeat(129)]) {
      await refused(worker({ key }).claimIds(1), "invalid_option");
    }
    const keys = ["~tilde", "!", "a/b%2f", "~~~", "0", "a".repeat(128)];
    const ids = await add(...keys.map(() => ({})));
    const claimed: string[] = [];
    for (const key of keys) claimed.push(...(await worker({ key }).claimIds(1)));
    expect(claimed).toEqual(ids);
    expect(await worker().claimIds(9)).toEqual([]);
  });

  it("R8: each claim has a token of its own, also for a job that comes again", async ({ add, expect, worker }) => {
    await add({}, {});
    const one = worker();
    const tokens = new Set<string>();
    for (let round = 0; round < 3; round++) {
      const jobs = await one.take(2);
      for (const { token } of jobs) tokens.add(token);
      await one.release(jobs);
    }
    expect(tokens.size).toBe(6);
  });

  it("R8: a claim takes no more than its limit, and none at 0", async ({ add, counts, expect, worker }) => {
    await add({}, {}, {});
    const one = worker();
    expect(await one.claim(0)).toHaveLength(0);
    expect(await one.claim(2)).toHaveLength(2);
    expect(await counts()).toMatchObject({ waiting: 1, active: 2 });
  });

  it("R8: a claim over several queues looks in the order given, up to its limit over all", async ({
    add,
    expect,
    worker,
  }) => {
    const [a1, , b1, b2] = await add({ queue: "a" }, { queue: "a" }, { queue: "b" }, { queue: "b" });
    const one = worker();
    expect(await one.claimIds(3, ["b", "a"])).toEqual([b1, b2, a1]);
    expect(await one.claim(3, ["b", "a"])).toHaveLength(1);
  });

  it("R8: the limit of a queue leaves the rest of the claim to the next ones", async ({ add, expect, worker }) => {
    const [a1, a2, , b1] = await add({ queue: "a" }, { queue: "a" }, { queue: "a" }, { queue: "b" });
    expect(
      await worker().claimIds(10, [
        { queue: "a", limit: 2 },
        { queue: "b", limit: 2 },
      ]),
    ).toEqual([a1, a2, b1]);
    expect(await worker().claimIds(10, [{ queue: "a", limit: 0 }, "b"])).toEqual([]);
  });

  it("R8: a queue that was not named is not claimed from, however its name begins", async ({ add, expect, worker }) => {
    await add({ queue: "mail-slow" }, { queue: "mail/slow" }, { queue: "mai" });
    expect(await worker({ queues: [QUEUE] }).claim(10)).toHaveLength(0);
  });

  it("R19: a job added while the worker idles is taken at its next exchange", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    const one = worker();
    expect(await one.claim(1)).toHaveLength(0);
    await advance(60_000);
    const [id] = await add({});
    expect(await one.claimIds(1)).toEqual([id]);
  });

  it("R19: a delayed job is not claimed a millisecond too early", async ({ add, advance, expect, worker }) => {
    const [id] = await add({ delayMs: 5_000 });
    const one = worker();
    await advance(4_999);
    expect(await one.claim(1)).toHaveLength(0);
    await advance(1);
    expect(await one.claimIds(1)).toEqual([id]);
  });

  it("R15: what others hold at the head of the line is passed over", async ({ add, expect, worker }) => {
    const ids = await add(...Array.from({ length: 250 }, () => ({})));
    expect(await worker().claimIds(100)).toEqual(ids.slice(0, 100));
    expect(await worker().claimIds(100)).toEqual(ids.slice(100, 200));
    expect(await worker().claimIds(100)).toEqual(ids.slice(200));
  });

  needs("expiry");
  it("R1: a job that expired before it was started ends as failed, and the next one is taken", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const [late, good] = await add({ expiresInMs: 1_000 }, {});
    await advance(1_001);
    expect(await worker().claimIds(1)).toEqual([good]);
    expect(await job(late)).toMatchObject({
      state: "failed",
      attempts: 0,
      error: { code: "expired" },
      finishedAt: now(),
    });
  });

  it("R1: a long run of expired jobs does not keep the good one behind it", async ({
    add,
    advance,
    counts,
    expect,
    worker,
  }) => {
    await add(...Array.from({ length: 250 }, () => ({ expiresInMs: 10 })));
    const [good] = await add({});
    await advance(11);
    const one = worker();
    for (let round = 0; round < 20; round++) {
      const { jobs, nextWakeMs } = await one.exchange({ limit: 1 });
      if (jobs.length === 0) {
        expect(nextWakeMs).toBe(0);
        continue;
      }
      expect(jobs.map(({ job }) => job.id)).toEqual([good]);
      expect(await counts()).toEqual({ ...NOTHING, active: 1, failed: 250 });
      return;
    }
    throw new Error("The good job was not claimed in 20 exchanges.");
  });

  it("R1: a job taken in time runs on past its expiry", async ({ add, advance, expect, job, worker }) => {
    const [id] = await add({ expiresInMs: 1_000 });
    const one = worker();
    const [held] = await one.take(1);
    await advance(2_000);
    expect((await one.look()).lost).toEqual([]);
    await one.complete(held);
    expect((await job(id)).state).toBe("completed");
  });

  it("R1: a retry that comes after the expiry does not run", async ({ add, expect, job, untilDue, worker }) => {
    const [id] = await add({ expiresInMs: 1_000 });
    const one = worker();
    await one.retry(await one.take(1), 2_000);
    await untilDue(id);
    expect(await one.claim(1)).toHaveLength(0);
    expect(await job(id)).toMatchObject({ state: "failed", attempts: 1, error: { code: "expired" } });
  });
});
