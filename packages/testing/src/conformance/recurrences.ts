import type { ClaimedJob } from "@quayside/core/engine";
import { HOUR_MS, hourly, only, pending, schedule } from "./recurrence-schedules.ts";
import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about the times at which a recurrence runs. */
export const recurrencesCases = verb("recurrences", (it, needs) => {
  needs("recurrences");
  it("R24: a recurrence runs at its instants, one occurrence pending at a time", async (scene) => {
    const { advance, counts, expect, job, now, worker } = scene;
    const start = now();
    expect(await schedule(scene, hourly, { payload: '"sweep"', priority: 3, tags: ["t"] })).toEqual({ affected: 1 });
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
    const one = worker();
    for (let n = 1; n <= 4; n++) {
      await advance(HOUR_MS - 1);
      expect(await one.claimIds(9)).toEqual([]);
      await advance(1);
      const held = await one.claim(9);
      expect(held).toHaveLength(1);
      expect(held[0]?.job).toMatchObject({
        payload: "sweep",
        priority: 3,
        tags: ["t"],
        recurrence: "tidy",
        availableAt: start + n * HOUR_MS,
      });
      // The claim has placed the next occurrence.
      const { nextAt, nextId, count } = await only(scene);
      expect(nextAt).toBe(start + (n + 1) * HOUR_MS);
      expect(count).toBe(n + 1);
      expect(await job(nextId ?? "")).toMatchObject({ state: "delayed", availableAt: nextAt });
      await one.complete(held);
      expect(await pending(scene)).toBe(1);
    }
  });

  it("R24: schedules tells what recurs in a queue, and nothing of other queues", async (scene) => {
    const { driver, expect, now } = scene;
    expect(await driver.schedules(QUEUE)).toEqual([]);
    await schedule(scene, hourly, { name: "b", payload: "2" }, "b");
    await schedule(scene, { ...hourly, limit: 5 }, { name: "a", payload: '{"n":1}' }, "a");
    await driver.command({ type: "schedule", queue: "mail2", key: "x", rule: hourly, job: newJob({ queue: "mail2" }) });
    await driver.command({
      type: "schedule",
      queue: "mail/x",
      key: "y",
      rule: hourly,
      job: newJob({ queue: "mail/x" }),
    });
    const found = await driver.schedules(QUEUE);
    expect(found.map(({ nextId: _, ...rest }) => rest)).toEqual([
      {
        key: "a",
        queue: QUEUE,
        rule: { ...hourly, limit: 5 },
        name: "a",
        payload: { n: 1 },
        nextAt: now() + HOUR_MS,
        count: 1,
      },
      { key: "b", queue: QUEUE, rule: hourly, name: "b", payload: 2, nextAt: now() + HOUR_MS, count: 1 },
    ]);
    expect((await driver.schedules("mail/x")).map(({ key }) => key)).toEqual(["y"]);
  });

  it("R24: a late run does not shift those after it", async (scene) => {
    const { advance, expect, now, worker } = scene;
    const start = now();
    await schedule(scene);
    await advance(HOUR_MS + 1_234);
    const one = worker();
    await one.complete(await one.take(1));
    expect((await only(scene)).nextAt).toBe(start + 2 * HOUR_MS);
  });

  it("R24: a missed stretch runs once, then the recurrence follows its clock again", async (scene) => {
    const { advance, expect, now, worker } = scene;
    const start = now();
    await schedule(scene);
    await advance(100.5 * HOUR_MS);
    const one = worker();
    await one.complete(await one.take(1));
    expect(await one.claimIds(9)).toEqual([]);
    expect((await only(scene)).nextAt).toBe(start + 101 * HOUR_MS);
    await advance(HOUR_MS / 2);
    expect(await one.claim(9)).toHaveLength(1);
    expect(await pending(scene)).toBe(1);
  });

  it("R24: a run that takes longer than its interval leaves one occurrence pending, not many", async (scene) => {
    const { advance, expect, worker } = scene;
    await schedule(scene);
    await advance(HOUR_MS);
    const one = worker({ leaseMs: 100 * HOUR_MS });
    const held = await one.take(1);
    await advance(5.5 * HOUR_MS);
    expect(await pending(scene)).toBe(1);
    await one.complete(held);
    await one.complete(await one.take(1));
    expect(await one.claimIds(9)).toEqual([]);
    expect(await pending(scene)).toBe(1);
  });

  it("R24: a paused queue catches up with one", async (scene) => {
    const { advance, driver, expect, worker } = scene;
    await schedule(scene);
    await driver.command({ type: "pause", queue: QUEUE });
    const one = worker();
    for (let n = 0; n < 5; n++) {
      await advance(HOUR_MS);
      expect(await one.claimIds(9)).toEqual([]);
    }
    await driver.command({ type: "resume", queue: QUEUE });
    await one.complete(await one.take(1));
    expect(await one.claimIds(9)).toEqual([]);
  });

  it("R24: a limit ends the recurrence after so many occurrences", async (scene) => {
    const { advance, counts, expect, worker } = scene;
    await schedule(scene, { ...hourly, limit: 3 });
    const one = worker();
    for (let n = 0; n < 5; n++) {
      await advance(HOUR_MS);
      await one.complete(await one.claim(9));
    }
    expect(await counts()).toEqual({ ...NOTHING, completed: 3 });
    const { nextAt, nextId, count } = await only(scene);
    expect({ nextAt, nextId, count }).toEqual({ nextAt: undefined, nextId: undefined, count: 3 });
    // Setting the same rule again does not restart the recurrence; another rule does.
    expect(await schedule(scene, { ...hourly, limit: 3 })).toEqual({ affected: 0 });
    expect(await schedule(scene, { ...hourly, limit: 4 })).toEqual({ affected: 1 });
    expect(await pending(scene)).toBe(1);
  });

  it("R42: an ended recurrence is kept for 30 days after it was last scheduled, then deleted", async (scene) => {
    const { advance, driver, expect, worker } = scene;
    await schedule(scene, { ...hourly, limit: 1 });
    const one = worker();
    await advance(HOUR_MS);
    await one.complete(await one.take(1));
    await advance(29 * 24 * HOUR_MS);
    expect(await schedule(scene, { ...hourly, limit: 1 })).toEqual({ affected: 0 });
    await advance(29 * 24 * HOUR_MS);
    await one.claim(9);
    expect(await driver.schedules(QUEUE)).toMatchObject([{ count: 1 }]);
    await advance(2 * 24 * HOUR_MS);
    await one.claim(9);
    expect(await driver.schedules(QUEUE)).toEqual([]);
  });

  it("R24: it begins at startAt and ends at endAt, that instant included", async (scene) => {
    const { advance, expect, now, worker } = scene;
    const startAt = now() + 500;
    await schedule(scene, { ...hourly, startAt, endAt: startAt + 2 * HOUR_MS });
    expect((await only(scene)).nextAt).toBe(startAt);
    const one = worker();
    await advance(500);
    const instants: number[] = [];
    for (let n = 0; n < 5; n++) {
      const held = await one.claim(9);
      instants.push(...held.map(({ job }) => job.availableAt));
      await one.complete(held);
      await advance(HOUR_MS);
    }
    expect(instants).toEqual([startAt, startAt + HOUR_MS, startAt + 2 * HOUR_MS]);
    expect(await pending(scene)).toBe(0);
  });

  it("R24: a startAt in the past is a missed stretch: it runs once, at once, and then by its clock", async (scene) => {
    const { advance, expect, now, worker } = scene;
    const startAt = now() - 10.5 * HOUR_MS;
    await schedule(scene, { ...hourly, startAt });
    const one = worker();
    await one.complete(await one.take(1));
    expect(await one.claimIds(9)).toEqual([]);
    expect((await only(scene)).nextAt).toBe(startAt + 11 * HOUR_MS);
    await advance(HOUR_MS / 2);
    expect(await one.claim(9)).toHaveLength(1);
  });

  it("R24: one that can never occur is refused, and nothing is stored", async (scene) => {
    const { driver, expect, now, refused } = scene;
    for (const bounds of [{ endAt: now() + 1 }, { endAt: now() - 5 }, { startAt: now() + 1_000, endAt: now() + 500 }])
      await refused(schedule(scene, { ...hourly, ...bounds }), "invalid_option");
    expect(await pending(scene)).toBe(0);
    expect(await driver.schedules(QUEUE)).toEqual([]);
  });

  it("R19: the exchange that claims an occurrence tells when the next is due", async (scene) => {
    const { advance, driver, expect, worker } = scene;
    await schedule(scene);
    expect(await driver.nextWake([QUEUE])).toBe(HOUR_MS);
    await advance(HOUR_MS);
    const one = worker();
    const { jobs, nextWakeMs } = await one.exchange({ limit: 9 });
    expect(nextWakeMs).toBe(HOUR_MS);
    await one.complete(jobs);
  });

  needs("groups", "recurrences");
  it("R16: occurrences keep their group and its limit", async (scene) => {
    const { add, advance, expect, worker } = scene;
    const group = (limit?: number) => ({ group: { key: "g", ...(limit && { limit }) } });
    await schedule(scene, hourly, group(2));
    await advance(HOUR_MS);
    await add(group(), group());
    const held = await worker().claim(9);
    expect(held).toHaveLength(2);
  });

  needs("recurrences");
  it("R24: other keys and queues recur by themselves", async (scene) => {
    const { advance, driver, expect, worker } = scene;
    await schedule(scene, hourly, {}, "a/b");
    await schedule(scene, hourly, {}, "a");
    await driver.command({ type: "schedule", queue: "other", key: "a", rule: hourly, job: newJob({ queue: "other" }) });
    await driver.command({ type: "unschedule", queue: QUEUE, key: "a" });
    await advance(HOUR_MS);
    const held = await worker({ queues: [QUEUE, "other"] }).claim(9);
    expect(held.map(({ job }) => [job.queue, job.recurrence])).toEqual([
      [QUEUE, "a/b"],
      ["other", "a"],
    ]);
  });

  it("R24: cron is refused by a driver that was given none, and nothing is stored", async (scene) => {
    const { counts, driver, expect } = scene;
    let code: string | undefined;
    try {
      await schedule(scene, { kind: "cron", cron: "0 * * * *" });
    } catch (error) {
      code = (error as { code?: string | undefined }).code;
    }
    // A driver with cron has placed the occurrence.
    if (code === undefined) expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
    else {
      expect(code).toBe("invalid_option");
      expect(await driver.schedules(QUEUE)).toEqual([]);
      expect(await counts()).toEqual(NOTHING);
    }
  });

  for (const [part, change] of [
    ["key", { key: "" }],
    ["key", { key: "\ud800" }],
    ["queue", { queue: "\udfff" }],
    ["job name", { job: newJob({ name: "\ud800" }) }],
    ["group key", { job: newJob({ group: { key: "\ud800" } }) }],
  ] as readonly (readonly [string, object])[]) {
    needs("recurrences");
    it(`R4: a schedule is refused whose ${part} cannot be stored: ${JSON.stringify(change)}`, async (scene) => {
      const { driver, expect, refused } = scene;
      await refused(
        driver.command({ type: "schedule", queue: QUEUE, key: "k", rule: hourly, job: newJob(), ...change }),
        "invalid_option",
      );
      expect(await driver.schedules(QUEUE)).toEqual([]);
      expect(await pending(scene)).toBe(0);
    });
  }

  needs("recurrences");
  it("R24: an occurrence belongs to the queue of its recurrence", async (scene) => {
    const { advance, expect, worker } = scene;
    await schedule(scene, hourly, { queue: "elsewhere" });
    await advance(HOUR_MS);
    const held: readonly ClaimedJob[] = await worker().claim(9);
    expect(held.map(({ job }) => job.queue)).toEqual([QUEUE]);
  });
});
