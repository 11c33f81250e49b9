import type { NewJob, RecurrenceRule } from "@quayside/core/engine";
import { HOUR_MS, hourly, only, pending, schedule } from "./recurrence-schedules.ts";
import { NOTHING, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about recurrences that are set again, changed or removed. */
export const recurrenceChangeCases = verb("recurrences", (it, needs) => {
  needs("expiry", "groups", "recurrences");
  it("R24: another payload or option changes the pending occurrence in place: phase, id and count stay", async (scene) => {
    const { advance, expect, job, now, worker } = scene;
    const start = now();
    await schedule(scene, hourly, { payload: '{"n":1}' });
    const { nextId = "" } = await only(scene);
    await advance(HOUR_MS / 2);
    const changes: Partial<NewJob>[] = [
      { payload: '{"n":2}' },
      { payload: '{"n":3}', priority: 5, tags: ["t"] },
      { payload: '{"n":4}', maxAttempts: 7, group: { key: "tidy", limit: 2 } },
      { payload: '{"n":5}', expiresInMs: 1_000 },
    ];
    for (const change of changes) {
      expect(await schedule(scene, hourly, change)).toEqual({ affected: 1 });
      expect(await only(scene)).toMatchObject({ nextAt: start + HOUR_MS, nextId, count: 1 });
      expect(await pending(scene)).toBe(1);
    }
    expect(await job(nextId)).toMatchObject({ payload: { n: 5 }, priority: 0, expiresAt: start + HOUR_MS + 1_000 });
    await advance(HOUR_MS / 2);
    const [held] = await worker().claim(9);
    expect(held?.job).toMatchObject({ id: nextId, payload: { n: 5 }, recurrence: "tidy" });
    expect((await only(scene)).nextAt).toBe(start + 2 * HOUR_MS);
  });

  needs("recurrences");
  it("R24: the order of keys in payload and options is no change", async (scene) => {
    const { advance, expect, now } = scene;
    const start = now();
    await schedule(scene, hourly, { payload: '{"a":1,"b":{"c":2,"d":[1,{"x":1,"y":2}]}}' });
    await advance(1_000);
    const other = { payload: '{"b":{"d":[1,{"y":2,"x":1}],"c":2},"a":1}' };
    expect(await schedule(scene, hourly, other)).toEqual({ affected: 0 });
    expect((await only(scene)).nextAt).toBe(start + HOUR_MS);
  });

  it("R24: said at every start with another payload it runs at its instants all the same", async (scene) => {
    const { advance, expect, worker } = scene;
    const one = worker();
    let runs = 0;
    for (let start = 0; start < 10; start++) {
      await schedule(scene, hourly, { payload: `{"start":${start}}` });
      const held = await one.claim(9);
      runs += held.length;
      await one.complete(held);
      await advance(HOUR_MS / 2);
    }
    expect(runs).toBe(4);
  });

  it("R24: an occurrence that is due runs although the interval changes; then the new interval counts", async (scene) => {
    const { advance, expect, now, worker } = scene;
    await schedule(scene, hourly, { payload: "1" });
    await advance(HOUR_MS + 5);
    await schedule(scene, { kind: "every", everyMs: 2 * HOUR_MS }, { payload: "2" });
    expect((await only(scene)).nextAt).toBe(now() + 2 * HOUR_MS);
    const one = worker();
    const held = await one.claim(9);
    expect(held.map(({ job }) => job.payload)).toEqual([1]);
    await one.complete(held);
    expect(await pending(scene)).toBe(1);
    await advance(2 * HOUR_MS);
    expect((await one.claim(9)).map(({ job }) => job.payload)).toEqual([2]);
  });

  it("R24: a startAt that has been honoured is no change, whatever it is by then", async (scene) => {
    const { advance, expect, now, worker } = scene;
    const one = worker();
    const start = now();
    let runs = 0;
    for (let n = 0; n < 10; n++) {
      await schedule(scene, { ...hourly, startAt: now() });
      const held = await one.claim(9);
      runs += held.length;
      await one.complete(held);
      await advance(60_000);
    }
    expect(runs).toBe(1);
    expect((await only(scene)).nextAt).toBe(start + HOUR_MS);
    // A start in the future is a change.
    expect(await schedule(scene, { ...hourly, startAt: now() + 3 * HOUR_MS })).toEqual({ affected: 1 });
    expect((await only(scene)).nextAt).toBe(now() + 3 * HOUR_MS);
  });

  it("R24: a limit counts over repeated schedules; a raised one goes on, a lowered one ends", async (scene) => {
    const { advance, expect, worker } = scene;
    const one = worker();
    const run = async (limit: number) => {
      await schedule(scene, { ...hourly, limit }, { payload: `{"at":${Math.random()}}` });
      await advance(HOUR_MS);
      const held = await one.claim(9);
      await one.complete(held);
      return held.length;
    };
    expect([await run(3), await run(3), await run(3), await run(3), await run(3)]).toEqual([1, 1, 1, 0, 0]);
    expect(await run(5)).toBe(1);
    await schedule(scene, { ...hourly, limit: 2 });
    expect(await pending(scene)).toBe(0);
  });

  it("R24: immediately asks for a first run now, once", async (scene) => {
    const { advance, expect, now, worker } = scene;
    const one = worker();
    const start = now();
    const rule: RecurrenceRule = { ...hourly, immediately: true };
    const runs: number[] = [];
    for (let n = 0; n < 4; n++) {
      await schedule(scene, rule, { payload: `${n}` });
      const held = await one.claim(9);
      runs.push(held.length);
      await one.complete(held);
      await advance(HOUR_MS / 4);
    }
    expect(runs).toEqual([1, 0, 0, 0]);
    expect((await only(scene)).nextAt).toBe(start + HOUR_MS);
  });

  it("R24: the same schedule again changes nothing, so an app may say it at every start", async (scene) => {
    const { advance, another, expect } = scene;
    await schedule(scene, hourly, { payload: "1", tags: ["a"] });
    const before = await only(scene);
    await advance(60_000);
    expect(await schedule(scene, hourly, { payload: "1", tags: ["a"] })).toEqual({ affected: 0 });
    const other = await another();
    expect(await schedule({ driver: other }, hourly, { payload: "1", tags: ["a"] })).toEqual({ affected: 0 });
    expect(await only(scene)).toEqual(before);
    expect(await pending(scene)).toBe(1);
  });

  it("R24: another rule or job replaces the pending occurrence", async (scene) => {
    const { advance, driver, expect, job, now } = scene;
    await schedule(scene);
    const { nextId = "" } = await only(scene);
    await advance(60_000);
    expect(await schedule(scene, { kind: "every", everyMs: 2 * HOUR_MS })).toEqual({ affected: 1 });
    expect(await driver.get(QUEUE, nextId)).toBeUndefined();
    expect((await only(scene)).nextAt).toBe(now() + 2 * HOUR_MS);
    await schedule(scene, { kind: "every", everyMs: 2 * HOUR_MS }, { payload: '"new"' });
    expect((await job((await only(scene)).nextId ?? "")).payload).toBe("new");
    expect(await pending(scene)).toBe(1);
  });

  it("R24: scheduled again and again in haste, one occurrence is left", async (scene) => {
    const { advance, another, expect, worker } = scene;
    const other = await another();
    await Promise.all(
      Array.from({ length: 12 }, (_, n) =>
        schedule(n % 2 ? scene : { driver: other }, hourly, { payload: `${n}`, ...(n % 3 === 0 && { priority: n }) }),
      ),
    );
    expect(await pending(scene)).toBe(1);
    await advance(HOUR_MS);
    expect(await worker().claim(99)).toHaveLength(1);
  });

  it("R24: a running occurrence goes on when its recurrence is changed or ended", async (scene) => {
    const { advance, driver, expect, job, worker } = scene;
    await schedule(scene);
    await advance(HOUR_MS);
    const one = worker();
    const [held] = await one.take(1);
    await schedule(scene, hourly, { payload: '"new"' });
    expect((await job(held.job.id)).state).toBe("active");
    expect(await driver.command({ type: "unschedule", queue: QUEUE, key: "tidy" })).toEqual({ affected: 1 });
    expect((await one.complete(held)).lost).toEqual([]);
    expect((await job(held.job.id)).state).toBe("completed");
    expect(await pending(scene)).toBe(0);
  });

  it("R24: unschedule takes the pending occurrence with it, without a trace", async (scene) => {
    const { advance, counts, driver, expect } = scene;
    await schedule(scene);
    await schedule(scene, hourly, {}, "other");
    expect(await driver.command({ type: "unschedule", queue: QUEUE, key: "tidy" })).toEqual({ affected: 1 });
    expect(await driver.command({ type: "unschedule", queue: QUEUE, key: "tidy" })).toEqual({ affected: 0 });
    expect(await driver.command({ type: "unschedule", queue: QUEUE, key: "nobody" })).toEqual({ affected: 0 });
    expect((await only(scene)).key).toBe("other");
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
    await advance(HOUR_MS);
    expect(await pending(scene)).toBe(1);
  });
});
