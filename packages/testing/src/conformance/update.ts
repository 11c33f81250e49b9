import { NOTHING, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const update = (
  { driver }: Pick<Scene, "driver">,
  id: string,
  change: {
    readonly payload?: string | undefined;
    readonly priority?: number | undefined;
    readonly delayMs?: number | undefined;
  },
  queue = QUEUE,
) => driver.command({ type: "update", queue, id, ...change });

export const updateCases = verb("update", (it, needs) => {
  for (const id of ["own", undefined]) {
    const whose = id ? "the caller's own id" : "a generated id";
    needs("admin");
    it(`R1: update changes the payload of a waiting job of ${whose} and nothing else`, async (scene) => {
      const { add, advance, expect, job } = scene;
      const [found] = await add({ ...(id && { id }), tags: ["t"], priority: 3 });
      const before = await job(found);
      await advance(5_000);
      expect(await update(scene, found, { payload: '{"n":1}' })).toEqual({ affected: 1, state: "waiting" });
      expect(await job(found)).toEqual({ ...before, payload: { n: 1 } });
    });

    needs("admin");
    it(`R15: update of the priority moves a job of ${whose} to its new place, by its adding`, async (scene) => {
      const { add, expect, job, worker } = scene;
      const [found, a] = await add({ ...(id && { id }) }, { priority: 5 });
      const [b] = await add({ priority: 5 });
      await update(scene, found, { priority: 5 });
      expect((await job(found)).priority).toBe(5);
      expect(await worker().claimIds(9)).toEqual([found, a, b]);
    });

    needs("admin");
    it(`R15: update of the delay of a job of ${whose} counts from now`, async (scene) => {
      const { add, advance, counts, expect, job, now, worker } = scene;
      const [found] = await add({ ...(id && { id }), delayMs: 60_000 });
      await advance(1_000);
      expect(await update(scene, found, { delayMs: 5_000 })).toEqual({ affected: 1, state: "delayed" });
      expect(await job(found)).toMatchObject({ availableAt: now() + 5_000, state: "delayed" });
      await advance(4_999);
      expect(await worker().claimIds(9)).toEqual([]);
      await advance(1);
      expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
      const one = worker();
      expect(await one.claimIds(9)).toEqual([found]);
    });
  }

  needs("admin");
  it("R15: a delay of nothing makes it due now, behind those that were", async (scene) => {
    const { add, expect, worker } = scene;
    const [late, b] = await add({ delayMs: 60_000 }, {});
    expect(await update(scene, late, { delayMs: 0 })).toEqual({ affected: 1, state: "waiting" });
    expect(await worker().claimIds(9)).toEqual([b, late]);
  });

  it("R1: all three at once, and a job is updated again and again", async (scene) => {
    const { add, advance, expect, job, now, worker } = scene;
    const [id] = await add({});
    for (let n = 1; n <= 5; n++) await update(scene, id, { payload: `${n}`, priority: n, delayMs: n * 10 });
    expect(await job(id)).toMatchObject({ payload: 5, priority: 5, availableAt: now() + 50 });
    await update(scene, id, {});
    expect(await job(id)).toMatchObject({ payload: 5, priority: 5, availableAt: now() + 50 });
    await advance(50);
    const one = worker();
    const held = await one.take(1);
    expect(held[0].job.id).toBe(id);
    await one.complete(held);
  });

  it("R13: a job that waits for its retry may be updated, its counts stay", async (scene) => {
    const { add, expect, job, worker } = scene;
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 60_000);
    await update(scene, id, { payload: "1", delayMs: 0 });
    expect(await job(id)).toMatchObject({ attempts: 1, payload: 1, error: { message: "boom" }, state: "waiting" });
  });

  it("R21: a job that runs or has ended is not updated", async (scene) => {
    const { add, command, expect, job, refused, worker } = scene;
    const [a, b, c] = await add({}, {}, {});
    const one = worker();
    const [held, second] = await one.take(2);
    await refused(update(scene, a, { payload: "1" }), "conflict");
    await one.complete(held);
    await one.fail(second);
    await command("cancel", c);
    for (const id of [a, b, c]) {
      const before = await job(id);
      await refused(update(scene, id, { payload: "1", priority: 2, delayMs: 3 }), "conflict");
      expect(await job(id)).toEqual(before);
    }
    await refused(update(scene, "nobody", { payload: "1" }), "job_not_found");
    await refused(update(scene, a, { payload: "1" }, "another queue"), "job_not_found");
  });

  needs("admin", "dedupe");
  it("R20: an updated job keeps its dedupe key", async (scene) => {
    const { add, expect, worker } = scene;
    const [id] = await add({ dedupe: { key: "k", mode: "drop" } });
    await update(scene, id, { priority: 4, delayMs: 10 });
    expect(await add({ dedupe: { key: "k", mode: "drop" } })).toEqual([id]);
    await update(scene, id, { delayMs: 0 });
    const one = worker();
    await one.complete(await one.take(1));
    const [next] = await add({ dedupe: { key: "k", mode: "drop" } });
    expect(next === id).toBe(false);
  });

  for (const [reason, block] of [
    ["its name", { name: "unknown" }],
    ["its group", { group: { key: "g" } }],
  ] as const) {
    needs("admin", "groups", "unknownNames");
    it(`R17: a job that waits for ${reason} may be updated, and comes back as it then is`, async (scene) => {
      const { add, expect, job, worker } = scene;
      await add({ group: { key: "g" }, priority: 9 });
      const one = worker({ queues: [{ queue: QUEUE, names: ["email"] }] });
      const [held] = await one.take(1);
      const [id] = await add({ ...block, priority: 1 });
      expect(await one.claimIds(9)).toEqual([]);
      const waits = (await job(id)).blockedBy;
      expect(waits).toBe(reason.slice(4));
      expect(await update(scene, id, { payload: "1", priority: 7 })).toEqual({ affected: 1, state: "waiting" });
      expect(await job(id)).toMatchObject({ payload: 1, priority: 7, blockedBy: waits });
      await one.complete(held);
      const [plain] = await add({ priority: 6 });
      expect(await worker().claimIds(9)).toEqual([id, plain]);
    });
  }

  for (const [reason, block] of [
    ["name", { name: "unknown" }],
    ["group", { group: { key: "g" } }],
  ] as const) {
    needs("admin", "groups", "unknownNames");
    it(`R19: promote of a job that waits for its ${reason} changes nothing`, async (scene) => {
      const { add, command, expect, job, worker } = scene;
      await add({ group: { key: "g" }, priority: 9 });
      const one = worker({ queues: [{ queue: QUEUE, names: ["email"] }] });
      await one.take(1);
      const [id] = await add(block);
      await one.claim(9);
      const before = await job(id);
      expect(before.blockedBy).toBe(reason);
      expect(await command("promote", id)).toEqual({ affected: 0, state: "waiting" });
      expect(await job(id)).toEqual(before);
      expect(await one.claimIds(9)).toEqual([]);
    });
  }

  needs("admin", "dedupe");
  it("R20: promote of a successor does not let it run beside its holder", async (scene) => {
    const { add, command, expect, worker } = scene;
    const dedupe = { key: "k", mode: "replace" } as const;
    await add({ dedupe });
    const one = worker();
    const held = await one.take(1);
    const [successor] = await add({ dedupe, delayMs: 1_000 });
    expect(await command("promote", successor)).toMatchObject({ affected: 0 });
    expect(await one.claimIds(9)).toEqual([]);
    await one.complete(held);
    expect(await command("promote", successor)).toEqual({ affected: 1, state: "waiting" });
    expect(await one.claimIds(9)).toEqual([successor]);
  });
});
