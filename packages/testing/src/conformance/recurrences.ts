import type { Schedule } from "@quayside/core";
import type { ClaimedJob, NewJob, RecurrenceRule } from "@quayside/core/engine";
import { KEEP_NONE, NOTHING, newJob, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const HOUR_MS = 3_600_000;
const hourly: RecurrenceRule = { kind: "every", everyMs: HOUR_MS };

const schedule = (
  { driver }: Pick<Scene, "driver">,
  rule: RecurrenceRule = hourly,
  job: Partial<NewJob> = {},
  key = "tidy",
) => driver.command({ type: "schedule", queue: QUEUE, key, rule, job: newJob(job) });

/** The recurrence as it stands, which must exist. */
async function only({ driver, expect }: Pick<Scene, "driver" | "expect">): Promise<Schedule> {
  const found = await driver.schedules(QUEUE);
  expect(found).toHaveLength(1);
  return found[0] as Schedule;
}

/** Jobs that wait or are delayed. */
async function pending({ counts }: Pick<Scene, "counts">): Promise<number> {
  const { waiting, delayed } = await counts();
  return waiting + delayed;
}

export const recurrencesCases = verb("recurrences", (it) => {
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
      // The claim has placed the next.
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
    // Said again, it does not begin again; another rule does.
    expect(await schedule(scene, { ...hourly, limit: 3 })).toEqual({ affected: 0 });
    expect(await schedule(scene, { ...hourly, limit: 4 })).toEqual({ affected: 1 });
    expect(await pending(scene)).toBe(1);
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
    // A start that is still to come is a change.
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

  it("R24: with overlap skip nothing is placed while an occurrence has not ended, its retries included", async (scene) => {
    const { advance, expect, now, worker } = scene;
    const one = worker({ leaseMs: 10 * HOUR_MS });
    await schedule(scene, { ...hourly, overlap: "skip" }, { maxAttempts: 2 });
    await advance(HOUR_MS);
    const [held] = await one.take(1);
    expect(await pending(scene)).toBe(0);
    await advance(2.5 * HOUR_MS);
    expect(await one.claimIds(9)).toEqual([]);
    await one.retry(held, 1_000);
    expect(await pending(scene)).toBe(1);
    await advance(1_000);
    const [again] = await one.take(1);
    const nominal = now() - 1_000 - 2.5 * HOUR_MS;
    await one.complete([again]);
    // In phase, after what was left out.
    expect((await only(scene)).nextAt).toBe(nominal + 3 * HOUR_MS);
  });

  it("R24: after a clock that was a year ahead was set back, no occurrence and no retry is further away than its own delay", async (scene) => {
    const { add, advance, expect, job, jump, now, worker } = scene;
    const YEAR_MS = 365 * 24 * HOUR_MS;
    await schedule(scene);
    await jump(YEAR_MS);
    const one = worker();
    const held = await one.claim(9);
    expect(held).toHaveLength(1);
    await one.complete(held);
    const [failing, later] = await add(
      { backoff: { kind: "fixed", delayMs: 7_000, maxMs: 7_000, jitter: 0 } },
      { delayMs: 30_000 },
    );
    const [attempt] = await one.take(1);
    await one.retry(attempt, 7_000);
    await advance(60_000 * 2);
    await jump(-YEAR_MS);
    for (let look = 0; look < 5; look++) await one.look();
    expect(((await only(scene)).nextAt ?? 0) - now()).toBeLessThanOrEqual(HOUR_MS);
    for (const [id, delayMs] of [
      [failing, 7_000],
      [later, 30_000],
    ] as const) {
      const { state, availableAt } = await job(id);
      expect(state === "active" || availableAt - now() <= delayMs).toBe(true);
    }
    await advance(HOUR_MS);
    const due = await one.claim(9);
    expect(due.map(({ job: { recurrence } }) => recurrence)).toContain("tidy");
  });

  for (const [end, happens] of [
    ["cancelled", ({ command }, id) => command("cancel", id)],
    ["removed", ({ command }, id) => command("remove", id)],
    ["cleared away", ({ driver }) => driver.command({ type: "clear", queue: QUEUE })],
  ] as readonly (readonly [string, (scene: Scene, id: string) => Promise<unknown>])[]) {
    it(`R24: when the pending occurrence is ${end}, the next is placed`, async (scene) => {
      const { advance, driver, expect, now, worker } = scene;
      const start = now();
      await schedule(scene);
      const { nextId = "" } = await only(scene);
      await happens(scene, nextId);
      const after = await only(scene);
      expect(after.nextAt).toBe(start + 2 * HOUR_MS);
      expect(after.nextId === nextId).toBe(false);
      expect(await driver.get(QUEUE, after.nextId ?? "")).toMatchObject({ state: "delayed" });
      const one = worker();
      await advance(HOUR_MS);
      expect(await one.claimIds(9)).toEqual([]);
      await advance(HOUR_MS);
      expect(await one.claimIds(9)).toEqual([after.nextId]);
      expect(await pending(scene)).toBe(1);
    });
  }

  it("R24: when the pending occurrence expires, the next is placed", async (scene) => {
    const { advance, counts, expect, now, worker } = scene;
    const start = now();
    await schedule(scene, hourly, { expiresInMs: 60_000 });
    const one = worker();
    await advance(HOUR_MS + 60_000);
    expect(await one.claimIds(9)).toEqual([]);
    expect(await counts()).toEqual({ ...NOTHING, failed: 1, delayed: 1 });
    expect((await only(scene)).nextAt).toBe(start + 2 * HOUR_MS);
    await advance(HOUR_MS - 60_000);
    expect(await one.claim(9)).toHaveLength(1);
  });

  it("R24: an operator's retry of an old occurrence places no other", async (scene) => {
    const { advance, command, expect, worker } = scene;
    await schedule(scene);
    await advance(HOUR_MS);
    const one = worker();
    const [held] = await one.take(1);
    await one.fail(held);
    const before = await only(scene);
    await command("retry", held.job.id);
    expect(await pending(scene)).toBe(2);
    const [again] = await one.take(1);
    expect(again.job.id).toBe(held.job.id);
    expect(await only(scene)).toEqual(before);
    await one.complete(again);
    await command("cancel", before.nextId ?? "");
    await command("retry", before.nextId ?? "");
    expect(await pending(scene)).toBe(2);
    await one.complete(await one.take(1));
    expect(await pending(scene)).toBe(1);
  });

  it("R24: retries, releases and crashes of an occurrence place no other", async (scene) => {
    const { advance, expect, interrupt, untilDue, worker } = scene;
    await schedule(scene, { kind: "every", everyMs: 100 * HOUR_MS });
    await advance(100 * HOUR_MS);
    const one = worker();
    const [held] = await one.take(1);
    const before = await only(scene);
    await one.retry(held, 0);
    await one.release(await one.take(1), 1);
    await untilDue(held.job.id);
    await interrupt(one);
    await untilDue(held.job.id);
    await one.complete(await one.take(1));
    expect(await only(scene)).toEqual(before);
    expect(await pending(scene)).toBe(1);
  });

  it("R24: a failing occurrence does not stop the next", async (scene) => {
    const { advance, counts, driver, expect, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    await schedule(scene, hourly, { maxAttempts: 1 });
    const one = worker();
    for (let n = 0; n < 4; n++) {
      await advance(HOUR_MS);
      await one.fail(await one.take(1));
    }
    expect(await counts()).toEqual({ ...NOTHING, delayed: 1 });
  });

  it("R24: two drivers yield one occurrence, each", async (scene) => {
    const { advance, another, expect, worker } = scene;
    await schedule(scene);
    const one = worker();
    const two = worker({ driver: await another() });
    for (let n = 0; n < 4; n++) {
      await advance(HOUR_MS);
      const claimed = await Promise.all([one.claim(9), two.claim(9)]);
      expect(claimed.flat()).toHaveLength(1);
      expect(await pending(scene)).toBe(1);
      await one.complete(claimed[0] ?? []);
      await two.complete(claimed[1] ?? []);
    }
  });

  it("R24: two sides whose clocks are slightly apart yield one occurrence, each time", async (scene) => {
    const { advance, another, expect, jump, now, worker } = scene;
    const start = now();
    await schedule(scene);
    const ahead = worker();
    const behind = worker({ driver: await another() });
    for (let n = 1; n <= 3; n++) {
      await advance(HOUR_MS - 40);
      await jump(40);
      const held = await ahead.claim(9);
      expect(held).toHaveLength(1);
      await jump(-40);
      expect(await behind.claimIds(9)).toEqual([]);
      await ahead.complete(held);
      expect(await behind.claimIds(9)).toEqual([]);
      await advance(40);
      expect(await behind.claimIds(9)).toEqual([]);
      expect(await pending(scene)).toBe(1);
      expect((await only(scene)).nextAt).toBe(start + (n + 1) * HOUR_MS);
    }
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

  it("R24: a promoted occurrence runs now, and the next at its own instant", async (scene) => {
    const { command, expect, now, worker } = scene;
    const start = now();
    await schedule(scene);
    await command("promote", (await only(scene)).nextId ?? "");
    const one = worker();
    await one.complete(await one.take(1));
    expect((await only(scene)).nextAt).toBe(start + 2 * HOUR_MS);
    expect(await pending(scene)).toBe(1);
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

  it("R16: occurrences keep their group and its limit", async (scene) => {
    const { add, advance, expect, worker } = scene;
    const group = (limit?: number) => ({ group: { key: "g", ...(limit && { limit }) } });
    await schedule(scene, hourly, group(2));
    await advance(HOUR_MS);
    await add(group(), group());
    const held = await worker().claim(9);
    expect(held).toHaveLength(2);
  });

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

  it("R24: with the clock set back, an occurrence is placed once and not twice", async (scene) => {
    const { advance, expect, jump, worker } = scene;
    await schedule(scene);
    await advance(HOUR_MS);
    const one = worker();
    await one.complete(await one.take(1));
    await jump(-3 * HOUR_MS);
    expect(await one.claimIds(9)).toEqual([]);
    expect(await pending(scene)).toBe(1);
    await advance(4 * HOUR_MS);
    expect(await one.claim(9)).toHaveLength(1);
    expect(await pending(scene)).toBe(1);
  });

  it("R24: cron is refused by a driver that was given none, and nothing is stored", async (scene) => {
    const { counts, driver, expect } = scene;
    let code: string | undefined;
    try {
      await schedule(scene, { kind: "cron", cron: "0 * * * *" });
    } catch (error) {
      code = (error as { code?: string }).code;
    }
    // A driver that knows cron has placed it.
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

  it("R24: an occurrence belongs to the queue of its recurrence", async (scene) => {
    const { advance, expect, worker } = scene;
    await schedule(scene, hourly, { queue: "elsewhere" });
    await advance(HOUR_MS);
    const held: readonly ClaimedJob[] = await worker().claim(9);
    expect(held.map(({ job }) => job.queue)).toEqual([QUEUE]);
  });
});
