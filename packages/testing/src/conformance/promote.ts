import { NOTHING, newJob, verb } from "./support.ts";

export const promoteCases = verb("promote", (it, needs) => {
  needs("admin");
  it("R15: promote makes a delayed job due now", async ({
    add,
    advance,
    command,
    counts,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add({ delayMs: 60_000 });
    await advance(1_000);
    expect(await command("promote", id)).toEqual({ affected: 1, state: "waiting" });
    expect(await job(id)).toMatchObject({ id, state: "waiting", availableAt: now() });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
    expect(await worker().claimIds(1)).toEqual([id]);
  });

  it("R15: a promoted job stands behind what was due before it, in its own priority", async ({
    add,
    advance,
    command,
    expect,
    worker,
  }) => {
    const [late, due, low] = await add({ delayMs: 60_000 }, {}, { priority: -1 });
    await advance(1);
    await command("promote", late);
    await advance(1);
    const [next] = await add({});
    expect(await worker().claimIds(9)).toEqual([due, late, next, low]);
  });

  it("R15: promote shortens the wait of a retry and spends nothing", async ({ add, command, expect, job, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 60_000);
    expect(await command("promote", id)).toEqual({ affected: 1, state: "waiting" });
    expect((await job(id)).attempts).toBe(1);
    const [held] = await one.take(1);
    expect(held.job).toMatchObject({ id, attempts: 2 });
  });

  needs("admin", "dedupe");
  it("R5: a promoted job keeps its id and its dedupe key", async ({ command, driver, expect, job, worker }) => {
    await driver.enqueue([newJob({ id: "own", delayMs: 60_000, dedupe: { key: "k", mode: "drop" } })]);
    await command("promote", "own");
    expect((await job("own")).state).toBe("waiting");
    expect(await driver.enqueue([newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
      { id: "own", deduplicated: true },
    ]);
    const one = worker();
    await one.complete(await one.take(1));
    expect(await driver.enqueue([newJob({ dedupe: { key: "k", mode: "drop" } })])).toMatchObject([
      { deduplicated: false },
    ]);
  });

  needs("admin");
  it("R15: promote leaves a job alone that waits already", async ({ add, command, expect, worker }) => {
    const [a, b] = await add({}, {});
    expect(await command("promote", a)).toEqual({ affected: 0, state: "waiting" });
    expect(await worker().claimIds(9)).toEqual([a, b]);
  });

  it("R15: promote refuses a job that runs or has ended", async ({ add, command, expect, job, refused, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await refused(command("promote", id), "conflict");
    await one.complete(held);
    await refused(command("promote", id), "conflict");
    expect((await job(id)).state).toBe("completed");
  });

  it("R15: promote of a job that is not there says so", async ({ command, refused }) => {
    await refused(command("promote", "nobody"), "job_not_found");
  });
});
