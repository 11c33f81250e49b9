import { NOTHING, verb } from "./support.ts";

export const releaseCases = verb("release", (it) => {
  it("R13: a released attempt is not counted", async ({ add, counts, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    for (let n = 0; n < 5; n++) await one.release(await one.take(1));
    expect(await job(id)).toMatchObject({ state: "waiting", attempts: 0, interruptions: 0 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
    const [held] = await one.take(1);
    expect(held.job).toMatchObject({ id, attempts: 1 });
  });

  it("R13: a release keeps the attempts that have failed before", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 0);
    await one.release(await one.take(1));
    expect((await job(id)).attempts).toBe(1);
  });

  it("R13: a release with a delay runs again after it", async ({ add, advance, counts, expect, job, now, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.release(await one.take(1), 3_000);
    expect(await job(id)).toMatchObject({ state: "delayed", availableAt: now() + 3_000, attempts: 0 });
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
    await advance(2_999);
    expect(await one.claim(1)).toHaveLength(0);
    await advance(1);
    expect(await one.claimIds(1)).toEqual([id]);
  });

  it("R13: a released job may be taken by another worker at once", async ({ add, another, expect, worker }) => {
    const [id] = await add({});
    const one = worker();
    const two = worker({ driver: await another() });
    await one.release(await one.take(1));
    expect(await two.claimIds(1)).toEqual([id]);
  });

  it("R9: what the lease lists and the worker does not know is released, not counted", async ({
    add,
    counts,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const [known] = await one.take(2);
    const reply = await one.exchange({ running: [known.token] });
    expect(reply.lost).toEqual([]);
    expect((await job(a)).state).toBe("active");
    expect(await job(b)).toMatchObject({ state: "waiting", attempts: 0, interruptions: 0 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, active: 1 });
    const [again] = await worker().take(1);
    expect(again.job).toMatchObject({ id: b, attempts: 1 });
  });

  it("R9: the token of a job that was released as unknown settles nothing", async ({ add, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await one.exchange({ running: [] });
    expect((await one.complete(held)).lost).toEqual([held.token]);
    expect((await job(id)).state).toBe("waiting");
  });

  it("R9: a worker that leaves gives back all that it holds", async ({ add, counts, expect, records, worker }) => {
    await add({}, {});
    const one = worker();
    const [done] = await one.take(2);
    await one.exchange({ settle: [{ token: done.token, outcome: "completed" }], running: [], leave: true });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, completed: 1 });
    expect((await records())?.leases ?? []).toHaveLength(0);
  });
});
