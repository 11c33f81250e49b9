import { NOTHING, newJob, verb } from "./support.ts";
import { BOOM } from "./test-worker.ts";

export const retryCases = verb("retry", (it, needs) => {
  it("R13: a failed attempt that will be tried again spends an attempt and shows its error", async ({
    add,
    counts,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 5_000);
    expect(await job(id)).toMatchObject({ state: "delayed", attempts: 1, availableAt: now() + 5_000, error: BOOM });
    expect((await job(id)).finishedAt).toBeUndefined();
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
  });

  it("R13: the next attempt counts on, and not before its instant", async ({ add, advance, expect, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 5_000);
    await advance(4_999);
    expect(await one.claim(1)).toHaveLength(0);
    await advance(1);
    const [held] = await one.take(1);
    expect(held.job).toMatchObject({ id, attempts: 2, error: BOOM });
  });

  it("R13: a retry without a delay may run again at once", async ({ add, expect, worker }) => {
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 0);
    const [held] = await one.take(1);
    expect(held.job).toMatchObject({ id, attempts: 2 });
  });

  it("R13: a job that succeeds at last keeps its count", async ({ add, expect, job, worker }) => {
    const [id] = await add({ maxAttempts: 10 });
    const one = worker();
    for (let n = 0; n < 4; n++) await one.retry(await one.take(1), 0);
    await one.complete(await one.take(1));
    expect(await job(id)).toMatchObject({ state: "completed", attempts: 5 });
  });

  for (const [what, own] of [
    ["a generated id", {}],
    ["the caller's own id", { id: "own" }],
  ] as const) {
    needs("admin");
    it(`R13: an operator's retry puts a failed job of ${what} back in line as if it had never run`, async ({
      add,
      advance,
      command,
      counts,
      expect,
      job,
      now,
      worker,
    }) => {
      const [id] = await add({ ...own, priority: 2 });
      const one = worker();
      await one.retry(await one.take(1), 0);
      await one.fail(await one.take(1));
      await advance(1_000);
      expect(await command("retry", id)).toMatchObject({ affected: 1, state: "waiting" });
      const back = await job(id);
      expect(back).toMatchObject({
        id,
        state: "waiting",
        attempts: 0,
        interruptions: 0,
        availableAt: now(),
        priority: 2,
      });
      expect(back.finishedAt).toBeUndefined();
      expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
      const [held] = await one.take(1);
      expect(held.job).toMatchObject({ id, attempts: 1 });
      await one.complete(held);
      expect((await job(id)).state).toBe("completed");
    });
  }

  needs("admin");
  it("R13: an operator's retry takes back a cancelled job", async ({ add, command, expect, worker }) => {
    const [id] = await add({ delayMs: 60_000 });
    await command("cancel", id);
    expect(await command("retry", id)).toMatchObject({ affected: 1, state: "waiting" });
    expect(await worker().claimIds(1)).toEqual([id]);
  });

  it("R13: an operator's retry of an interrupted job forgets the interruptions", async ({
    add,
    command,
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
    await rescuer.fail(await rescuer.take(1));
    expect(await job(id)).toMatchObject({ state: "failed", interruptions: 1, attempts: 1 });
    await command("retry", id);
    expect(await job(id)).toMatchObject({ state: "waiting", interruptions: 0, attempts: 0 });
  });

  needs("admin", "expiry");
  it("R13: an operator's retry of an expired job lets it run", async ({ add, advance, command, expect, worker }) => {
    const [id] = await add({ expiresInMs: 1_000 });
    const one = worker();
    await advance(1_001);
    expect(await one.claim(1)).toHaveLength(0);
    await command("retry", id);
    expect(await one.claimIds(1)).toEqual([id]);
  });

  needs("admin");
  it("R13: an operator cannot retry a running job", async ({ add, command, expect, job, refused, worker }) => {
    const [id] = await add({});
    const one = worker();
    const [held] = await one.take(1);
    await refused(command("retry", id), "conflict");
    expect(await job(id)).toMatchObject({ state: "active", attempts: 1 });
    expect((await one.complete(held)).lost).toEqual([]);
  });

  it("R13: an operator cannot retry a job that waits or has completed", async ({ add, command, refused, worker }) => {
    const [waiting, delayed] = await add({}, { delayMs: 1_000 });
    await refused(command("retry", waiting), "conflict");
    await refused(command("retry", delayed), "conflict");
    const one = worker();
    await one.complete(await one.take(1));
    await refused(command("retry", waiting), "conflict");
  });

  it("R13: an operator cannot retry a job that was removed, or never was", async ({
    add,
    command,
    refused,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    await one.fail(await one.take(1));
    await command("remove", id);
    await refused(command("retry", id), "job_not_found");
    await refused(command("retry", "never was"), "job_not_found");
  });

  needs("admin", "dedupe");
  it("R13: an operator's retry takes the dedupe key again", async ({ command, driver, expect, worker }) => {
    await driver.enqueue([newJob({ id: "first", dedupe: { key: "k", mode: "drop" } })]);
    const one = worker();
    await one.fail(await one.take(1));
    await command("retry", "first");
    expect(await driver.enqueue([newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
      { id: "first", deduplicated: true },
    ]);
    await one.complete(await one.take(1));
    expect(await driver.enqueue([newJob({ id: "next", dedupe: { key: "k", mode: "drop" } })])).toEqual([
      { id: "next", deduplicated: false },
    ]);
  });

  it("R13: an operator's retry reports the conflict when another job has the dedupe key", async ({
    command,
    driver,
    expect,
    job,
    refused,
    worker,
  }) => {
    await driver.enqueue([newJob({ id: "first", dedupe: { key: "k", mode: "drop" } })]);
    const one = worker();
    await one.fail(await one.take(1));
    await driver.enqueue([newJob({ id: "second", dedupe: { key: "k", mode: "drop" } })]);
    await refused(command("retry", "first"), "conflict");
    expect(await job("first")).toMatchObject({ state: "failed", attempts: 1 });
    expect(await driver.enqueue([newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
      { id: "second", deduplicated: true },
    ]);
    await one.complete(await one.take(1));
    expect(await command("retry", "first")).toMatchObject({ affected: 1 });
  });
});
