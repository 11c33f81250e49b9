import type { JobState } from "@quayside/core";
import { NOTHING, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Returns all jobs in a state, read in small pages. */
async function pages(
  { driver, expect }: Scene,
  state: JobState | undefined,
  limit: number,
  between?: () => Promise<unknown>,
): Promise<string[]> {
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await driver.list({
      queue: QUEUE,
      limit,
      ...(state && { state }),
      ...(cursor !== undefined && { cursor }),
    });
    expect(page.jobs.length).toBeLessThanOrEqual(limit);
    if (state) for (const job of page.jobs) expect(job.state).toBe(state);
    ids.push(...page.jobs.map(({ id }) => id));
    cursor = page.cursor;
    await between?.();
    if (ids.length > 1_000) throw new Error("The pages do not end.");
  } while (cursor !== undefined);
  return ids;
}

/** Adds 23 jobs in `state`, of two priorities. Returns their ids in the expected order of `list`. */
async function fill({ add, advance, command, worker }: Scene, state: JobState): Promise<string[]> {
  const delay = state === "delayed" ? { delayMs: 60_000 } : {};
  const low: string[] = [];
  const high: string[] = [];
  for (let n = 0; n < 23; n++) {
    const [id] = await add({ ...delay, priority: n % 2, ...(n % 5 === 0 && { id: `own-${n}` }) });
    (n % 2 ? high : low).push(id);
    if (n % 3 === 0) await advance(1);
  }
  const inLine = [...high, ...low];
  if (state === "waiting" || state === "delayed") return inLine;
  const one = worker();
  const two = worker();
  for (const [n, id] of inLine.entries()) {
    if (state === "cancelled") await command("cancel", id);
    else {
      const by = n % 2 ? one : two;
      const [held] = await by.take(1);
      if (state === "completed") await by.complete(held);
      if (state === "failed") await by.fail(held);
    }
    if (n % 3 === 0) await advance(1);
  }
  return state === "active" ? inLine : inLine.reverse();
}

