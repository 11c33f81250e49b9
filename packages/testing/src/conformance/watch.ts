import type { Driver } from "@quayside/core";
import type { AttemptReport, Change } from "@quayside/core/engine";
import { type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/**
 * Returns those of `kinds` of which `driver` reports a change during or after `act`. Moves the clock until all have come,
 * because a driver may report late.
 */
async function tells(
  { advance, counts }: Scene,
  driver: Driver,
  kinds: readonly Change["kind"][],
  act: () => Promise<unknown>,
): Promise<readonly Change["kind"][]> {
  const told = new Set<Change["kind"]>();
  const stop = driver.watch(({ queue, kind }) => {
    if (queue === QUEUE) told.add(kind);
  });
  await act();
  for (let round = 0; round < 1_000 && !kinds.every((kind) => told.has(kind)); round++) {
    await counts();
    await advance(100);
  }
  stop();
  return kinds.filter((kind) => told.has(kind));
}

export const watchCases = verb("watch", (it, needs) => {
  for (const [side, other] of [
    ["the driver that did it", false],
    ["another driver on the same records", true],
  ] as const) {
    needs();
    it(`R11: ${side} tells of jobs added, claimed, asked to stop and ended, and of settings`, async (scene) => {
      const { add, another, command, driver, expect, worker } = scene;
      const listening = other ? await another() : driver;
      const one = worker();
      const [id] = await add({ delayMs: 1 });
      expect(await tells(scene, listening, ["ready"], () => add({}))).toEqual(["ready"]);
      await command("remove", id);
      expect(await tells(scene, listening, ["active"], () => one.claim(1))).toEqual(["active"]);
      const [running] = await add({});
      const [held] = await one.take(1);
      expect(await tells(scene, listening, ["cancel"], () => command("cancel", running))).toEqual(["cancel"]);
      expect(await tells(scene, listening, ["ended"], () => one.stopped(held))).toEqual(["ended"]);
      expect(
        await tells(scene, listening, ["settings"], () => driver.command({ type: "pause", queue: QUEUE })),
      ).toEqual(["settings"]);
      expect(
        await tells(scene, listening, ["settings"], () => driver.command({ type: "resume", queue: QUEUE })),
      ).toEqual(["settings"]);
    });
  }

  for (const [side, other] of [
    ["the driver that wrote it", false],
    ["another driver on the same records", true],
  ] as const) {
    needs();
    it(`R9: ${side} tells of progress and of log lines, when they can be read`, async (scene) => {
      const { add, another, driver, expect, job, worker } = scene;
      const listening = other ? await another() : driver;
      const one = worker();
      const [id] = await add({});
      const [{ token }] = await one.take(1);
      const report = (progress: AttemptReport) =>
        tells(scene, listening, ["progress"], () => one.exchange({ progress: [progress] }));
      expect(await report({ token, value: 0.5 })).toEqual(["progress"]);
      expect(await job(id)).toMatchObject({ progress: 0.5 });
      expect(await report({ token, log: ["half"] })).toEqual(["progress"]);
      expect(await job(id)).toMatchObject({ logs: ["half"] });
    });
  }

  needs();
  it("R11: who stopped listening is told nothing", async ({ add, driver, expect }) => {
    const told: Change[] = [];
    const stop = driver.watch((change) => void told.push(change));
    stop();
    stop();
    await add({});
    expect(told).toEqual([]);
  });

  needs("admin", "groups", "unknownNames");
  it("R11: what is given back, comes out of a full queue's or a group's way, or is forgotten, is told of", async (scene) => {
    const { add, driver, expect, worker, command } = scene;
    const one = worker();
    const [id] = await add({});
    await one.take(1);
    expect(await tells(scene, driver, ["ready"], () => one.exchange({ running: [] }))).toEqual(["ready"]);
    expect(await tells(scene, driver, ["ready"], async () => one.release(await one.take(1)))).toEqual(["ready"]);
    await one.complete(await one.take(1));
    expect(await tells(scene, driver, ["ended"], () => command("remove", id))).toEqual(["ended"]);
    const group = { group: { key: "g" } };
    await add(group, group);
    const held = await one.claim(9);
    expect(await tells(scene, driver, ["ready"], () => one.complete(held))).toEqual(["ready"]);
    const two = worker({ queues: [{ queue: QUEUE, names: ["other"] }] });
    expect(await tells(scene, driver, ["ready"], () => two.claim(1))).toEqual(["ready"]);
    const [next] = await add({ delayMs: 60_000 });
    expect(
      await tells(scene, driver, ["ready"], () =>
        driver.command({ type: "update", queue: QUEUE, id: next, payload: "1" }),
      ),
    ).toEqual(["ready"]);
  });
});
