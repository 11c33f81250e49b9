import type { RateLimit } from "@quayside/core";
import { type Scene, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const FOUR_A_SECOND: RateLimit = { max: 4, perMs: 1_000 };
const DAY_MS = 86_400_000;

const limit = ({ driver }: Pick<Scene, "driver">, rateLimit: RateLimit | null, queue = QUEUE) =>
  driver.command({ type: "configure", queue, rateLimit });
const jobs = (count: number): object[] => Array.from({ length: count }, () => ({}));

export const rateLimitCases = verb("rate limit", (it, needs) => {
  needs("rateLimit");
  it("R18: a queue with a rate limit gives max jobs at once, and the next when the first of them is a period old", async (scene) => {
    const { add, advance, expect, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    const ids = await add(...jobs(9));
    const one = worker();
    expect(await one.claimIds(1)).toEqual(ids.slice(0, 1));
    await advance(500);
    expect(await one.claimIds(9)).toEqual(ids.slice(1, 4));
    await advance(499);
    expect(await one.claimIds(9)).toEqual([]);
    await advance(1);
    expect(await one.claimIds(9)).toEqual(ids.slice(4, 5));
    await advance(499);
    expect(await one.claimIds(9)).toEqual([]);
    await advance(1);
    expect(await one.claimIds(9)).toEqual(ids.slice(5, 8));
  });

  for (const { max, perMs, everyMs } of [
    { max: 10, perMs: 1_000, everyMs: 10 },
    { max: 7, perMs: 1_000, everyMs: 13 },
    { max: 3, perMs: 10, everyMs: 1 },
    { max: 1, perMs: 999, everyMs: 111 },
    { max: 100, perMs: 60_000, everyMs: 1_001 },
  ])
    it(`R18: of ${max} per ${perMs} ms no interval sees more start, and at a steady load nine tenths do`, async (scene) => {
      const { add, advance, expect, now, worker } = scene;
      await limit(scene, { max, perMs });
      const one = worker();
      const starts: number[] = [];
      const begin = now();
      const periods = Math.ceil(30 / max) + 2;
      await add(...jobs(max * periods));
      while (now() < begin + periods * perMs) {
        const taken = await one.claim(1 + (starts.length % 2));
        starts.push(...taken.map(() => now()));
        await one.complete(taken);
        await advance(everyMs);
      }
      const within = (from: number) => starts.filter((at) => at >= from && at < from + perMs).length;
      expect(Math.max(...starts.map(within))).toBeLessThanOrEqual(max);
      expect(starts.length).toBeGreaterThanOrEqual(0.9 * max * periods);
    });

  needs("rateLimit");
  it("R18: no more than max start at once, however long nobody came", async (scene) => {
    const { add, advance, expect, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    await add(...jobs(20));
    const one = worker();
    await one.claim(4);
    await advance(10_000);
    expect(await one.claim(20)).toHaveLength(4);
    expect(await one.claim(20)).toEqual([]);
  });

  it("R18: workers on several drivers share one rate limit", async (scene) => {
    const { add, advance, another, expect, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    await add(...jobs(9));
    const one = worker();
    const two = worker({ driver: await another() });
    expect(await one.claim(3)).toHaveLength(3);
    expect(await two.claim(9)).toHaveLength(1);
    expect(await one.claim(9)).toEqual([]);
    await advance(1_000);
    expect(await two.claim(3)).toHaveLength(3);
    expect(await one.claim(9)).toHaveLength(1);
  });

  it("R18: what started counts, whatever becomes of the jobs", async (scene) => {
    const { add, expect, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    await add(...jobs(2));
    const one = worker();
    for (let round = 0; round < 4; round++) await one.release(await one.take(1));
    expect(await one.claim(9)).toEqual([]);
  });

  needs("expiry", "groups", "rateLimit");
  it("R18: jobs that step aside or have expired do not count as started, nor does a repeat", async (scene) => {
    const { add, advance, expect, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    await add({ expiresInMs: 1 }, { name: "unknown" }, { group: { key: "g" } }, { group: { key: "g" } }, ...jobs(4));
    await advance(1);
    const one = worker({ queues: [{ queue: QUEUE, names: ["email"] }] });
    expect(await one.claim(9)).toHaveLength(4);
    await advance(1_000);
    expect((await one.exchange({ limit: 1 })).jobs).toHaveLength(1);
    expect((await one.repeat()).jobs).toHaveLength(1);
    await add(...jobs(9));
    expect(await one.claim(9)).toHaveLength(3);
  });

  needs("rateLimit");
  it("R18: a limit belongs to its queue", async (scene) => {
    const { add, expect, worker } = scene;
    await limit(scene, { max: 1, perMs: 1_000 });
    await add(...jobs(3), { queue: "other" }, { queue: "other" });
    const claimed = await worker({ queues: [QUEUE, "other"] }).claim(9);
    expect(claimed.map(({ job }) => job.queue)).toEqual([QUEUE, "other", "other"]);
  });

  it("R18: what the limit lets through comes by priority", async (scene) => {
    const { add, expect, worker } = scene;
    await limit(scene, { max: 1, perMs: 1_000 });
    const [, high] = await add({}, { priority: 5 });
    expect(await worker().claimIds(9)).toEqual([high]);
  });

  it("R18: after the clock was set back the wait is one period, from then", async (scene) => {
    const { add, advance, expect, jump, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    await add(...jobs(9));
    const one = worker();
    await one.claim(4);
    await jump(-DAY_MS);
    expect(await one.claim(9)).toEqual([]);
    await advance(999);
    expect(await one.claim(9)).toEqual([]);
    await advance(1);
    expect(await one.claim(9)).toHaveLength(4);
  });

  it("R18: a clock that leaps forward lets max start once", async (scene) => {
    const { add, expect, jump, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    await add(...jobs(12));
    const one = worker();
    await one.claim(4);
    await jump(DAY_MS);
    expect(await one.claim(9)).toHaveLength(4);
    await jump(-DAY_MS);
    expect(await one.claim(9)).toEqual([]);
  });

  it("R19: an exchange and nextWake tell when the next job may start, not sooner", async (scene) => {
    const { add, advance, driver, expect, worker } = scene;
    await limit(scene, { max: 3, perMs: 1_000 });
    await add(...jobs(9));
    const one = worker();
    const { nextWakeMs } = await one.exchange({ limit: 9 });
    expect(nextWakeMs).toBe(1_000);
    expect(await driver.nextWake([QUEUE])).toBe(1_000);
    await advance(100);
    expect((await one.exchange({ limit: 9 })).nextWakeMs).toBe(900);
    expect(await driver.nextWake([QUEUE])).toBe(900);
    await advance(900);
    expect(await driver.nextWake([QUEUE])).toBe(0);
    expect((await one.exchange({ limit: 9 })).jobs).toHaveLength(3);
  });

  it("R19: a limit that allows another start before any job is due wakes nobody", async (scene) => {
    const { add, advance, driver, expect, worker } = scene;
    await limit(scene, { max: 1, perMs: 1_000 });
    await add({}, { delayMs: 5_000 });
    const one = worker();
    await one.complete(await one.take(1));
    expect((await one.exchange({ limit: 9 })).nextWakeMs).toBe(5_000);
    expect(await driver.nextWake([QUEUE])).toBe(5_000);
    await advance(5_000);
    expect((await one.exchange({ limit: 9 })).jobs).toHaveLength(1);
    expect((await one.exchange({ limit: 9 })).nextWakeMs).not.toBe(0);
  });

  it("R18: a worker that follows its wake-ups gets the whole rate and does not spin", async (scene) => {
    const { add, advance, expect, now, worker } = scene;
    await limit(scene, { max: 7, perMs: 1_000 });
    await add(...jobs(80));
    const one = worker();
    const start = now();
    let claimed = 0;
    let rounds = 0;
    while (now() < start + 10_000) {
      const { jobs, nextWakeMs } = await one.exchange({ limit: 9 });
      claimed += jobs.length;
      rounds++;
      if (claimed === 80) break;
      if (jobs.length > 0) await one.complete(jobs);
      await advance(Math.min(nextWakeMs ?? 10_000, 10_000));
      if (rounds > 200) throw new Error("The worker spins.");
    }
    expect(claimed).toBe(70);
    expect(rounds).toBeLessThanOrEqual(claimed + 2);
  });

  it("R18: a limit may be changed, and lifted with null", async (scene) => {
    const { add, advance, expect, worker } = scene;
    await limit(scene, { max: 1, perMs: 1_000 });
    await add(...jobs(20));
    const one = worker();
    expect(await one.claim(9)).toHaveLength(1);
    await limit(scene, { max: 3, perMs: 1_000 });
    expect(await one.claim(9)).toHaveLength(2);
    await limit(scene, { max: 2, perMs: 1_000 });
    await advance(999);
    expect(await one.claim(9)).toEqual([]);
    await advance(1);
    expect(await one.claim(9)).toHaveLength(2);
    await limit(scene, null);
    expect(await one.claim(9)).toHaveLength(9);
    expect((await one.exchange({ limit: 1 })).jobs).toHaveLength(1);
  });

  it("R18: a limit that is lowered after a burst counts what started before", async (scene) => {
    const { add, advance, expect, worker } = scene;
    await limit(scene, { max: 10, perMs: 1_000 });
    await add(...jobs(30));
    const one = worker();
    expect(await one.claim(20)).toHaveLength(10);
    await limit(scene, { max: 5, perMs: 1_000 });
    for (const waitMs of [250, 250, 250, 249]) {
      await advance(waitMs);
      expect(await one.claim(20)).toEqual([]);
    }
    await advance(1);
    expect(await one.claim(20)).toHaveLength(5);
  });

  it("R18: after a burst nothing starts in its period, though the queue is paused, resumed and configured alike again", async (scene) => {
    const { add, advance, driver, expect, worker } = scene;
    await add(...jobs(30));
    const one = worker();
    await limit(scene, { max: 10, perMs: 1_000 });
    expect(await one.claim(20)).toHaveLength(10);
    for (const type of ["pause", "resume", "configure"] as const) {
      await advance(300);
      if (type === "configure") await limit(scene, { max: 10, perMs: 1_000 });
      else await driver.command({ type, queue: QUEUE });
      expect(await one.claim(20)).toEqual([]);
    }
    await advance(100);
    expect(await one.claim(20)).toHaveLength(10);
  });

  it("R18: what is not said when a queue is configured stays as it was", async (scene) => {
    const { add, driver, expect, worker } = scene;
    await limit(scene, { max: 2, perMs: 1_000 });
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 5 } });
    await driver.command({ type: "pause", queue: QUEUE });
    await driver.command({ type: "resume", queue: QUEUE });
    await add(...jobs(5));
    expect(await worker().claim(9)).toHaveLength(2);
  });

  it("R18: a worker's own limit and the rate limit both hold", async (scene) => {
    const { add, expect, worker } = scene;
    await limit(scene, FOUR_A_SECOND);
    await add(...jobs(9));
    const one = worker();
    expect(await one.claim(9, [{ queue: QUEUE, limit: 1 }])).toHaveLength(1);
    expect(await one.claim(9, [{ queue: QUEUE, limit: 9 }])).toHaveLength(3);
  });

  it("R18: over several queues each limit counts for itself, whatever steps aside or has been taken before", async (scene) => {
    const { add, expect, worker } = scene;
    await limit(scene, { max: 3, perMs: 1_000 }, "second");
    await add({ queue: "first" }, { queue: "first" }, { queue: "first" });
    const second = { queue: "second" };
    await add({ ...second, name: "unknown" }, second, { ...second, name: "unknown" }, second, second, second, second);
    const one = worker();
    const names = ["email"];
    const claimed = await one.claim(20, [
      { queue: "first", names, limit: 2 },
      { queue: "second", names },
    ]);
    expect(claimed.map(({ job }) => job.queue)).toEqual(["first", "first", "second", "second", "second"]);
    expect(await one.claim(20, [{ queue: "first", limit: 1 }, "second"])).toHaveLength(1);
  });
});
