import { NOTHING, type Scene, verb } from "./support.ts";
import { BOOM, LEASE_MS, QUEUE, type Round } from "./test-worker.ts";

/** Adds one job in each state. Returns their ids, and the worker and token of the running one. */
async function oneOfEach({ add, command, worker }: Scene) {
  const one = worker();
  const [completed, failed, cancelled] = await add({}, {}, {});
  const [first, second] = await one.take(2);
  await one.complete(first);
  await one.fail(second);
  await command("cancel", cancelled);
  const [active, waiting, delayed] = await add({}, {}, { delayMs: 60_000 });
  const [held] = await one.take(1);
  return { ids: { waiting, delayed, active, completed, failed, cancelled }, one, held };
}

const STATES = ["waiting", "delayed", "active", "completed", "failed", "cancelled"] as const;
const EACH = { ...NOTHING, waiting: 1, delayed: 1, active: 1, completed: 1, failed: 1, cancelled: 1 };

const OUTCOMES: readonly (readonly [string, (token: string) => Round])[] = [
  ["completes", (token) => ({ settle: [{ token, outcome: "completed", result: "1" }] })],
  ["fails", (token) => ({ settle: [{ token, outcome: "failed", error: BOOM }] })],
  ["would retry", (token) => ({ settle: [{ token, outcome: "failed", error: BOOM, retryMs: 1_000 }] })],
  ["is released", (token) => ({ settle: [{ token, outcome: "released", delayMs: 0 }] })],
  ["is released to later", (token) => ({ settle: [{ token, outcome: "released", delayMs: 1_000 }] })],
  ["stops", (token) => ({ settle: [{ token, outcome: "cancelled" }] })],
  ["is given back unknown", () => ({ running: [] })],
];

