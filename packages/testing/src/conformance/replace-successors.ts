import { DEFAULTS } from "@quayside/core";
import type { ClaimedJob } from "@quayside/core/engine";
import { replace } from "./replace-jobs.ts";
import { NOTHING, newJob, type Scene, verb } from "./support.ts";
import { QUEUE, type TestWorker } from "./test-worker.ts";

/** Every way in which the running holder of a key can end, after which its successor runs. */
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

/** Test cases about the successor of a running job. */
export const replaceSuccessorCases = verb("dedupe by replacing", (it, needs) => {
  needs("dedupe");
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
    needs("admin", "dedupe", "expiry");
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
      // The successor holds the key now, until it ends.
      expect(await driver.enqueue([newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
        { id: successor, deduplicated: true },
      ]);
      await two.complete(next);
      expect(await driver.enqueue([newJob(replace("k"))])).toMatchObject([{ deduplicated: false }]);
    });
  }

  needs("dedupe");
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
    // The delay is random and may be 0: only the holder is claimed in any case.
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
    needs("dedupe");
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

  needs("dedupe");
  it("R20: a successor may have an id of its own, by which it is found", async ({ add, expect, job, worker }) => {
    await add(replace("k"));
    const one = worker();
    const [held] = await one.take(1);
    await add({ id: "own", ...replace("k", "1") });
    expect((await job("own")).blockedBy).toBe("successor");
    await one.complete(held);
    expect(await one.claimIds(9)).toEqual(["own"]);
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

  needs("dedupe", "groups");
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

  needs("admin", "dedupe");
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
