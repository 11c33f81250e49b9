import { replace } from "./replace-jobs.ts";
import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about replacing a job that has not started. */
export const replaceCases = verb("dedupe by replacing", (it, needs) => {
  needs("dedupe", "expiry");
  it("R20: replace gives a waiting holder the new payload and options, under its id", async ({
    add,
    advance,
    counts,
    driver,
    expect,
    job,
    now,
  }) => {
    const addedAt = now();
    const [id] = await add({ ...replace("k"), tags: ["old"], maxAttempts: 2, expiresInMs: 5_000 });
    await advance(1_000);
    const next = newJob({
      ...replace("k", "1"),
      name: "resize",
      tags: ["new"],
      maxAttempts: 7,
      expiresInMs: 9_000,
      timeoutMs: 5,
    });
    expect(await driver.enqueue([next])).toEqual([{ id, deduplicated: true }]);
    expect(await job(id)).toMatchObject({
      id,
      name: "resize",
      payload: 1,
      tags: ["new"],
      maxAttempts: 7,
      timeoutMs: 5,
      expiresAt: now() + 9_000,
      addedAt,
      state: "waiting",
    });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
  });

  needs("dedupe", "expiry", "groups");
  it("R20: what the new one does not say, the old one said in vain", async ({ add, expect, job }) => {
    const [id] = await add({ ...replace("k"), tags: ["old"], priority: 5, expiresInMs: 5_000, group: { key: "g" } });
    await add(replace("k", "1"));
    const { expiresAt, group, priority, tags } = await job(id);
    expect({ expiresAt, group, priority, tags }).toEqual({
      expiresAt: undefined,
      group: undefined,
      priority: 0,
      tags: [],
    });
  });

  needs("dedupe");
  it("R20: a replaced job keeps its place in line, and its delay", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const dueAt = now() + 10_000;
    const [first, second, third] = await add(replace("k"), {}, { ...replace("late"), delayMs: 10_000 });
    await advance(5_000);
    await add(replace("k", "1"), { ...replace("late"), delayMs: 10_000 });
    expect((await job(third)).availableAt).toBe(dueAt);
    expect(await worker().claimIds(9)).toEqual([first, second]);
  });

  needs("dedupe", "inspect");
  it("R20: a replaced job goes where its new priority puts it", async ({ add, driver, expect, job, worker }) => {
    const [a, b, c] = await add({ ...replace("a"), priority: 5 }, {}, replace("c"));
    await add({ ...replace("a"), priority: -5 }, { ...replace("c"), priority: 9 });
    expect((await job(c)).priority).toBe(9);
    expect((await driver.list({ queue: QUEUE, state: "waiting" })).jobs.map(({ id }) => id)).toEqual([c, b, a]);
    expect(await worker().claimIds(9)).toEqual([c, b, a]);
  });

  needs("dedupe");
  it("R20: a replaced job that waits for a retry keeps its counts", async ({ add, expect, interrupt, job, worker }) => {
    const [id] = await add({ ...replace("k"), maxAttempts: 9 });
    const one = worker();
    await one.retry(await one.take(1), 0);
    await interrupt(one);
    await add({ ...replace("k", "1"), maxAttempts: 9 });
    expect(await job(id)).toMatchObject({
      payload: 1,
      attempts: 1,
      interruptions: 1,
      exceptions: 1,
      error: { message: "boom" },
    });
  });

  it("R6: several of one key in one call are one job, with the last payload", async ({
    counts,
    driver,
    expect,
    job,
  }) => {
    const receipts = await driver.enqueue([
      newJob(replace("k", "1")),
      newJob({ ...replace("k", "2"), priority: 3 }),
      newJob(replace("other", "9")),
      newJob({ ...replace("k", "3"), priority: 2 }),
    ]);
    const id = receipts[0]?.id ?? "";
    expect(receipts.map(({ deduplicated }) => deduplicated)).toEqual([false, true, false, true]);
    expect(receipts[3]?.id).toBe(id);
    expect(await job(id)).toMatchObject({ payload: 3, priority: 2 });
    expect((await counts()).waiting).toBe(2);
  });

  it("R6: several of one key in one call, while it waits and while it runs", async ({
    add,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [holder] = await add(replace("k", "0"));
    expect(await driver.enqueue([newJob({ ...replace("k", "1"), priority: 1 }), newJob(replace("k", "2"))])).toEqual([
      { id: holder, deduplicated: true },
      { id: holder, deduplicated: true },
    ]);
    expect(await job(holder)).toMatchObject({ payload: 2, priority: 0 });
    const one = worker();
    await one.take(1);
    const receipts = await driver.enqueue([newJob(replace("k", "3")), newJob({ ...replace("k", "4"), priority: 7 })]);
    expect(receipts.map(({ deduplicated }) => deduplicated)).toEqual([false, true]);
    expect(receipts[1]?.id).toBe(receipts[0]?.id);
    expect(await job(receipts[0]?.id ?? "")).toMatchObject({ payload: 4, priority: 7 });
  });

  it("R20: an id of its own is not taken by a job that only replaces", async ({ add, driver, expect, job }) => {
    await add({ id: "first", ...replace("k") });
    expect(await driver.enqueue([newJob({ id: "second", ...replace("k", "1") })])).toEqual([
      { id: "first", deduplicated: true },
    ]);
    expect(await driver.get(QUEUE, "second")).toBeUndefined();
    expect((await job("first")).payload).toBe(1);
    expect(await driver.enqueue([newJob({ id: "first", ...replace("k", "2") })])).toEqual([
      { id: "first", deduplicated: true },
    ]);
    expect((await job("first")).payload).toBe(1);
  });

  it("R20: adds from two sides at once leave one holder or one successor", async ({
    another,
    counts,
    driver,
    expect,
    worker,
  }) => {
    const other = await another();
    const both = () => Promise.all([driver, other].map((each) => each.enqueue([newJob(replace("k"))])));
    await both();
    expect((await counts()).waiting).toBe(1);
    await worker().take(1);
    await both();
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, active: 1 });
  });

  needs("dedupe", "unknownNames");
  it("R17: a holder that stepped aside for its name comes back when replaced by a known one", async ({
    add,
    expect,
    worker,
  }) => {
    const one = worker({ queues: [{ queue: QUEUE, names: ["email"] }] });
    const [id] = await add({ ...replace("k"), name: "unknown" });
    expect(await one.claimIds(9)).toEqual([]);
    await add(replace("k", "1"));
    expect(await one.claimIds(9)).toEqual([id]);
  });

  needs("dedupe");
  it("R20: a throttle that is replaced while it runs ends with its time, and its successor still runs", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    await add({ dedupe: { key: "k", mode: "throttle", ttlMs: 1_000 } });
    const one = worker();
    const [held] = await one.take(1);
    const [successor] = await add(replace("k", "1"));
    await advance(2_000);
    const [same] = await add(replace("k", "2"));
    expect(same).toBe(successor);
    await one.complete(held);
    const [next] = await one.take(1);
    expect(next.job).toMatchObject({ id: successor, payload: 2 });
  });

  it("R20: a throttle that is replaced while it waits holds its key while it lives", async ({
    add,
    advance,
    counts,
    expect,
  }) => {
    const [id] = await add({ delayMs: 60_000, dedupe: { key: "k", mode: "throttle", ttlMs: 1_000 } });
    await add(replace("k", "1"));
    await advance(2_000);
    expect(await add(replace("k", "2"))).toEqual([id]);
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
  });
});