export const removeClearCases = verb("remove and clear", (it, needs) => {
  for (const state of STATES) {
    if (state === "active") continue;
    needs();
    it(`R11: remove deletes a job that is ${state}`, async (scene) => {
      const { command, counts, driver, expect } = scene;
      const { ids } = await oneOfEach(scene);
      expect(await command("remove", ids[state])).toEqual({ affected: 1 });
      expect(await driver.get(QUEUE, ids[state])).toBeUndefined();
      expect(await counts()).toEqual({ ...EACH, [state]: 0 });
      expect(await command("remove", ids[state])).toEqual({ affected: 0 });
    });
  }

  needs();
  it("R11: remove asks a running job to stop first", async (scene) => {
    const { command, counts, expect, job } = scene;
    const { ids, one, held } = await oneOfEach(scene);
    expect(await command("remove", ids.active)).toEqual({ affected: 1, state: "active" });
    expect((await job(ids.active)).state).toBe("active");
    expect((await one.look()).cancel).toEqual([held.token]);
    expect(await counts()).toEqual(EACH);
  });

  for (const [outcome, round] of OUTCOMES) {
    needs("dedupe");
    it(`R11: a job removed while it runs leaves without a trace when it ${outcome}`, async ({
      add,
      command,
      counts,
      driver,
      expect,
      worker,
    }) => {
      const [plain] = await add({}, { id: "own", dedupe: { key: "k", mode: "drop" } });
      const one = worker();
      const [first, second] = await one.take(2);
      await command("remove", plain);
      expect((await one.exchange(round(first.token))).lost).toEqual([]);
      expect(await driver.get(QUEUE, plain)).toBeUndefined();
      if (outcome !== "is given back unknown") {
        await command("remove", "own");
        expect((await one.exchange(round(second.token))).lost).toEqual([]);
        expect(await driver.get(QUEUE, "own")).toBeUndefined();
        expect(await counts()).toEqual(NOTHING);
      }
    });
  }

  needs();
  it("R11: a job removed while it runs leaves without a trace when its worker dies", async ({
    add,
    advance,
    command,
    counts,
    driver,
    expect,
    worker,
  }) => {
    const [id] = await add({});
    await worker().take(1);
    await command("remove", id);
    const rescuer = worker();
    await rescuer.look();
    await advance(LEASE_MS + 1);
    await rescuer.look();
    expect(await driver.get(QUEUE, id)).toBeUndefined();
    expect(await counts()).toEqual(NOTHING);
  });

  it("R11: a removal goes before a cancel, whichever was asked first", async ({
    add,
    command,
    counts,
    driver,
    expect,
    worker,
  }) => {
    const [a, b] = await add({}, {});
    const one = worker();
    const jobs = await one.take(2);
    await command("cancel", a);
    await command("remove", a);
    await command("remove", b);
    await command("cancel", b);
    await one.stopped(jobs);
    expect(await driver.get(QUEUE, a)).toBeUndefined();
    expect(await driver.get(QUEUE, b)).toBeUndefined();
    expect(await counts()).toEqual(NOTHING);
  });

  it("R11: remove of a job that is not there affects nothing", async ({ command, expect }) => {
    expect(await command("remove", "nobody")).toEqual({ affected: 0 });
  });

  for (const state of STATES) {
    if (state === "active") continue;
    needs("admin");
    it(`R11: clear of the ${state} jobs leaves all others`, async (scene) => {
      const { add, counts, driver, expect } = scene;
      const { ids } = await oneOfEach(scene);
      if (state === "waiting") await add({ priority: 7 });
      if (state === "delayed") await add({ priority: 7, delayMs: 5 });
      const affected = state === "waiting" || state === "delayed" ? 2 : 1;
      expect(await driver.command({ type: "clear", queue: QUEUE, state })).toEqual({ affected });
      expect(await driver.get(QUEUE, ids[state])).toBeUndefined();
      expect(await counts()).toEqual({ ...EACH, [state]: 0 });
    });
  }

  needs("admin");
  it("R11: clear of the active jobs asks them to stop and leaves all others", async (scene) => {
    const { counts, driver, expect } = scene;
    const { one, held } = await oneOfEach(scene);
    expect(await driver.command({ type: "clear", queue: QUEUE, state: "active" })).toEqual({ affected: 1 });
    expect(await counts()).toEqual(EACH);
    expect((await one.look()).cancel).toEqual([held.token]);
    await one.complete(held);
    expect(await counts()).toEqual({ ...EACH, active: 0 });
  });

  it("R11: clear of a whole queue removes what is there and asks what runs to stop", async (scene) => {
    const { add, counts, driver, expect } = scene;
    const { ids, one, held } = await oneOfEach(scene);
    await add({ queue: "other" }, { queue: `${QUEUE}/completed` }, { queue: `${QUEUE}x` });
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 6 });
    expect(await counts()).toEqual({ ...NOTHING, active: 1 });
    expect((await one.look()).cancel).toEqual([held.token]);
    await one.stopped(held);
    expect(await counts()).toEqual(NOTHING);
    for (const id of Object.values(ids)) expect(await driver.get(QUEUE, id)).toBeUndefined();
    for (const queue of ["other", `${QUEUE}/completed`, `${QUEUE}x`])
      expect((await counts(queue)).waiting, queue).toBe(1);
  });

  it("R11: clear of a long queue leaves what runs and nothing else", async ({
    add,
    counts,
    driver,
    expect,
    worker,
  }) => {
    await add(
      ...Array.from({ length: 2_400 }, (_, n) => ({ priority: n % 4, ...(n % 600 === 0 && { id: `own-${n}` }) })),
    );
    const one = worker();
    const held = await one.claim(50);
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 2_400 });
    expect(await counts()).toEqual({ ...NOTHING, active: 50 });
    await one.complete(held);
    expect(await counts()).toEqual(NOTHING);
  });

  it("R32: clear asks each of 600 running jobs to stop, and leaves what runs of another queue", async (scene) => {
    const { add, driver, expect, worker } = scene;
    await add(...Array.from({ length: 620 }, () => ({})));
    const [other] = await add({ queue: "other" });
    const one = worker({ queues: [QUEUE, "other"] });
    const held: string[] = [];
    while (held.length < 600) held.push(...(await one.claim(600 - held.length, [QUEUE])).map(({ token }) => token));
    expect(await one.claimIds(1, ["other"])).toEqual([other]);
    const running = new Set(held);
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 620 });
    expect(new Set((await one.look()).cancel)).toEqual(running);
    expect(await driver.command({ type: "clear", queue: QUEUE, state: "active" })).toEqual({ affected: 0 });
  });

  it("R11: clear of an empty queue affects nothing", async ({ driver, expect }) => {
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 0 });
    for (const state of STATES)
      expect(await driver.command({ type: "clear", queue: QUEUE, state })).toEqual({ affected: 0 });
  });

  needs("admin", "dedupe");
  it("R11: a cleared queue is as good as new", async ({ add, driver, expect, worker }) => {
    await add({ id: "own", dedupe: { key: "k", mode: "drop" } }, {});
    await driver.command({ type: "clear", queue: QUEUE });
    const ids = await add({ id: "own", dedupe: { key: "k", mode: "drop" } }, {});
    expect(await worker().claimIds(9)).toEqual(ids);
  });
});
