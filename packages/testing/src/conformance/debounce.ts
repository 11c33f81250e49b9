import { NOTHING, newJob, verb } from "./support.ts";

const debounce = (key: string, payload = "0", maxWaitMs?: number) =>
  ({
    payload,
    delayMs: 10_000,
    dedupe: { key, mode: "debounce", ...(maxWaitMs !== undefined && { maxWaitMs }) },
  }) as const;

export const debounceCases = verb("dedupe by debouncing", (it, needs) => {
  needs("dedupe");
  it("R20: debounce starts the delay again, with the latest payload", async ({
    add,
    advance,
    counts,
    driver,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add(debounce("k", "1"));
    await advance(6_000);
    expect(await driver.enqueue([newJob({ ...debounce("k", "2"), priority: 3 })])).toEqual([
      { id, deduplicated: true },
    ]);
    expect(await job(id)).toMatchObject({ payload: 2, priority: 3, state: "delayed", availableAt: now() + 10_000 });
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
    await advance(9_999);
    expect(await worker().claimIds(9)).toEqual([]);
    await advance(1);
    expect(await worker().claimIds(9)).toEqual([id]);
  });

  it("R20: debounced again and again, a job waits no longer than maxWait from the first add", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const first = now();
    const [id] = await add(debounce("k", "0", 25_000));
    for (const [elapsed, due] of [
      [6_000, 16_000],
      [12_000, 22_000],
      [18_000, 25_000],
      [24_000, 25_000],
    ] as const) {
      await advance(first + elapsed - now());
      await add(debounce("k", `${elapsed}`, 25_000));
      expect((await job(id)).availableAt, `after ${elapsed} ms`).toBe(first + due);
    }
    await advance(1_000);
    expect(await worker().claim(9)).toMatchObject([{ job: { id, payload: 24_000 } }]);
  });

  it("R20: debounced past maxWait while nobody works, a job is due at once", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add(debounce("k", "0", 15_000));
    await advance(60_000);
    await add(debounce("k", "1", 15_000));
    expect(await job(id)).toMatchObject({ state: "waiting", availableAt: now() });
    expect(await worker().claimIds(9)).toEqual([id]);
  });

  it("R20: when a debounced job has run, the next add begins anew", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const [first] = await add(debounce("k", "0", 15_000));
    await advance(10_000);
    const one = worker();
    await one.complete(await one.take(1));
    await advance(10_000);
    const [second] = await add(debounce("k", "1", 15_000));
    expect(second === first).toBe(false);
    await advance(4_000);
    await add(debounce("k", "2", 15_000));
    expect((await job(second)).availableAt).toBe(now() + 10_000);
  });

  it("R21: a running holder gets one successor, whose delay and maxWait count from its own first add", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    await add(debounce("k", "0", 15_000));
    await advance(10_000);
    const one = worker();
    const [held] = await one.take(1);
    await advance(4_000);
    const [successor] = await add(debounce("k", "1", 15_000));
    const first = now();
    expect(await job(successor)).toMatchObject({ blockedBy: "successor", availableAt: first + 10_000 });
    await advance(4_000);
    expect(await add(debounce("k", "2", 15_000))).toEqual([successor]);
    expect((await job(successor)).availableAt).toBe(first + 14_000);
    await one.complete(held);
    await advance(2_000);
    expect(await add(debounce("k", "3", 15_000))).toEqual([successor]);
    expect((await job(successor)).availableAt).toBe(first + 15_000);
    expect(await one.claimIds(9)).toEqual([]);
    await advance(9_000);
    expect(await one.claim(9)).toMatchObject([{ job: { id: successor, payload: 3 } }]);
  });

  it("R20: a job that was added to replace and is then debounced waits no longer than maxWait", async ({
    add,
    advance,
    expect,
    job,
    now,
  }) => {
    const first = now();
    const [id] = await add({ delayMs: 10_000, dedupe: { key: "k", mode: "replace" } });
    for (let n = 0; n < 5; n++) {
      await advance(4_000);
      await add(debounce("k", "1", 25_000));
    }
    expect((await job(id)).availableAt).toBe(first + 25_000);
  });

  it("R20: a debounced job that waits for its retry keeps its counts", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add(debounce("k"));
    await advance(10_000);
    const one = worker();
    await one.retry(await one.take(1), 500);
    await add(debounce("k", "1"));
    expect(await job(id)).toMatchObject({ payload: 1, attempts: 1, availableAt: now() + 10_000 });
  });

  it("R6: several of one key in one call are one job, the last", async ({ counts, driver, expect, job }) => {
    const receipts = await driver.enqueue([1, 2, 3].map((n) => newJob(debounce("k", `${n}`))));
    expect(receipts.map(({ deduplicated }) => deduplicated)).toEqual([false, true, true]);
    expect(await job(receipts[0]?.id ?? "")).toMatchObject({ payload: 3, state: "delayed" });
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
  });

  it("R20: debounce without a delay only replaces, behind those that came meanwhile", async ({
    add,
    expect,
    worker,
  }) => {
    const dedupe = { key: "k", mode: "debounce" } as const;
    const [a, b] = await add({ dedupe }, {});
    await add({ dedupe, payload: "1" });
    expect(await worker().claimIds(9)).toEqual([b, a]);
  });

  it("R20: each key is debounced for itself", async ({ add, advance, expect, worker }) => {
    const [a, b] = await add(debounce("a"), debounce("b"));
    await advance(6_000);
    await add(debounce("b", "1"));
    await advance(4_000);
    expect(await worker().claimIds(9)).toEqual([a]);
    await advance(6_000);
    expect(await worker().claimIds(9)).toEqual([b]);
  });

  it("R20: while its time lasts, a debounced key stays taken although its job has ended", async ({
    add,
    advance,
    driver,
    expect,
    worker,
  }) => {
    const timed = { ...debounce("k"), dedupe: { key: "k", mode: "debounce", ttlMs: 30_000 } } as const;
    const [id] = await add(timed);
    await advance(10_000);
    const one = worker();
    await one.complete(await one.take(1));
    expect(await driver.enqueue([newJob(timed)])).toEqual([{ id, deduplicated: true }]);
    await advance(20_000);
    expect(await driver.enqueue([newJob(timed)])).toMatchObject([{ deduplicated: false }]);
  });
});
