import { DEFAULTS } from "@quayside/core";
import type { ClaimedJob } from "@quayside/core/engine";
import { NOTHING, newJob, type Scene, verb } from "./support.ts";
import { QUEUE, type TestWorker } from "./test-worker.ts";

const replace = (key: string, payload = "0") => ({ payload, dedupe: { key, mode: "replace" } }) as const;

/** Whatever ends the running holder of a key lets its successor run. */
const ENDS: readonly (readonly [string, (scene: Scene, one: TestWorker, held: ClaimedJob) => Promise<unknown>])[] = [
  ["completes", (_, one, held) => one.complete(held)],
  ["fails for good", (_, one, held) => one.fail(held)],
  [
    "is cancelled",
    async ({ command }, one, held) => {
      await command("cancel", held.job.id);
      await one.stopped(held);
    },
  ],
  [
    "is removed",
    async ({ command }, one, held) => {
      await command("remove", held.job.id);
      await one.release(held);
    },
  ],
  [
    "is cancelled while it waits for a retry",
    async ({ command }, one, held) => {
      await one.retry(held, 60_000);
      await command("cancel", held.job.id);
    },
  ],
  [
    "is removed while it waits for a retry",
    async ({ command }, one, held) => {
      await one.retry(held, 60_000);
      await command("remove", held.job.id);
    },
  ],
  [
    "is cleared away by its name",
    async ({ driver }, one, held) => {
      await one.release(held, 1);
      await driver.command({ type: "clear", queue: QUEUE, name: "holder" });
    },
  ],
  [
    "expires while it waits for a retry",
    async ({ advance, worker }, one, held) => {
      await one.retry(held, 60_000);
      await advance(60_000);
      await worker().claim(1, [{ queue: QUEUE, names: ["holder"] }]);
    },
  ],
];

