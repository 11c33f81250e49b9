import { DEFAULTS } from "@quayside/core";
import type { ClaimedJob } from "@quayside/core/engine";
import { inGroup, many } from "./group-jobs.ts";
import { verb } from "./support.ts";
import { LEASE_MS, QUEUE } from "./test-worker.ts";

/** Test cases about the limit of a group, and the order of its jobs. */
export const groupsCases = verb("groups", (it, needs) => {
  needs("groups");
  it("R16: of a group without a limit one job runs at a time, whichever worker asks", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add(inGroup("g"), inGroup("g"), inGroup("g"));
    const one = worker();
    const [held] = await one.claim(9);
    expect(held?.job).toMatchObject({ id: a, group: { key: "g" } });
    expect(await worker().claimIds(9)).toEqual([]);
    expect(await job(b)).toMatchObject({ state: "waiting", blockedBy: "group" });
    expect((await job(a)).blockedBy).toBeUndefined();
    if (held) await one.complete(held);
    expect(await worker().claimIds(9)).toEqual([b]);
    expect((await job(b)).blockedBy).toBeUndefined();
  });

  it("R16: of a group with a limit so many run at once, over all workers and drivers", async ({
    add,
    another,
    expect,
    worker,
  }) => {
    const ids = await add(...many(7, inGroup("g", 3)));
    const one = worker();
    const two = worker({ driver: await another() });
    const first = await one.claim(2);
    expect(first.map(({ job }) => job.id)).toEqual(ids.slice(0, 2));
    expect(await two.claimIds(9)).toEqual(ids.slice(2, 3));
    expect(await one.claimIds(9)).toEqual([]);
    await one.complete(first);
    expect(await two.claimIds(9)).toEqual(ids.slice(3, 5));
  });

  it("R16: a job that ends makes room in the very exchange that settles it", async ({ add, expect, worker }) => {
    const [a, b] = await add(inGroup("g"), inGroup("g"));
    const one = worker();
    const [held] = await one.claim(9);
    expect(held?.job.id).toBe(a);
    const { jobs } = await one.exchange({ limit: 9, settle: [{ token: held?.token ?? "", outcome: "completed" }] });
    expect(jobs.map(({ job }) => job.id)).toEqual([b]);
  });

  it("R16: jobs of a group run in the order of their adding, each key for itself", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const ids = await add(...Array.from({ length: 12 }, (_, n) => inGroup(`g${n % 3}`)));
    const one = worker();
    const seen: string[] = [];
    for (let round = 0; round < 4; round++) {
      const held = await one.claim(9);
      expect(held).toHaveLength(3);
      seen.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    for (const key of ["g0", "g1", "g2"]) {
      const mine = [];
      for (const id of seen) if ((await job(id)).group?.key === key) mine.push(id);
      expect(mine, key).toEqual(ids.filter((_, n) => `g${n % 3}` === key));
    }
  });

  it("R16: a full group does not hold up the rest of the queue", async ({ add, expect, worker }) => {
    const [a, , , plain, other, late] = await add(inGroup("g"), inGroup("g"), inGroup("g"), {}, inGroup("h"), {
      priority: -9,
    });
    expect(await worker().claimIds(9)).toEqual([a, plain, other, late]);
  });

  it("R16: retries without delay under a limit do not hang: the next of the group, then the retry", async ({
    add,
    expect,
    worker,
  }) => {
    const [a, b] = await add(inGroup("g"), inGroup("g"));
    const one = worker();
    const order: string[] = [];
    for (let round = 0; round < 4; round++) {
      const [held] = await one.claim(9);
      if (!held) break;
      order.push(held.job.id);
      await (round < 2 ? one.retry(held, 0) : one.complete(held));
    }
    expect(order).toEqual([a, b, a, b]);
  });

  it("R16: the last limit given is in force, and jobs that say none leave it", async ({ add, expect, worker }) => {
    await add(inGroup("g", 1), inGroup("g", 3), ...many(6, inGroup("g")));
    const one = worker();
    const held = await one.claim(9);
    expect(held).toHaveLength(3);
    await add(inGroup("g", 1));
    await one.complete(held.slice(0, 2));
    expect(await one.claim(9)).toEqual([]);
    await one.complete(held.slice(2));
    const [next, ...none] = await one.claim(9);
    expect(none).toEqual([]);
    await add(inGroup("g"));
    if (next) await one.complete(next);
    expect(await one.claim(9)).toHaveLength(1);
  });

  it("R16: a limit outlives the job that gave it, and ends with the last of its group", async ({
    add,
    expect,
    worker,
  }) => {
    const one = worker();
    await add(inGroup("g", 2), inGroup("g"));
    await one.complete(await one.take(1));
    await add(...many(3, inGroup("g")));
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      expect(held).toHaveLength(2);
      await one.complete(held);
    }
    await add(...many(3, inGroup("g")));
    expect(await one.claim(9)).toHaveLength(1);
  });

  it("R16: a delayed job brings its limit when it is due, though its group has been empty", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    const one = worker();
    await add(...many(5, { ...inGroup("g", 3), delayMs: 1_000 }), inGroup("g", 3));
    await one.complete(await one.take(1));
    await advance(1_000);
    const held = await one.claim(9);
    expect(held).toHaveLength(3);
    await one.complete(held);
    expect(await one.claim(9)).toHaveLength(2);
  });

  it("R19: what waits for its group wakes nobody", async ({ add, driver, expect, worker }) => {
    await add(inGroup("g"), inGroup("g"));
    const one = worker();
    await one.claim(9);
    const { nextWakeMs } = await one.exchange({ limit: 9 });
    expect(nextWakeMs).toBeUndefined();
    expect(await driver.nextWake([QUEUE])).toBeGreaterThan(0);
  });

  it("R16: higher priorities of a group come back first", async ({ add, expect, worker }) => {
    const [, low, high, middle] = await add(
      { ...inGroup("g"), priority: 9 },
      inGroup("g"),
      { ...inGroup("g"), priority: 5 },
      inGroup("g"),
    );
    const one = worker();
    const order: string[] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      order.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    expect(order.slice(1)).toEqual([high, low, middle]);
  });

  it("R15: a job returned to its group's room takes the place it had", async ({ add, expect, worker }) => {
    const [a, b, first, second] = await add(inGroup("g"), inGroup("g"), {}, {});
    const one = worker();
    const two = worker();
    const [held] = await one.take(1);
    expect(held.job.id).toBe(a);
    expect(await two.claimIds(1)).toEqual([first]);
    await one.complete(held);
    expect(await two.claimIds(2)).toEqual([b, second]);
  });

  for (const limit of [undefined, 1, 2, 300])
    it(`R42: of a group with the limit ${limit} nothing is left behind its last job`, async ({
      add,
      advance,
      expect,
      records,
      worker,
    }) => {
      await add(...many(4, inGroup("g", limit)), { ...inGroup("g", limit), delayMs: 1_000 }, inGroup("h", limit));
      const one = worker();
      for (let round = 0; round < 2; round++) {
        for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) await one.complete(held);
        await advance(1_000);
      }
      const { cells = [], jobs = [] } = (await records()) ?? {};
      expect(jobs.filter(({ key }) => key[0] !== "finished")).toEqual([]);
      expect(cells.filter(({ key }) => key[0].startsWith("group/"))).toEqual([]);
    });

  it("R16: a group belongs to its queue", async ({ add, expect, worker }) => {
    const [a, b] = await add(
      { queue: "a", ...inGroup("g") },
      { queue: "b", ...inGroup("g") },
      { queue: "b", ...inGroup("g") },
    );
    expect(await worker({ queues: ["a", "b"] }).claimIds(9)).toEqual([a, b]);
  });

  it("R4: groups whose keys differ in any character are different groups", async ({ add, expect, worker }) => {
    const keys = ["g", "G", "g/x", "g%2fx", "g\u0000", "g\u0001", "g\n", "\uffff", "\u{10ffff}", "__proto__", " g"];
    const ids = await add(...keys.flatMap((key) => [inGroup(key), inGroup(key)]));
    const one = worker();
    const held = await one.claim(99);
    expect(held.map(({ job }) => job.id)).toEqual(ids.filter((_, n) => n % 2 === 0));
    await one.complete(held);
    expect(await one.claimIds(99)).toEqual(ids.filter((_, n) => n % 2 === 1));
  });

  it("R17: in a group, jobs of unknown names make way for those that can run", async ({ add, expect, worker }) => {
    const [a, b, c] = await add(inGroup("g"), { ...inGroup("g"), name: "resize" }, inGroup("g"));
    const one = worker({ queues: [{ queue: QUEUE, names: ["email"] }] });
    const [held, ...none] = await one.claim(9);
    expect(held?.job.id).toBe(a);
    expect(none).toEqual([]);
    const two = worker();
    expect(await two.claimIds(9)).toEqual([]);
    await one.complete(held as ClaimedJob);
    const order: string[] = [];
    for (let held = await two.claim(9); held.length > 0; held = await two.claim(9)) {
      expect(held).toHaveLength(1);
      order.push(...held.map(({ job }) => job.id));
      await two.complete(held);
    }
    expect(order.sort()).toEqual([b, c].sort());
  });

  it("R18: jobs of a group run one by one although their worker has many slots, however often it crashes", async ({
    add,
    advance,
    expect,
    job,
    untilDue,
    worker,
  }) => {
    const [a, b] = await add(inGroup("g"), inGroup("g"));
    const rescuer = worker();
    for (let crash = 1; crash < DEFAULTS.maxInterruptions; crash++) {
      await worker().claim(9);
      await rescuer.look();
      await advance(LEASE_MS + 1);
      await rescuer.look();
      const interruptions = [(await job(a)).interruptions, (await job(b)).interruptions];
      expect((interruptions[0] as number) + (interruptions[1] as number)).toBe(crash);
      for (const id of [a, b]) await untilDue(id);
    }
  });
});
