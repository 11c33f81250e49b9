import { HOUR_MS, hourly, only, pending, schedule } from "./recurrence-schedules.ts";
import { KEEP_NONE, NOTHING, type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about the end of an occurrence, and the next occurrence. */
export const recurrenceOccurrenceCases = verb("recurrences", (it, needs) => {
  needs("recurrences");
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
    // In phase, after the skipped occurrences.
    expect((await only(scene)).nextAt).toBe(nominal + 3 * HOUR_MS);
  });

  it("R24: with overlap skip an occurrence that ends places the next one, also if no ended jobs are kept", async (scene) => {
    const { advance, driver, expect, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    const one = worker();
    await schedule(scene, { ...hourly, overlap: "skip" });
    await advance(HOUR_MS);
    await one.complete(await one.take(1));
    expect(await pending(scene)).toBe(1);
  });

  it("R24: with overlap skip a schedule that changes while an occurrence runs places nothing before its end", async (scene) => {
    const { advance, expect, worker } = scene;
    const one = worker({ leaseMs: 10 * HOUR_MS });
    await schedule(scene, { ...hourly, overlap: "skip" });
    await advance(HOUR_MS);
    const held = await one.take(1);
    await schedule(scene, { kind: "every", everyMs: 2 * HOUR_MS, overlap: "skip" });
    expect(await pending(scene)).toBe(0);
    await advance(2.5 * HOUR_MS);
    expect(await one.claimIds(9)).toEqual([]);
    await one.complete(held);
    expect(await pending(scene)).toBe(1);
    await advance(2 * HOUR_MS);
    expect(await one.claimIds(9)).toHaveLength(1);
  });

  it("R24: with overlap skip a schedule that changes while an occurrence is due places nothing before its end", async (scene) => {
    const { advance, expect, worker } = scene;
    const one = worker({ leaseMs: 10 * HOUR_MS });
    await schedule(scene, { ...hourly, overlap: "skip" });
    await advance(HOUR_MS);
    await schedule(scene, { kind: "every", everyMs: 2 * HOUR_MS, overlap: "skip" });
    await advance(2.5 * HOUR_MS);
    const held = await one.claim(9);
    expect(held).toHaveLength(1);
    await one.complete(held);
    expect(await pending(scene)).toBe(1);
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
    needs("admin", "recurrences");
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

  needs("expiry", "recurrences");
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

  needs("admin", "recurrences");
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

  needs("recurrences");
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

  needs("admin", "recurrences");
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

  needs("recurrences");
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
});
