import type { JobFilter, JobState } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import { NOTHING, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** Adds jobs and ends all of them in `state`. Returns their ids. */
async function ended(
  { add, command, worker }: Pick<Scene, "add" | "command" | "worker">,
  state: "failed" | "cancelled" | "completed",
  jobs: readonly Partial<NewJob>[],
): Promise<readonly string[]> {
  const ids: readonly string[] = await add(...jobs);
  if (state === "cancelled") for (const id of ids) await command("cancel", id);
  else {
    const one = worker();
    for (let held = await one.claim(500); held.length > 0; held = await one.claim(500))
      await (state === "failed" ? one.fail(held) : one.complete(held));
  }
  return ids;
}

const retryAll = (
  { driver }: Pick<Scene, "driver">,
  filter: JobFilter & { state?: "failed" | "cancelled" | undefined } = {},
) => driver.command({ type: "retryAll", queue: QUEUE, ...filter });
const clear = ({ driver }: Pick<Scene, "driver">, filter: JobFilter & { state?: JobState | undefined } = {}) =>
  driver.command({ type: "clear", queue: QUEUE, ...filter });

/** Returns all jobs with these tags, read page by page with `limit` jobs per page. */
async function tagged(
  { driver, expect }: Pick<Scene, "driver" | "expect">,
  tags: string[],
  limit: number,
  state?: JobState,
) {
  const ids: string[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages === 0 || cursor !== undefined; pages++) {
    const page = await driver.list({
      queue: QUEUE,
      tags,
      limit,
      ...(state && { state }),
      ...(cursor !== undefined && { cursor }),
    });
    expect(page.jobs.length).toBeLessThanOrEqual(limit);
    ids.push(...page.jobs.map(({ id }) => id));
    cursor = page.cursor;
    if (pages > 500) throw new Error("The pages do not end.");
  }
  return ids;
}

export const filtersCases = verb("retryAll, clear and list by filter", (it, needs) => {
  needs("admin");
  it("R13: retryAll puts all failed jobs back in line with fresh attempts, and leaves the rest", async (scene) => {
    const { counts, expect, job } = scene;
    const failed = await ended(scene, "failed", [{}, { id: "own" }, { priority: 4 }]);
    await ended(scene, "cancelled", [{}]);
    await ended(scene, "completed", [{}]);
    expect(await retryAll(scene)).toEqual({ affected: 3 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 3, cancelled: 1, completed: 1 });
    for (const id of failed) expect(await job(id)).toMatchObject({ state: "waiting", attempts: 0, exceptions: 0 });
    expect(await retryAll(scene)).toEqual({ affected: 0 });
  });

  it("R13: retryAll of the cancelled ones leaves the failed", async (scene) => {
    const { counts, expect } = scene;
    await ended(scene, "failed", [{}]);
    await ended(scene, "cancelled", [{}, {}]);
    expect(await retryAll(scene, { state: "cancelled" })).toEqual({ affected: 2 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 2, failed: 1 });
  });

  it("R13: retryAll goes by name, tags and age, all of which must fit", async (scene) => {
    const { advance, expect, job } = scene;
    const [a, b] = await ended(scene, "failed", [
      { name: "a", tags: ["x"] },
      { name: "b", tags: ["x", "y"] },
    ]);
    await advance(10_000);
    const [c, d] = await ended(scene, "failed", [{ name: "a", tags: ["x", "y", "z"] }, { name: "a" }]);
    const states = async () => {
      const found: string[] = [];
      for (const id of [a, b, c, d]) found.push((await job(id ?? "")).state);
      return found.map((state) => state === "waiting");
    };
    expect(await retryAll(scene, { name: "nobody" })).toEqual({ affected: 0 });
    expect(await retryAll(scene, { name: "a", tags: ["x", "y"], olderThanMs: 5_000 })).toEqual({ affected: 0 });
    expect(await retryAll(scene, { name: "a", tags: ["x", "y"] })).toEqual({ affected: 1 });
    expect(await states()).toEqual([false, false, true, false]);
    expect(await retryAll(scene, { olderThanMs: 5_000 })).toEqual({ affected: 2 });
    expect(await states()).toEqual([true, true, true, false]);
    expect(await retryAll(scene, { olderThanMs: 0 })).toEqual({ affected: 0 });
    await advance(1);
    expect(await retryAll(scene, { olderThanMs: 0 })).toEqual({ affected: 1 });
  });

  needs("admin", "dedupe");
  it("R13: a job whose dedupe key is another's by now stays as it is, and the rest are retried", async (scene) => {
    const { add, counts, driver, expect, job } = scene;
    const drop = (key: string) => ({ dedupe: { key, mode: "drop" } }) as const;
    const [taken, free] = await ended(scene, "failed", [drop("taken"), drop("free"), {}]);
    const [holder] = await add(drop("taken"));
    expect(await retryAll(scene)).toEqual({ affected: 2 });
    expect((await job(taken ?? "")).state).toBe("failed");
    expect(await add(drop("taken"), drop("free"))).toEqual([holder, free]);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 3, failed: 1 });
    expect(await driver.get(QUEUE, holder)).toMatchObject({ state: "waiting" });
  });

  it("R13: of two ended jobs of one key retryAll takes one back", async (scene) => {
    const { counts, expect } = scene;
    for (let n = 0; n < 2; n++) await ended(scene, "failed", [{ dedupe: { key: "k", mode: "drop" } }]);
    expect(await retryAll(scene)).toEqual({ affected: 1 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, failed: 1 });
  });

  needs("admin");
  it("R13: retryAll of a long history takes all, each once", async (scene) => {
    const { counts, driver, expect } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: { failed: 5_000 } });
    await ended(
      scene,
      "failed",
      range(2_300).map((n) => ({ name: n % 2 ? "odd" : "even", ...(n % 50 === 0 && { id: `own-${n}` }) })),
    );
    expect(await retryAll(scene, { name: "odd" })).toEqual({ affected: 1_150 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1_150, failed: 1_150 });
    expect(await retryAll(scene)).toEqual({ affected: 1_150 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 2_300 });
  });

  needs("admin", "groups");
  it("R13: retryAll puts the jobs of a full group back oldest first", async (scene) => {
    const { expect, worker } = scene;
    const ids = await ended(
      scene,
      "failed",
      range(8).map(() => ({ group: { key: "one" } })),
    );
    await retryAll(scene);
    const one = worker();
    const order: string[] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      order.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    expect(order).toEqual(ids);
  });

  needs("admin");
  it("R13: retryAll puts jobs back oldest first, over several transactions too", async (scene) => {
    const { expect, worker } = scene;
    await scene.driver.command({ type: "configure", queue: QUEUE, keep: { failed: 5_000 } });
    const failed = await ended(
      scene,
      "failed",
      range(600).map(() => ({})),
    );
    expect(await retryAll(scene)).toEqual({ affected: 600 });
    const again: string[] = [];
    for (let round = 0; round < 6; round++) {
      const taken = await worker().claim(100);
      again.push(...taken.map(({ job }) => job.id));
    }
    expect(again).toEqual(failed);
  });

  needs("admin", "groups");
  it("R16: what retryAll brings back still goes by its groups", async (scene) => {
    const { expect, worker } = scene;
    await ended(scene, "cancelled", [{ group: { key: "g" } }, { group: { key: "g" } }]);
    await retryAll(scene, { state: "cancelled" });
    expect(await worker().claim(9)).toHaveLength(1);
  });

  needs("admin", "inspect");
  it("R11: clear goes by name, tags and age, all of which must fit, in whatever state", async (scene) => {
    const { add, advance, counts, driver, expect } = scene;
    await ended(scene, "failed", [{ name: "a", tags: ["x"] }]);
    await ended(scene, "completed", [
      { name: "a", tags: ["x", "y"] },
      { name: "b", tags: ["x", "y"] },
    ]);
    await advance(10_000);
    await add({ name: "a", tags: ["x"] }, { name: "b" }, { name: "a", tags: ["y"], delayMs: 60_000 });
    expect(await clear(scene, { name: "nobody" })).toEqual({ affected: 0 });
    expect(await clear(scene, { name: "a", tags: ["x"], olderThanMs: 5_000 })).toEqual({ affected: 2 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 2, delayed: 1, completed: 1 });
    expect(await clear(scene, { state: "delayed", tags: ["x"] })).toEqual({ affected: 0 });
    expect(await clear(scene, { tags: ["y"] })).toEqual({ affected: 2 });
    expect((await driver.list({ queue: QUEUE })).jobs.map(({ name }) => name)).toEqual(["a", "b"]);
    expect(await clear(scene, { olderThanMs: 0 })).toEqual({ affected: 0 });
    await advance(1);
    expect(await clear(scene, { olderThanMs: 0 })).toEqual({ affected: 2 });
  });

  needs("admin");
  it("R11: clear by filter asks only those running jobs to stop that it means", async (scene) => {
    const { add, counts, expect, worker } = scene;
    await add({ name: "a" }, { name: "b", tags: ["x"] }, { name: "b" });
    const one = worker();
    const held = await one.take(3);
    expect(await clear(scene, { name: "b", tags: ["x"] })).toEqual({ affected: 1 });
    expect((await one.look()).cancel).toEqual([held[1].token]);
    await one.complete(held);
    expect(await counts()).toEqual({ ...NOTHING, completed: 2 });
  });

  it("R11: clear by filter of a long queue takes all that fit, and leaves the others in their order", async (scene) => {
    const { add, counts, driver, expect, worker } = scene;
    const ids: readonly string[] = await add(
      ...range(2_300).map((n) => ({ tags: [n % 3 ? "go" : "stay"], ...(n % 100 === 0 && { id: `own-${n}` }) })),
    );
    expect(await clear(scene, { tags: ["go"] })).toEqual({ affected: 1_533 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 767 });
    expect(await worker().claimIds(100)).toEqual(ids.filter((_, n) => n % 3 === 0).slice(0, 100));
    expect(await driver.get(QUEUE, ids[1] ?? "")).toBeUndefined();
  });

  needs("admin", "inspect");
  it("R23: after the clock was set back, list and clear still tell the waiting from the delayed", async (scene) => {
    const { add, counts, driver, expect, jump } = scene;
    const [waiting, delayed, late] = await add({}, { delayMs: 3_600_000 }, { delayMs: 7_200_000 });
    const [higher] = await add({ priority: 1 });
    await counts();
    await jump(-3_600_000);
    const [early, between] = await add({}, { delayMs: 1_800_000 });
    const ids = async (state: JobState) => (await driver.list({ queue: QUEUE, state })).jobs.map(({ id }) => id);
    expect(await ids("waiting")).toEqual([higher, early, waiting]);
    expect(await ids("delayed")).toEqual([between, delayed, late]);
    for (const state of ["waiting", "delayed"] as const)
      expect(await tagged(scene, [], 1, state)).toEqual(await ids(state));
    expect(await clear(scene, { state: "waiting" })).toEqual({ affected: 3 });
    expect(await clear(scene, { state: "delayed" })).toEqual({ affected: 3 });
    expect(await counts()).toEqual(NOTHING);
  });

  needs("admin", "groups", "unknownNames");
  it("R11: clear takes what waits for its group or its name as well", async (scene) => {
    const { add, counts, expect, worker } = scene;
    const group = { group: { key: "g" } };
    await add(group, group, { name: "unknown" }, group);
    const one = worker({ queues: [{ queue: QUEUE, names: ["email"] }] });
    const held = await one.claim(9);
    expect(await clear(scene, { state: "waiting" })).toEqual({ affected: 3 });
    expect(await counts()).toEqual({ ...NOTHING, active: 1 });
    await one.complete(held);
    expect(await worker().claim(9)).toEqual([]);
  });

  needs("inspect");
  it("R5: list by tags gives those that bear all of them, in pages of any size", async (scene) => {
    const { add, expect } = scene;
    const ids: readonly string[] = await add(
      ...range(60).map((n) => ({
        tags: [...(n % 2 ? ["odd"] : []), ...(n % 3 ? [] : ["third"]), "all"],
        ...(n % 7 === 0 && { id: `own-${n}` }),
      })),
    );
    const both = ids.filter((_, n) => n % 2 === 1 && n % 3 === 0);
    for (const limit of [1, 3, 10, 1_000]) {
      expect(await tagged(scene, ["odd", "third"], limit), `${limit} a page`).toEqual(both);
      expect(await tagged(scene, ["third"], limit, "waiting")).toEqual(ids.filter((_, n) => n % 3 === 0));
    }
    expect(await tagged(scene, ["all"], 7)).toEqual(ids);
    expect(await tagged(scene, [], 7)).toEqual(ids);
    expect(await tagged(scene, ["nobody"], 7)).toEqual([]);
    expect(await tagged(scene, ["od"], 7)).toEqual([]);
  });

  needs("groups", "inspect");
  it("R5: list by tags goes through all states: running, in line, ended", async (scene) => {
    const { add, expect, worker } = scene;
    const tags = { tags: ["t"] };
    const [done] = await ended(scene, "completed", [tags, {}]);
    const [gone] = await ended(scene, "cancelled", [tags, {}]);
    const [running, ...rest] = await add(tags, {}, tags, { ...tags, delayMs: 5_000 }, { ...tags, group: { key: "g" } });
    await worker().claim(1);
    const [, second, third, fourth] = rest;
    expect(await tagged(scene, ["t"], 2)).toEqual([running, second, fourth, third, done, gone]);
    expect(await tagged(scene, ["t"], 2, "active")).toEqual([running]);
    expect(await tagged(scene, ["t"], 2, "delayed")).toEqual([third]);
    expect(await tagged(scene, ["t"], 2, "cancelled")).toEqual([gone]);
  });
});