export const inspectCases = verb("get, list and counts", (it, needs) => {
  it("R5: get of a job that is not there answers nothing", async ({ driver, expect }) => {
    expect(await driver.get(QUEUE, "nobody")).toBeUndefined();
    expect(await driver.get(QUEUE, "2s-0-0-aaaaaaaa")).toBeUndefined();
    expect(await driver.get("no such queue", "nobody")).toBeUndefined();
  });

  it("R5: get of a running job shows its attempt and its progress", async ({
    add,
    advance,
    expect,
    job,
    now,
    worker,
  }) => {
    const [id] = await add({});
    const one = worker();
    await one.retry(await one.take(1), 0);
    await advance(10);
    const startedAt = now();
    const [held] = await one.take(1);
    await one.exchange({ progress: [{ token: held.token, value: [1, { of: 2 }] }] });
    await advance(10);
    expect(await job(id)).toMatchObject({ state: "active", attempts: 2, startedAt, progress: [1, { of: 2 }] });
  });

  needs("inspect");
  it("R5: a delayed job becomes a waiting one by the passing of time alone", async ({
    add,
    advance,
    counts,
    driver,
    expect,
    job,
  }) => {
    const [id] = await add({ delayMs: 1_000 });
    expect((await job(id)).state).toBe("delayed");
    expect((await driver.list({ queue: QUEUE, state: "delayed" })).jobs).toHaveLength(1);
    await advance(1_000);
    expect((await job(id)).state).toBe("waiting");
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
    expect((await driver.list({ queue: QUEUE, state: "delayed" })).jobs).toHaveLength(0);
    expect((await driver.list({ queue: QUEUE, state: "waiting" })).jobs).toHaveLength(1);
  });

  it("R5: an empty queue lists nothing and counts nothing", async ({ counts, driver, expect }) => {
    expect(await driver.list({ queue: QUEUE })).toEqual({ jobs: [] });
    expect(await counts()).toEqual(NOTHING);
  });

  for (const state of ["waiting", "delayed", "active", "completed", "failed", "cancelled"] as const) {
    needs("inspect");
    it(`R15: pages of the ${state} jobs give each once, in order`, async (scene) => {
      const { counts, driver, expect } = scene;
      const ids = await fill(scene, state);
      await scene.add({ queue: "other" });
      expect(await pages(scene, state, 5)).toEqual(ids);
      expect(await pages(scene, state, 23)).toEqual(ids);
      expect(await pages(scene, state, 1)).toEqual(ids);
      expect((await driver.list({ queue: QUEUE, state })).jobs.map(({ id }) => id)).toEqual(ids);
      expect(await counts()).toEqual({ ...NOTHING, [state]: 23 });
      for (const other of ["waiting", "delayed", "active", "completed", "failed", "cancelled"] as const) {
        if (other !== state) expect(await pages(scene, other, 5), other).toEqual([]);
      }
    });
  }

  needs("inspect");
  it("R15: pages of all states give each job once", async (scene) => {
    const { expect } = scene;
    const ids: string[] = [];
    for (const state of ["cancelled", "failed", "completed", "active", "waiting", "delayed"] as const) {
      for (let n = 0; n < 3; n++) ids.push(...(await one(scene, state)));
    }
    await scene.worker({ queues: [{ queue: QUEUE, names: ["email"] }] }).claim(0);
    for (const limit of [1, 4, 5, 18, 100]) {
      const found = await pages(scene, undefined, limit);
      expect(found).toHaveLength(ids.length);
      expect(new Set(found)).toEqual(new Set(ids));
    }

    async function one({ add, command, worker }: Scene, state: JobState): Promise<string[]> {
      const [id] = await add(state === "delayed" ? { delayMs: 60_000 } : {});
      const by = worker();
      if (state === "cancelled") await command("cancel", id);
      if (state === "active") await by.take(1);
      if (state === "completed") await by.complete(await by.take(1));
      if (state === "failed") await by.fail(await by.take(1));
      return [id];
    }
  });

  needs("inspect", "unknownNames");
  it("R17: jobs that stepped aside are waiting ones, and are listed with them", async (scene) => {
    const { add, counts, expect, worker } = scene;
    const ids = await add(...Array.from({ length: 12 }, (_, n) => ({ name: n % 2 ? "strange" : "email" })));
    const stranger = worker({ queues: [{ queue: QUEUE, names: ["nothing"] }] });
    await stranger.claim(1);
    await add({});
    expect(await counts()).toEqual({ ...NOTHING, waiting: 13 });
    for (const limit of [1, 5, 100]) {
      for (const state of ["waiting", undefined] as const) {
        const found = await pages(scene, state, limit);
        expect(found).toHaveLength(13);
        expect(ids.every((id) => found.includes(id))).toBe(true);
        expect(new Set(found).size).toBe(13);
      }
    }
  });

  needs("inspect");
  it("R15: a page taken while jobs come and go gives no job twice and misses none that stayed", async (scene) => {
    const { add, advance, expect, worker } = scene;
    const ids = await add(...Array.from({ length: 20 }, () => ({})));
    const one = worker();
    const found = await pages(scene, "waiting", 6, async () => {
      await one.claim(1);
      await advance(1);
    });
    expect(new Set(found).size).toBe(found.length);
    expect(found).toEqual(ids.filter((id) => found.includes(id)));
    expect(ids.slice(4).every((id) => found.includes(id))).toBe(true);
  });

  it("R15: a list gives whole records, with their payloads", async ({ add, driver, expect, job }) => {
    const [id] = await add({ payload: '{"n":[1]}', tags: ["t"] });
    expect((await driver.list({ queue: QUEUE })).jobs).toEqual([await job(id)]);
  });

  it("R15: a page has at most 100 jobs when no limit is said", async ({ add, driver, expect }) => {
    await add(...Array.from({ length: 120 }, () => ({})));
    const first = await driver.list({ queue: QUEUE, state: "waiting" });
    expect(first.jobs).toHaveLength(100);
    expect(first.cursor).toBeDefined();
    const rest = await driver.list({ queue: QUEUE, state: "waiting", cursor: first.cursor as string });
    expect(rest.jobs).toHaveLength(20);
    expect(rest.cursor).toBeUndefined();
  });

  needs();
  it("R15: a limit out of bounds and a cursor that nobody gave are refused", async ({ add, driver, refused }) => {
    await add({});
    for (const limit of [0, -1, 1_001, 1.5]) await refused(driver.list({ queue: QUEUE, limit }), "invalid_option");
    await refused(driver.list({ queue: QUEUE, cursor: "made up" }), "invalid_option");
  });

  needs("inspect");
  it("R32: a cursor of another queue, or of another state, is refused", async ({ add, driver, refused }) => {
    for (const queue of [QUEUE, "other"]) {
      const ids = await add({ queue }, { queue }, { queue }, { queue });
      for (const id of ids.slice(2)) await driver.command({ type: "cancel", queue, id });
    }
    for (const [state, another] of [
      ["waiting", "cancelled"],
      ["cancelled", "waiting"],
      ["cancelled", undefined],
    ] as const) {
      const { cursor } = await driver.list({ queue: "other", state, limit: 1 });
      const asked = (query: object) =>
        refused(driver.list({ queue: QUEUE, cursor: cursor as string, ...query }), "invalid_option");
      await asked({ state });
      await asked({ queue: "other", ...(another && { state: another }) });
    }
  });

  needs();
  it("R19: counts split what waits from what is delayed, in every priority", async ({
    add,
    advance,
    counts,
    expect,
    worker,
  }) => {
    await add(
      {},
      { priority: 5 },
      { priority: -5, delayMs: 1_000 },
      { delayMs: 1_000 },
      { delayMs: 2_000 },
      { priority: 5, delayMs: 3_000 },
    );
    expect(await counts()).toEqual({ ...NOTHING, waiting: 2, delayed: 4 });
    await advance(1_000);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 4, delayed: 2 });
    await worker().claim(3);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, delayed: 2, active: 3 });
  });

  needs("admin");
  it("R1: counts are right from the first time they are asked for, and from then on", async ({
    add,
    counts,
    command,
    expect,
    worker,
  }) => {
    const ids = await add({}, {}, {}, {}, {});
    const one = worker();
    const [a, b] = await one.take(2);
    await one.complete(a);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 3, active: 1, completed: 1 });
    await one.fail(b);
    await command("cancel", ids[2]);
    await command("retry", ids[1]);
    await add({}, { delayMs: 1_000 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 4, delayed: 1, completed: 1, cancelled: 1 });
  });

  needs("inspect");
  it("R1: reading changes nothing", async ({ add, counts, driver, expect, records }) => {
    await add({}, { delayMs: 1_000 });
    await counts();
    const before = await records();
    await driver.list({ queue: QUEUE });
    await driver.get(QUEUE, "nobody");
    await driver.nextWake([QUEUE]);
    await counts();
    expect(await records()).toEqual(before);
  });
});
