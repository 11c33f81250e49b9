import { newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

export const orderCases = verb("order", (it) => {
  it("R15: jobs of equal priority are claimed in the order of their adding", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) {
      ids.push(...(await add({})));
      await advance(10);
    }
    expect(await worker().claimIds(10)).toEqual(ids);
  });

  it("R4: jobs added at the same instant keep their order, in one call and over many", async ({
    add,
    expect,
    worker,
  }) => {
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push(...(await add({}, {}, {}, { id: `own-${n}` }, {})));
    const one = worker();
    expect(await one.claimIds(7)).toEqual(ids.slice(0, 7));
    expect(await one.claimIds(30)).toEqual(ids.slice(7));
  });

  it("R4: thousands of jobs added at the same instant keep their order and their delays", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    const ids = await add(...Array.from({ length: 2_500 }, () => ({})));
    const delayed = await add({ delayMs: 1 }, { delayMs: 2 });
    const one = worker();
    expect(await one.claimIds(3_000)).toEqual(ids);
    await advance(1);
    expect(await one.claimIds(1)).toEqual(delayed.slice(0, 1));
    await advance(1);
    expect(await one.claimIds(1)).toEqual(delayed.slice(1));
  });

  it("R4: jobs added from two sides at the same instant never meet on one key", async ({
    another,
    driver,
    expect,
    worker,
  }) => {
    const other = await another();
    const batch = Array.from({ length: 50 }, () => newJob());
    const receipts = await Promise.all([
      driver.enqueue(batch),
      other.enqueue(batch),
      driver.enqueue(batch),
      other.enqueue(batch),
    ]);
    const ids = new Set(receipts.flat().map(({ id }) => id));
    expect(ids.size).toBe(200);
    expect(new Set(await worker().claimIds(300))).toEqual(ids);
  });

  it("R15: the higher priority goes first, whenever it was added", async ({ add, advance, expect, worker }) => {
    const [zero, low] = await add({}, { priority: -100 });
    await advance(1_000);
    const [high, highest, zeroToo] = await add({ priority: 1 }, { priority: 100 }, { priority: 0 });
    const one = worker();
    expect(await one.claimIds(2)).toEqual([highest, high]);
    expect(await one.claimIds(9)).toEqual([zero, zeroToo, low]);
  });

  it("R15: a high priority that is not due yet keeps nobody waiting", async ({ add, advance, expect, worker }) => {
    const [later, now] = await add({ priority: 100, delayMs: 1_000 }, { priority: -5 });
    const one = worker();
    expect(await one.claimIds(1)).toEqual([now]);
    await add({ priority: 50 });
    await advance(1_000);
    expect(await one.claimIds(1)).toEqual([later]);
  });

  it("R15: among equal priorities the earlier instant goes first", async ({ add, advance, expect, worker }) => {
    const [late] = await add({ delayMs: 900 });
    const [soon] = await add({ delayMs: 100 });
    await advance(500);
    const [added] = await add({});
    await advance(500);
    expect(await worker().claimIds(3)).toEqual([soon, added, late]);
  });

  it("R15: a short delay added after a long one runs first", async ({ add, advance, expect, worker }) => {
    const [long, short] = await add({ delayMs: 60_000 }, { delayMs: 1_000 });
    const one = worker();
    await advance(1_000);
    expect(await one.claimIds(2)).toEqual([short]);
    await advance(59_000);
    expect(await one.claimIds(2)).toEqual([long]);
  });

  it("R15: a retry goes to its new instant, behind what was due before", async ({ add, advance, expect, worker }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    await one.retry(await one.take(1), 1_000);
    await advance(500);
    const [c] = await add({});
    await advance(500);
    const [d] = await add({});
    expect(await one.claimIds(9)).toEqual([b, c, a, d]);
  });

  it("R15: a retry without a delay goes to the end of its priority", async ({ add, advance, expect, worker }) => {
    const [a, b, low] = await add({}, {}, { priority: -1 });
    const one = worker();
    const [held] = await one.take(1);
    await advance(1);
    await one.retry(held, 0);
    expect(await one.claimIds(9)).toEqual([b, a, low]);
  });

  it("R15: a job given back without a delay is the first again", async ({ add, advance, expect, worker }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const [held] = await one.take(1);
    await advance(1);
    await one.release(held);
    expect(await one.claimIds(9)).toEqual([a, b]);
  });

  it("R15: a retry keeps the priority", async ({ add, advance, expect, worker }) => {
    const [high] = await add({ priority: 5 });
    const one = worker();
    await one.retry(await one.take(1), 1_000);
    await add({});
    await advance(1_000);
    expect(await one.claimIds(1)).toEqual([high]);
  });

  it("R15: many priorities are claimed highest first", async ({ add, driver, expect, worker }) => {
    const priorities = [3, -3, 0, 100, -100, 7, 0, 3];
    await add(...priorities.map((priority) => ({ priority })));
    const claimed = await worker().claim(20);
    expect(claimed.map(({ job }) => job.priority)).toEqual([...priorities].sort((a, b) => b - a));
    expect(await driver.nextWake([QUEUE, "empty"])).not.toBe(0);
  });
});
