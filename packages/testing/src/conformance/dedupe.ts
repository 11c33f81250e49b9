import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const drop = (key: string, ttlMs?: number) =>
  ({ dedupe: { key, mode: "drop", ...(ttlMs !== undefined && { ttlMs }) } }) as const;
const throttle = (key: string, ttlMs: number) => ({ dedupe: { key, mode: "throttle", ttlMs } }) as const;

export const dedupeCases = verb("dedupe", (it, needs) => {
  needs("dedupe");
  it("R20: drop answers the job that holds the key and writes nothing", async ({
    add,
    counts,
    driver,
    expect,
    job,
  }) => {
    const [id] = await add({ ...drop("k"), payload: '"first"' });
    const before = await job(id);
    expect(await driver.enqueue([newJob({ ...drop("k"), payload: '"second"', priority: 9 })])).toEqual([
      { id, deduplicated: true },
    ]);
    expect(await job(id)).toEqual(before);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
  });

  it("R20: drop holds while its job lives: delayed, running, waiting for a retry, interrupted", async ({
    add,
    advance,
    driver,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [id] = await add({ ...drop("k"), delayMs: 1_000 });
    const taken = async () => expect(await driver.enqueue([newJob(drop("k"))])).toEqual([{ id, deduplicated: true }]);
    await taken();
    await advance(1_000);
    await taken();
    const one = worker();
    const [held] = await one.take(1);
    await taken();
    await one.retry(held, 1_000);
    await taken();
    await advance(1_000);
    await interrupt(one);
    await taken();
    await untilDue(id);
    await one.release(await one.take(1));
    await taken();
    await one.complete(await one.take(1));
    expect(await driver.enqueue([newJob(drop("k"))])).toMatchObject([{ deduplicated: false }]);
  });

  it("R20: a key twice in one call is one job, the first", async ({ counts, driver, expect, job }) => {
    const receipts = await driver.enqueue([
      newJob({ ...drop("k"), payload: "1" }),
      newJob({ ...drop("k"), payload: "2" }),
      newJob(drop("other")),
    ]);
    expect(receipts[1]).toEqual({ id: receipts[0]?.id, deduplicated: true });
    expect(receipts[2]?.deduplicated).toBe(false);
    expect((await job(receipts[0]?.id as string)).payload).toBe(1);
    expect((await counts()).waiting).toBe(2);
  });

  it("R20: a key added from two sides at the same time is one job", async ({ another, counts, driver, expect }) => {
    const other = await another();
    const receipts = (await Promise.all([driver, other].map((each) => each.enqueue([newJob(drop("k"))])))).flat();
    expect(receipts.filter(({ deduplicated }) => deduplicated)).toHaveLength(1);
    expect(receipts[0]?.id).toBe(receipts[1]?.id);
    expect((await counts()).waiting).toBe(1);
  });

  it("R20: a key belongs to its queue", async ({ driver, expect }) => {
    const receipts = await driver.enqueue([newJob(drop("k")), newJob({ queue: "other", ...drop("k") })]);
    expect(receipts.map(({ deduplicated }) => deduplicated)).toEqual([false, false]);
  });

  it("R20: jobs without a key are none of its business", async ({ add, counts, expect }) => {
    await add(drop("k"), {}, {});
    expect((await counts()).waiting).toBe(3);
  });

  it("R20: drop with a time holds until then also when its job has ended", async ({
    add,
    advance,
    driver,
    expect,
    worker,
  }) => {
    const [id] = await add(drop("k", 10_000));
    const one = worker();
    await one.complete(await one.take(1));
    await advance(9_999);
    expect(await driver.enqueue([newJob(drop("k", 10_000))])).toEqual([{ id, deduplicated: true }]);
    await advance(1);
    expect(await driver.enqueue([newJob(drop("k", 10_000))])).toMatchObject([{ deduplicated: false }]);
  });

  it("R20: drop with a time holds beyond it while its job lives", async ({ add, advance, driver, expect, worker }) => {
    const [id] = await add({ ...drop("k", 1_000), delayMs: 60_000 });
    await advance(2_000);
    expect(await driver.enqueue([newJob(drop("k", 1_000))])).toEqual([{ id, deduplicated: true }]);
    await advance(58_000);
    const one = worker();
    await one.complete(await one.take(1));
    expect(await driver.enqueue([newJob(drop("k", 1_000))])).toMatchObject([{ deduplicated: false }]);
  });

  it("R20: throttle holds for its time from the add, whatever becomes of its job", async ({
    add,
    advance,
    command,
    driver,
    expect,
    worker,
  }) => {
    const [id] = await add(throttle("k", 10_000));
    const taken = async () =>
      expect(await driver.enqueue([newJob(throttle("k", 10_000))])).toEqual([{ id, deduplicated: true }]);
    await taken();
    const one = worker();
    await one.complete(await one.take(1));
    await taken();
    await command("remove", id);
    await advance(9_999);
    await taken();
    await advance(1);
    expect(await driver.enqueue([newJob(throttle("k", 10_000))])).toMatchObject([{ deduplicated: false }]);
  });

  it("R20: throttle lets the next job in after its time although the first still waits", async ({
    add,
    advance,
    counts,
    driver,
    expect,
  }) => {
    await add({ ...throttle("k", 1_000), delayMs: 60_000 });
    await advance(1_000);
    expect(await driver.enqueue([newJob(throttle("k", 1_000))])).toMatchObject([{ deduplicated: false }]);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, delayed: 1 });
  });

  it("R20: a dropped add does not make the time of a throttle longer", async ({ add, advance, driver, expect }) => {
    await add(throttle("k", 1_000));
    await advance(900);
    await add(throttle("k", 1_000));
    await advance(100);
    expect(await driver.enqueue([newJob(throttle("k", 1_000))])).toMatchObject([{ deduplicated: false }]);
  });

  for (const end of ["completed", "failed", "cancelled", "removed", "cleared"] as const) {
    needs("admin", "dedupe");
    it(`R21: a key that went to another job is not freed when the first is ${end}`, async ({
      add,
      advance,
      command,
      driver,
      expect,
      worker,
    }) => {
      const [first] = await add({ ...throttle("k", 1_000), priority: 1 });
      await advance(1_000);
      const [second] = await add({ ...drop("k"), queue: QUEUE, ...(end === "cleared" && { delayMs: 5_000 }) });
      expect(second).not.toBe(first);
      const one = worker();
      if (end === "completed") await one.complete(await one.take(1));
      if (end === "failed") await one.fail(await one.take(1));
      if (end === "cancelled") await command("cancel", first);
      if (end === "removed") await command("remove", first);
      if (end === "cleared") await driver.command({ type: "clear", queue: QUEUE, state: "waiting" });
      expect(await driver.enqueue([newJob(drop("k"))])).toEqual([{ id: second, deduplicated: true }]);
    });
  }

  needs("dedupe");
  it("R20: a taken id goes before the dedupe key, and a refused add takes no key", async ({ add, driver, expect }) => {
    await add({ id: "own" });
    expect(await driver.enqueue([newJob({ id: "own", ...drop("k") })])).toEqual([{ id: "own", deduplicated: true }]);
    expect(await driver.enqueue([newJob({ id: "new", ...drop("k") })])).toEqual([{ id: "new", deduplicated: false }]);
    expect(await driver.enqueue([newJob({ id: "newer", ...drop("k") })])).toEqual([{ id: "new", deduplicated: true }]);
    expect(await driver.get(QUEUE, "newer")).toBeUndefined();
  });

  it("R21: keys whose time is over do not pile up", async ({ add, advance, expect, records }) => {
    for (let round = 0; round < 20; round++) {
      await add(
        ...Array.from({ length: 5 }, (_, n) => ({ delayMs: 86_400_000, ...throttle(`key-${round}-${n}`, 10) })),
      );
      await advance(30_000);
    }
    const found = await records();
    if (found) expect(found.dedupe.length).toBeLessThanOrEqual(30);
  });

  it("R21: nor do keys that come in their order, many at once", async ({ add, advance, expect, records }) => {
    for (let round = 10; round < 30; round++) {
      await add(...Array.from({ length: 40 }, (_, n) => ({ delayMs: 86_400_000, ...throttle(`${round}-${n}`, 10) })));
      await advance(30_000);
    }
    const found = await records();
    if (found) expect(found.dedupe.length).toBeLessThanOrEqual(200);
  });

  for (const mode of ["drop", "throttle"] as const)
    it(`R42: ${mode}: lapsed keys go although 300 keys that live come before and behind, with the next worker`, async ({
      add,
      advance,
      expect,
      records,
      worker,
    }) => {
      const living = (from: string) =>
        Array.from({ length: 300 }, (_, n) => ({
          delayMs: 864_000_000,
          dedupe: { key: `${from}-${n}`, mode: "drop" as const },
        }));
      await add(...living("a"), ...living("z"));
      await add(...Array.from({ length: 300 }, (_, n) => ({ dedupe: { key: `k-${n}`, mode, ttlMs: 1_000 } })));
      const one = worker();
      await one.complete(await one.claim(300));
      for (let round = 0; round < 5; round++) {
        await advance(61_000);
        for (let more: number | undefined = 0; more === 0; ) more = (await one.exchange({ limit: 1 })).nextWakeMs;
      }
      const found = await records();
      if (found) expect(found.dedupe.map(({ key }) => key[1]).filter((key) => key.startsWith("k"))).toEqual([]);
    });
});
