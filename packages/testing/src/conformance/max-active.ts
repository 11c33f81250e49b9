import { type Scene, verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

const atMost = ({ driver }: Pick<Scene, "driver">, maxActive: number | null, queue = QUEUE) =>
  driver.command({ type: "configure", queue, maxActive });
const jobs = (count: number): object[] => Array.from({ length: count }, () => ({}));

export const maxActiveCases = verb("max active", (it, needs) => {
  needs("maxActive");
  it("R18: at most so many jobs of a queue run at once, over all workers and drivers", async (scene) => {
    const { add, another, counts, expect, worker } = scene;
    await atMost(scene, 3);
    await add(...jobs(9));
    const one = worker();
    const two = worker({ driver: await another() });
    const first = await one.claim(2);
    expect(first).toHaveLength(2);
    expect(await two.claim(9)).toHaveLength(1);
    expect(await one.claim(9)).toEqual([]);
    await one.complete(first.slice(0, 1));
    expect(await two.claim(9)).toHaveLength(1);
    expect((await counts()).active).toBe(3);
  });

  it("R18: a slot is free in the very exchange that settles", async (scene) => {
    const { add, expect, worker } = scene;
    await atMost(scene, 1);
    const [, next] = await add(...(jobs(2) as [object, object]));
    const one = worker();
    const [held] = await one.take(1);
    const { jobs: claimed } = await one.exchange({
      limit: 5,
      settle: [
        { token: held.token, outcome: "failed", error: { code: "handler_failed", message: "" }, retryMs: 9_000 },
      ],
    });
    expect(claimed.map(({ job }) => job.id)).toEqual([next]);
  });

  it("R18: a slot is free again when its worker is gone", async (scene) => {
    const { add, advance, expect, worker } = scene;
    await atMost(scene, 1);
    const [, next] = await add(...(jobs(2) as [object, object]));
    await worker().take(1);
    const rescuer = worker();
    expect(await rescuer.claimIds(9)).toEqual([]);
    await advance(LEASE_MS + 1);
    expect(await rescuer.claimIds(9)).toEqual([next]);
  });

  it("R19: a full queue wakes nobody but who looks after lost leases", async (scene) => {
    const { add, driver, expect, worker } = scene;
    await atMost(scene, 1);
    await add(...jobs(2));
    const one = worker();
    expect((await one.exchange({ limit: 9 })).jobs).toHaveLength(1);
    expect((await one.exchange({ limit: 9 })).nextWakeMs).toBeUndefined();
    expect(await driver.nextWake([QUEUE])).toBeGreaterThan(0);
    expect((await worker().exchange({ limit: 9 })).nextWakeMs).toBeGreaterThan(0);
  });

  it("R19: a slot that becomes free is told to those who watch", async (scene) => {
    const { add, advance, driver, expect, worker } = scene;
    await atMost(scene, 1);
    await add(...jobs(2));
    const one = worker();
    const held = await one.take(1);
    let told = 0;
    const stop = driver.watch(({ queue, kind }) => {
      if (queue === QUEUE && kind === "ready") told++;
    });
    await one.complete(held);
    for (let wait = 0; wait < 100 && told === 0; wait++) await advance(10);
    stop();
    expect(told).toBeGreaterThan(0);
  });

  it("R18: the limit may be raised, lowered below what runs, and lifted with null", async (scene) => {
    const { add, expect, worker } = scene;
    await atMost(scene, 2);
    await add(...jobs(20));
    const one = worker();
    const held = [...(await one.claim(9))];
    await atMost(scene, 4);
    held.push(...(await one.claim(9)));
    expect(held).toHaveLength(4);
    await atMost(scene, 1);
    expect(await one.claim(9)).toEqual([]);
    await one.complete(held.slice(0, 3));
    expect(await one.claim(9)).toEqual([]);
    await one.complete(held.slice(3));
    expect(await one.claim(9)).toHaveLength(1);
    await atMost(scene, null);
    expect(await one.claim(9)).toHaveLength(9);
  });

  it("R18: the limit belongs to its queue, and a full queue does not hold up another", async (scene) => {
    const { add, expect, worker } = scene;
    await atMost(scene, 1);
    await add(...jobs(3), { queue: "other" }, { queue: "other" });
    const claimed = await worker({ queues: [QUEUE, "other"] }).claim(9);
    expect(claimed.map(({ job }) => job.queue)).toEqual([QUEUE, "other", "other"]);
  });

  needs("maxActive", "rateLimit");
  it("R18: with a rate limit too, both hold", async (scene) => {
    const { add, advance, driver, expect, worker } = scene;
    await driver.command({ type: "configure", queue: QUEUE, maxActive: 3, rateLimit: { max: 2, perMs: 1_000 } });
    await add(...jobs(9));
    const one = worker();
    expect(await one.claim(9)).toHaveLength(2);
    await advance(10_000);
    expect(await one.claim(9)).toHaveLength(1);
    await advance(10_000);
    expect(await one.claim(9)).toEqual([]);
  });

  needs();
  it("I2: a queue named twice in one claim gives each job once", async ({ add, expect, refused, worker }) => {
    const ids = await add(...jobs(3));
    const one = worker();
    await refused(one.exchange({ limit: 9, queues: [QUEUE, QUEUE] }), "invalid_option");
    expect(await worker().claimIds(9)).toEqual(ids);
  });
});
