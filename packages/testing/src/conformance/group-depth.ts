import { inGroup, many } from "./group-jobs.ts";
import { verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about groups with many jobs at the head of a queue, and about their delayed jobs. */
export const groupDepthCases = verb("groups", (it, needs) => {
  needs("groups");
  it("R16: more than 100 jobs of full groups at the head step aside in several claims, each of which says so", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    // Delayed jobs, because others wait from the start.
    const ids = await add(...many(250, { ...inGroup("g"), delayMs: 1_000 }), { delayMs: 1_000 });
    await advance(1_000);
    const one = worker();
    const taken: string[] = [];
    for (let rounds = 0; taken.length < 2; rounds++) {
      const { jobs, nextWakeMs } = await one.exchange({ limit: 9 });
      taken.push(...jobs.map(({ job }) => job.id));
      if (taken.length < 2) expect(nextWakeMs).toBe(0);
      if (rounds > 4) throw new Error("The job behind the full group is never reached.");
    }
    expect(taken).toEqual([ids[0], ids[250]]);
    expect((await one.exchange({ limit: 9 })).nextWakeMs).toBeUndefined();
  });

  for (const [how, size] of [
    ["in one call", 300],
    ["in calls of 10", 10],
    ["one by one", 1],
  ] as const) {
    needs("groups");
    it(`R16: behind 300 jobs of a group that were added ${how}, another group's job starts within one claim`, async ({
      add,
      expect,
      job,
      worker,
    }) => {
      const ids: string[] = [];
      while (ids.length < 300) ids.push(...(await add(...many(size, inGroup("g", 2)))));
      const [other] = await add(inGroup("h"));
      for (const index of [0, 1]) expect((await job(ids[index] as string)).blockedBy).toBeUndefined();
      for (const index of [2, 150, 299]) expect((await job(ids[index] as string)).blockedBy).toBe("group");
      const one = worker();
      const held = await one.claim(3);
      expect(held.map(({ job }) => job.id).sort()).toEqual([ids[0], ids[1], other].sort());
      await one.complete(held);
      expect(await one.claimIds(9)).toEqual([ids[2], ids[3]]);
    });
  }

  needs("groups");
  it("R16: of a group with a limit of 300 at most 256 wait in line, and as many run as the limit says", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const ids = await add(...many(310, inGroup("g", 300)));
    const [other] = await add(inGroup("h"));
    expect((await job(ids[255] as string)).blockedBy).toBeUndefined();
    expect((await job(ids[256] as string)).blockedBy).toBe("group");
    const one = worker();
    const { jobs, nextWakeMs } = await one.exchange({ limit: 299 });
    expect(nextWakeMs).toBe(0);
    const seen = [...jobs.map(({ job }) => job.id), ...(await one.claimIds(99))];
    expect(seen.filter((id) => id !== other)).toEqual(ids.slice(0, 300));
    expect(seen).toContain(other);
    expect((await job(ids[300] as string)).blockedBy).toBe("group");
  });

  needs("admin", "groups");
  it("R15: whenever they were added, the jobs of a group that go first are in line", async ({
    add,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [low, high] = await add(inGroup("g"), { ...inGroup("g"), priority: 5 });
    expect((await job(low)).blockedBy).toBe("group");
    expect((await job(high)).blockedBy).toBeUndefined();
    const [highest] = await add({ ...inGroup("g"), priority: 9 });
    expect((await job(high)).blockedBy).toBe("group");
    expect((await job(highest)).blockedBy).toBeUndefined();
    // The job moves behind the waiting ones.
    await driver.command({ type: "update", queue: QUEUE, id: highest, priority: -1 });
    expect((await job(highest)).blockedBy).toBe("group");
    const one = worker();
    const order: string[] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      order.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    expect(order).toEqual([high, low, highest]);
  });

  needs("admin", "dedupe", "groups");
  it("R16: a job that is promoted, retried by hand or given to a full group waits for its room, too", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const replace = { dedupe: { key: "k", mode: "replace" } } as const;
    const [failed] = await add(inGroup("g"));
    const one = worker();
    await one.fail((await one.take(1))[0]);
    const [first, later, given] = await add(
      inGroup("g"),
      { ...inGroup("g"), delayMs: 60_000 },
      { ...inGroup("h"), ...replace },
    );
    await command("promote", later);
    await command("retry", failed);
    await add({ ...inGroup("g"), ...replace });
    for (const id of [later, failed, given]) expect((await job(id)).blockedBy).toBe("group");
    const order: string[] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      order.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    // In the order of their positions: the job that got the group kept its position.
    expect(order).toEqual([first, given, later, failed]);
  });

  needs("groups");
  it("R16: a delayed job takes no room from its group before it is due", async ({ add, advance, expect, worker }) => {
    const [later, now] = await add({ ...inGroup("g"), delayMs: 1_000 }, inGroup("g"));
    const one = worker();
    const held = await one.claim(9);
    expect(held.map(({ job }) => job.id)).toEqual([now]);
    await one.complete(held);
    await advance(1_000);
    expect(await one.claimIds(9)).toEqual([later]);
  });

  needs("groups", "admin");
  it("R16: a change of a delayed job does not bring its limit before it is due", async ({
    add,
    advance,
    driver,
    expect,
    worker,
  }) => {
    const [later] = await add({ ...inGroup("g", 3), delayMs: 1_000 });
    await add(...many(4, inGroup("g")));
    const one = worker();
    expect(await one.claim(9)).toHaveLength(1);
    await driver.command({ type: "update", queue: QUEUE, id: later, payload: '"other"' });
    expect(await one.claim(9)).toEqual([]);
    await advance(1_000);
    await driver.command({ type: "update", queue: QUEUE, id: later, payload: '"due"' });
    expect(await one.claim(9)).toHaveLength(2);
  });

  needs("groups", "unknownNames", "admin");
  it("R16: of a group whose jobs waited for their names, the first in line gives the limit", async ({
    add,
    advance,
    driver,
    expect,
    worker,
  }) => {
    const one = worker({ queues: [{ queue: QUEUE, names: ["other"] }] });
    const unknown = (limit?: number) => ({ ...inGroup("g", limit), name: "unknown" });
    await add(unknown(1), { ...unknown(3), priority: 2, delayMs: 1_000 }, unknown(), { name: "gone" });
    await advance(1_000);
    expect(await one.claim(9)).toEqual([]);
    expect(await driver.command({ type: "clear", queue: QUEUE, name: "gone" })).toEqual({ affected: 1 });
    expect(await worker().claim(9)).toHaveLength(3);
  });

  needs("groups");
  it("R16: the order in one claim does not depend on how many jobs the claim asks for", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    for (const limit of [2, 9]) {
      const key = `g${limit}`;
      const [, bringsLimit] = await add({ ...inGroup(key), delayMs: 500 }, { ...inGroup(key, 3), delayMs: 700 });
      const [now] = await add(inGroup(key));
      await advance(1_000);
      const { jobs } = await worker().exchange({ limit });
      expect(jobs.map(({ job }) => job.id).slice(0, 2)).toEqual([now, bringsLimit]);
      await worker().claim(9);
    }
  });
});