export const replaceCases = verb("dedupe by replacing", (it) => {
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

  it("R20: a replaced job goes where its new priority puts it", async ({ add, driver, expect, job, worker }) => {
    const [a, b, c] = await add({ ...replace("a"), priority: 5 }, {}, replace("c"));
    await add({ ...replace("a"), priority: -5 }, { ...replace("c"), priority: 9 });
    expect((await job(c)).priority).toBe(9);
    expect((await driver.list({ queue: QUEUE, state: "waiting" })).jobs.map(({ id }) => id)).toEqual([c, b, a]);
    expect(await worker().claimIds(9)).toEqual([c, b, a]);
  });

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

  it("R21: a running holder is not touched: it gets one successor, which later adds replace", async ({
    add,
    counts,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [holder] = await add(replace("k", '"first"'));
    const one = worker();
    await one.take(1);
    const before = await job(holder);
    const [receipt] = await driver.enqueue([newJob(replace("k", '"second"'))]);
    const id = receipt?.id ?? "";
    expect(receipt).toEqual({ id, deduplicated: false });
    expect(id === holder).toBe(false);
    expect(await driver.enqueue([newJob({ ...replace("k", '"third"'), priority: 4 })])).toEqual([
      { id, deduplicated: true },
    ]);
    expect(await job(id)).toMatchObject({ payload: "third", priority: 4, state: "waiting", blockedBy: "successor" });
    expect(await job(holder)).toEqual(before);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, active: 1 });
    expect(await worker().claimIds(9)).toEqual([]);
  });

  for (const [end, happens] of ENDS) {
    it(`R20: the successor runs when the holder ${end}, and not before`, async (scene) => {
      const { add, driver, expect, worker } = scene;
      await add({ ...replace("k"), name: "holder", expiresInMs: 30_000 });
      const one = worker();
      const [held] = await one.take(1);
      const [successor] = await add(replace("k", "1"));
      expect(await worker().claimIds(9)).toEqual([]);
      await happens(scene, one, held);
      const two = worker();
      const [next] = await two.take(1);
      expect(next.job).toMatchObject({ id: successor, payload: 1 });
      // It holds the key now, until it ends in its turn.
      expect(await driver.enqueue([newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
        { id: successor, deduplicated: true },
      ]);
      await two.complete(next);
      expect(await driver.enqueue([newJob(replace("k"))])).toMatchObject([{ deduplicated: false }]);
    });
  }

  it("R20: the successor waits while the holder waits for its retry, is released or interrupted", async ({
    add,
    expect,
    interrupt,
    untilDue,
    worker,
  }) => {
    const [holder] = await add(replace("k"));
    const one = worker();
    const [held] = await one.take(1);
    const [successor] = await add(replace("k", "1"));
    await one.retry(held, 10);
    expect(await one.claimIds(9)).toEqual([]);
    await untilDue(holder);
    await one.release(await one.take(1));
    // Its wait is random, and may be none: what is claimed is the holder alone, whenever that is.
    await interrupt(one);
    await untilDue(holder);
    const [again, ...none] = await one.claim(9);
    expect(again?.job.id).toBe(holder);
    expect(none).toEqual([]);
    await one.complete(again as ClaimedJob);
    expect(await one.claimIds(9)).toEqual([successor]);
  });

  it("R20: at the limit of interruptions the holder ends and its successor runs", async ({
    add,
    expect,
    interrupt,
    job,
    untilDue,
    worker,
  }) => {
    const [holder] = await add(replace("k"));
    const rescuer = worker();
    for (let n = 1; n < DEFAULTS.maxInterruptions; n++) {
      await interrupt(rescuer);
      await untilDue(holder);
    }
    const one = worker({ leaseMs: rescuer.leaseMs });
    const [held] = await one.take(1);
    expect(held.job.id).toBe(holder);
    const [successor] = await add(replace("k", "1"));
    await one.exchange({ running: [] });
    await interrupt(rescuer);
    expect((await job(holder)).state).toBe("failed");
    expect(await rescuer.claimIds(9)).toEqual([successor]);
  });

  it("R20: one key never runs twice at the same time, replaced again and again", async ({
    add,
    another,
    expect,
    worker,
  }) => {
    const one = worker();
    const two = worker({ driver: await another() });
    await add(replace("k", "0"));
    const seen: unknown[] = [];
    for (let round = 1; round < 9; round++) {
      const [by, other] = round % 2 ? [one, two] : [two, one];
      const [held] = await by.take(1);
      seen.push(held.job.payload);
      await add(replace("k", `${round * 10}`));
      await add(replace("k", `${round}`));
      expect(await other.claimIds(9)).toEqual([]);
      await by.complete(held);
    }
    expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  for (const verb of ["cancel", "remove"] as const) {
    it(`R21: after ${verb} of the successor the key is its holder's alone, and a new successor may come`, async ({
      add,
      command,
      driver,
      expect,
      worker,
    }) => {
      await add(replace("k"));
      const one = worker();
      const [held] = await one.take(1);
      const [successor] = await add(replace("k", "1"));
      await command(verb, successor);
      const [second] = await add(replace("k", "2"));
      expect(second === successor).toBe(false);
      await command(verb, second);
      await one.complete(held);
      expect(await one.claimIds(9)).toEqual([]);
      expect(await driver.enqueue([newJob(replace("k"))])).toMatchObject([{ deduplicated: false }]);
    });
  }

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

  it("R20: a successor may have an id of its own, by which it is found", async ({ add, expect, job, worker }) => {
    await add(replace("k"));
    const one = worker();
    const [held] = await one.take(1);
    await add({ id: "own", ...replace("k", "1") });
    expect((await job("own")).blockedBy).toBe("successor");
    await one.complete(held);
    expect(await one.claimIds(9)).toEqual(["own"]);
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

  it("R20: a successor with a delay waits that out too", async ({ add, advance, expect, worker }) => {
    await add(replace("k"));
    const one = worker();
    const [held] = await one.take(1);
    const [successor] = await add({ ...replace("k"), delayMs: 10_000 });
    await one.complete(held);
    expect(await one.claimIds(9)).toEqual([]);
    await advance(10_000);
    expect(await one.claimIds(9)).toEqual([successor]);
  });

  it("R16: a successor waits for its group as well", async ({ add, expect, worker }) => {
    const group = { group: { key: "g" } };
    await add({ ...replace("k"), priority: 9 }, { ...group, priority: 1 });
    const one = worker();
    const [first, second] = await one.take(2);
    const [successor] = await add({ ...replace("k"), ...group });
    await one.complete(first);
    expect(await one.claimIds(9)).toEqual([]);
    await one.complete(second);
    expect(await one.claimIds(9)).toEqual([successor]);
  });

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

  it("R13: who was succeeded cannot be retried while the successor lives", async ({
    add,
    command,
    expect,
    job,
    refused,
    worker,
  }) => {
    const [holder] = await add(replace("k"));
    const one = worker();
    const [held] = await one.take(1);
    await add(replace("k", "1"));
    await one.fail(held);
    await refused(command("retry", holder), "conflict");
    await one.complete(await one.take(1));
    await command("retry", holder);
    expect((await job(holder)).state).toBe("waiting");
    expect(await add(replace("k", "2"))).toEqual([holder]);
  });

  it("R11: clear takes a holder that waits and its successor together", async ({
    add,
    counts,
    driver,
    expect,
    worker,
  }) => {
    const [holder] = await add(replace("k"));
    const one = worker();
    const [held] = await one.take(1);
    await add(replace("k", "1"));
    await one.retry(held, 60_000);
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 2 });
    expect(await counts()).toEqual(NOTHING);
    const [receipt] = await driver.enqueue([newJob(replace("k"))]);
    expect(receipt).toMatchObject({ deduplicated: false });
    expect(receipt?.id === holder).toBe(false);
  });

  it("R11: clear takes holder, successor and key", async ({ add, counts, driver, expect, worker }) => {
    await add(replace("k"));
    const one = worker();
    const [held] = await one.take(1);
    await add(replace("k", "1"));
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 2 });
    await one.complete(held);
    expect(await counts()).toEqual(NOTHING);
    expect(await driver.enqueue([newJob(replace("k"))])).toMatchObject([{ deduplicated: false }]);
  });
});
