import { newJob, verb } from "./support.ts";
import { LEASE_MS } from "./test-worker.ts";

/** Test cases about the jobs of an expired lease. */
export const recoverCases = verb("recover", (it, needs) => {
  it("R10: the job of a worker that fell silent is taken back: an interruption, not an attempt", async ({
    add,
    advance,
    another,
    counts,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add({});
    await worker().take(1);
    const rescuer = worker({ driver: await another() });
    await rescuer.look();
    await advance(LEASE_MS - 1);
    await rescuer.look();
    expect((await job(id)).state).toBe("active");
    await advance(2);
    await rescuer.look();
    const back = await job(id);
    expect(back).toMatchObject({ attempts: 0, interruptions: 1 });
    expect(back.availableAt).toBeGreaterThanOrEqual(now());
    const { waiting, delayed, active } = await counts();
    expect([waiting + delayed, active]).toEqual([1, 0]);
  });

  it("R10: a bystander takes nothing back, and leaves it to a worker with handlers", async ({
    add,
    advance,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({});
    await worker().take(1);
    const bystander = worker();
    const rescuer = worker();
    await rescuer.look();
    await bystander.exchange({ bystander: true });
    await advance(LEASE_MS + 1);
    expect((await bystander.exchange({ bystander: true, limit: 1 })).interrupted).toEqual([]);
    expect(await job(id)).toMatchObject({ state: "active", interruptions: 0 });
    expect((await rescuer.look()).interrupted).toMatchObject([{ id, interruptions: 1 }]);
  });

  it("R10: it runs again, after its backoff, and its interruption stays counted", async ({
    add,
    expect,
    interrupt,
    job,
    untilDue,
    worker,
  }) => {
    const [id] = await add({});
    const rescuer = worker();
    await interrupt(rescuer);
    await untilDue(id);
    const [held] = await rescuer.take(1);
    expect(held.job).toMatchObject({ id, attempts: 1, interruptions: 1 });
    await rescuer.retry(held, 0);
    expect(await job(id)).toMatchObject({ attempts: 1, interruptions: 1 });
    await rescuer.complete(await rescuer.take(1));
    expect(await job(id)).toMatchObject({ state: "completed", attempts: 2, interruptions: 1 });
  });

  it("R10: interruptions grow apart from attempts", async ({ add, expect, interrupt, job, untilDue, worker }) => {
    const [id] = await add({});
    const rescuer = worker();
    await rescuer.retry(await rescuer.take(1), 0);
    for (let n = 1; n <= 3; n++) {
      await interrupt(rescuer);
      expect(await job(id)).toMatchObject({ attempts: 1, interruptions: n });
      await untilDue(id);
    }
  });

  it("R10: interruptions stay counted over the failures and retries between them", async ({
    add,
    expect,
    interrupt,
    job,
    untilDue,
    worker,
  }) => {
    const [id] = await add({ maxAttempts: 9 });
    const rescuer = worker();
    for (let n = 1; n <= 3; n++) {
      await interrupt(rescuer);
      await untilDue(id);
      await rescuer.retry(await rescuer.take(1), 0);
      expect(await job(id)).toMatchObject({ attempts: n, interruptions: n });
    }
    const [last] = await rescuer.take(1);
    await rescuer.complete(last);
    expect(await job(id)).toMatchObject({ state: "completed", attempts: 4, interruptions: 3 });
  });

  needs("dedupe");
  it("R10: all that the worker held comes back, with ids and dedupe keys as they were", async ({
    advance,
    driver,
    expect,
    job,
    worker,
  }) => {
    await driver.enqueue([
      newJob({ id: "a" }),
      newJob({ id: "b", dedupe: { key: "k", mode: "drop" } }),
      newJob({ id: "c", queue: "other" }),
    ]);
    await worker().claim(3, ["mail", "other"]);
    const rescuer = worker();
    await rescuer.look();
    await advance(LEASE_MS + 1);
    await rescuer.look();
    for (const [id, queue] of [["a"], ["b"], ["c", "other"]] as const)
      expect(await job(id, queue)).toMatchObject({ id, attempts: 0, interruptions: 1 });
    expect(await driver.enqueue([newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
      { id: "b", deduplicated: true },
    ]);
  });

  needs();
  it("R10: an expired lease is recovered once", async ({ add, advance, another, expect, job, untilDue, worker }) => {
    const [id] = await add({});
    await worker().take(1);
    const two = worker({ driver: await another() });
    const three = worker({ driver: await another() });
    for (const one of [two, three]) await one.look();
    await advance(LEASE_MS + 1);
    await Promise.all([two.look(), three.look()]);
    expect((await job(id)).interruptions).toBe(1);
    await untilDue(id);
    const claims = await Promise.all([two.claimIds(1), three.claimIds(1)]);
    expect(claims.flat()).toEqual([id]);
  });
});
