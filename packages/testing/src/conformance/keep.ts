import { NOTHING, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Ends `count` jobs in `state`, one per millisecond. Returns their ids, oldest first. */
async function endMany(
  { add, advance, command, worker }: Scene,
  state: "completed" | "failed" | "cancelled",
  count: number,
): Promise<string[]> {
  const ids: string[] = [];
  const one = worker();
  for (let n = 0; n < count; n++) {
    const [id] = await add({});
    ids.push(id);
    if (state === "cancelled") await command("cancel", id);
    else if (state === "completed") await one.complete(await one.take(1));
    else await one.fail(await one.take(1));
    await advance(1);
  }
  return ids;
}

const kept = async ({ driver }: Scene, state: "completed" | "failed" | "cancelled") =>
  (await driver.list({ queue: QUEUE, state })).jobs.map(({ id }) => id);

export const keepCases = verb("keep", (it, needs) => {
  for (const state of ["completed", "failed", "cancelled"] as const) {
    needs("inspect");
    it(`R1: of the ${state} jobs exactly the newest are kept, as many as the queue says`, async (scene) => {
      const { counts, driver, expect, records } = scene;
      await driver.command({ type: "configure", queue: QUEUE, keep: { [state]: 3 } });
      const ids = await endMany(scene, state, 5);
      expect(await kept(scene, state)).toEqual(ids.slice(2).reverse());
      expect(await counts()).toEqual({ ...NOTHING, [state]: 3 });
      expect(await driver.get(QUEUE, ids[0] as string)).toBeUndefined();
      const found = await records();
      if (found) expect(found.ids).toHaveLength(3);
    });

    needs();
    it(`R1: a queue that keeps no ${state} jobs forgets each as it ends`, async (scene) => {
      const { counts, driver, expect } = scene;
      await driver.command({ type: "configure", queue: QUEUE, keep: { [state]: 0 } });
      await endMany(scene, state, 2);
      expect(await counts()).toEqual(NOTHING);
    });
  }

  needs();
  it("R1: a limit counts its own state and its own queue alone", async (scene) => {
    const { add, counts, driver, expect, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 1 } });
    await add({ queue: "other" }, { queue: "other" });
    const one = worker({ queues: ["other"] });
    await one.complete(await one.take(2));
    await endMany(scene, "failed", 2);
    await endMany(scene, "completed", 3);
    expect(await counts()).toEqual({ ...NOTHING, completed: 1, failed: 2 });
    expect(await counts("other")).toEqual({ ...NOTHING, completed: 2 });
  });

  needs("inspect");
  it("R1: a batch that ends at once is pruned to the limit, its first jobs first", async (scene) => {
    const { add, counts, driver, expect, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 4 } });
    const ids = await add(...Array.from({ length: 10 }, () => ({})));
    const one = worker();
    await one.complete(await one.claim(10));
    expect(await kept(scene, "completed")).toEqual(ids.slice(6).reverse());
    expect((await counts()).completed).toBe(4);
  });

  needs();
  it("R42: large batches that end at once leave no more than the queue keeps", async (scene) => {
    const { add, counts, driver, expect, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 4 } });
    const one = worker();
    for (let batch = 0; batch < 2; batch++) {
      await add(...Array.from({ length: 600 }, () => ({})));
      await one.complete(await one.claim(600));
    }
    expect(await counts()).toEqual({ ...NOTHING, completed: 4 });
  });

  needs("inspect");
  it("R1: a limit that is lowered holds from the next end on", async (scene) => {
    const { counts, driver, expect } = scene;
    const before = await endMany(scene, "completed", 5);
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 2 } });
    const [last] = await endMany(scene, "completed", 1);
    expect(await kept(scene, "completed")).toEqual([last, before[4]]);
    expect((await counts()).completed).toBe(2);
  });

  needs();
  it("R1: a limit that is lowered to none holds from the next end on", async (scene) => {
    const { counts, driver, expect } = scene;
    await endMany(scene, "completed", 3);
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 0 } });
    await endMany(scene, "completed", 1);
    expect(await counts()).toEqual(NOTHING);
  });

  needs("inspect");
  it("R1: what a job says of its own keeping goes before what the queue says", async (scene) => {
    const { add, counts, driver, expect, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 0, failed: 0 } });
    const [own, secret] = await add({ keep: { completed: 5 } }, {});
    const one = worker();
    await one.complete(await one.take(2));
    expect(await kept(scene, "completed")).toEqual([own]);
    expect(await driver.get(QUEUE, secret)).toBeUndefined();
    await add({ keep: { completed: 5 } });
    await one.fail(await one.take(1));
    expect(await counts()).toEqual({ ...NOTHING, completed: 1 });
  });

  needs();
  it("R1: a job that asks to be forgotten goes without a trace, and the others stay", async (scene) => {
    const { add, counts, driver, expect, worker } = scene;
    await endMany(scene, "completed", 2);
    const [secret] = await add({ keep: { completed: 0 } });
    const one = worker();
    await one.complete(await one.take(1));
    expect(await driver.get(QUEUE, secret)).toBeUndefined();
    expect(await counts()).toEqual({ ...NOTHING, completed: 2 });
  });

  needs();
  it("R42: a kept job that is removed does not make an older one stay longer", async (scene) => {
    const { command, counts, driver, expect } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { failed: 3 } });
    const [first, second, third] = await endMany(scene, "failed", 3);
    await command("remove", second as string);
    await endMany(scene, "failed", 1);
    expect(await driver.get(QUEUE, first as string)).toBeUndefined();
    expect(await driver.get(QUEUE, third as string)).toBeDefined();
    expect((await counts()).failed).toBe(2);
    await endMany(scene, "failed", 1);
    expect((await counts()).failed).toBe(3);
  });

  needs("inspect");
  it("R1: configure changes what it names, and the last writer wins", async (scene) => {
    const { another, driver, expect } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 2, failed: 1 } });
    await (await another()).command({ type: "configure", queue: QUEUE, keep: { completed: 1 } });
    await endMany(scene, "completed", 3);
    await endMany(scene, "failed", 3);
    expect(await kept(scene, "completed")).toHaveLength(1);
    expect(await kept(scene, "failed")).toHaveLength(1);
  });

  it("R34: a long pruning does not take back what another call says meanwhile", async (scene) => {
    const { add, another, driver, expect, worker } = scene;
    const keep = (completed: number) => ({ type: "configure", queue: QUEUE, keep: { completed } }) as const;
    await driver.command(keep(1_000));
    const one = worker();
    const endSome = async (count: number) => {
      await add(...Array.from({ length: count }, () => ({})));
      for (let left = count; left > 0; ) {
        const jobs = await one.claim(left);
        await one.complete(jobs);
        left -= jobs.length;
      }
    };
    await endSome(800);
    const pruning = driver.command(keep(10));
    await (await another()).command(keep(500));
    await pruning;
    await endSome(20);
    expect((await kept(scene, "completed")).length).toBeGreaterThan(20);
  });
});
