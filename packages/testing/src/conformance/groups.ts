import { DEFAULTS } from "@quayside/core";
import { type ClaimedJob, remove, scan, startingWith } from "@quayside/core/engine";
import { KEEP_NONE, type Scene, verb } from "./support.ts";
import { LEASE_MS, QUEUE, type TestWorker } from "./test-worker.ts";

const of = (key: string, limit?: number) => ({ group: { key, ...(limit !== undefined && { limit }) } });
const many = <J>(count: number, job: J): J[] => Array.from({ length: count }, () => job);

/** What a running job of a full group may come to, and so make room. */
const CAUSES: readonly (readonly [string, (scene: Scene, one: TestWorker, held: ClaimedJob) => Promise<unknown>])[] = [
  ["completes", (_, one, held) => one.complete(held)],
  ["fails for good", (_, one, held) => one.fail(held)],
  ["waits for its retry", (_, one, held) => one.retry(held, 60_000)],
  ["is released to later", (_, one, held) => one.release(held, 60_000)],
  [
    "is cancelled",
    async ({ command }, one, held) => {
      await command("cancel", held.job.id);
      await one.stopped(held);
    },
  ],
  [
    "is removed",
    async ({ command }, one, held) => {
      await command("remove", held.job.id);
      await one.complete(held);
    },
  ],
  [
    "is cleared away",
    async ({ driver }, one, held) => {
      await driver.command({ type: "clear", queue: QUEUE, state: "active" });
      await one.stopped(held);
    },
  ],
  [
    "is cancelled and then unknown to its worker",
    async ({ command }, one, held) => {
      await command("cancel", held.job.id);
      await one.exchange({ running: [] });
    },
  ],
  [
    "loses its worker",
    async ({ advance, worker }) => {
      const rescuer = worker();
      await rescuer.look();
      await advance(LEASE_MS + 1);
      await rescuer.look();
    },
  ],
  [
    "is cancelled and then loses its worker",
    async ({ advance, command, worker }, _, held) => {
      await command("cancel", held.job.id);
      const rescuer = worker();
      await rescuer.look();
      await advance(LEASE_MS + 1);
      await rescuer.look();
    },
  ],
];

/** What may become of the job that was let back in line for its group, before anybody claims it. */
const STANDS: readonly (readonly [string, (scene: Scene, id: string) => Promise<unknown>])[] = [
  ["is cancelled", ({ command }, id) => command("cancel", id)],
  ["is removed", ({ command }, id) => command("remove", id)],
  ["is delayed", ({ driver }, id) => driver.command({ type: "update", queue: QUEUE, id, delayMs: 60_000 })],
  ["is cleared away", ({ driver }) => driver.command({ type: "clear", queue: QUEUE, name: "second" })],
  [
    "expires",
    async ({ advance, worker, expect }) => {
      await advance(10_000);
      // The claim that finds it expired makes the room, so it is told to look again.
      expect(await worker().exchange({ limit: 9 })).toMatchObject({ jobs: [], nextWakeMs: 0 });
    },
  ],
  [
    "steps aside, its name unknown",
    ({ worker }) => worker({ queues: [{ queue: QUEUE, names: ["third"] }] }).exchange({ limit: 1 }),
  ],
];

export const groupsCases = verb("groups", (it) => {
  it("R16: of a group without a limit one job runs at a time, whichever worker asks", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add(of("g"), of("g"), of("g"));
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
    const ids = await add(...many(7, of("g", 3)));
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
    const [a, b] = await add(of("g"), of("g"));
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
    const ids = await add(...Array.from({ length: 12 }, (_, n) => of(`g${n % 3}`)));
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
    const [a, , , plain, other, late] = await add(of("g"), of("g"), of("g"), {}, of("h"), { priority: -9 });
    expect(await worker().claimIds(9)).toEqual([a, plain, other, late]);
  });

  for (const [cause, happens] of CAUSES) {
    it(`R16: there is room again when a running job ${cause}`, async (scene) => {
      const { add, expect, job, worker } = scene;
      const [a, b, c] = await add(of("g"), of("g"), of("g"));
      const one = worker();
      const [held] = await one.claim(9);
      expect(held?.job.id).toBe(a);
      for (const id of [b, c]) expect((await job(id)).blockedBy).toBe("group");
      await happens(scene, one, held as ClaimedJob);
      expect(await worker().claimIds(9)).toEqual([b]);
      expect((await job(c)).blockedBy).toBe("group");
    });
  }

  for (const keep of ["kept", "not kept"] as const) {
    it(`R16: room returns for all that waits, jobs that ended being ${keep}`, async ({
      add,
      driver,
      expect,
      worker,
    }) => {
      if (keep === "not kept") await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
      const ids = await add(...many(20, of("g", 2)));
      const seen: string[] = [];
      const one = worker();
      for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
        expect(held).toHaveLength(2);
        seen.push(...held.map(({ job }) => job.id));
        await one.complete(held);
      }
      expect(seen).toEqual(ids);
    });
  }

  it("R16: a job given back unstarted goes before those that wait for its group", async ({ add, expect, worker }) => {
    const [a, b] = await add(of("g"), of("g"));
    const one = worker();
    await one.claim(9);
    await one.exchange({ running: [] });
    const [held] = await one.claim(9);
    expect(held?.job.id).toBe(a);
    if (held) await one.release(held);
    const [again] = await one.claim(9);
    expect(again?.job.id).toBe(a);
    if (again) await one.complete(again);
    expect(await one.claimIds(9)).toEqual([b]);
  });

  it("R16: retries without delay under a limit do not hang: the next of the group, then the retry", async ({
    add,
    expect,
    worker,
  }) => {
    const [a, b] = await add(of("g"), of("g"));
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

  for (const [fate, happens] of STANDS) {
    it(`R16: when the job that was let back in line ${fate}, the next comes`, async (scene) => {
      const { add, expect, job, worker } = scene;
      const [, b, c] = await add(
        of("g"),
        { ...of("g"), name: "second", expiresInMs: 10_000 },
        { ...of("g"), name: "third" },
      );
      const one = worker();
      const [held] = await one.claim(9);
      await one.complete(held as ClaimedJob);
      expect((await job(b)).blockedBy).toBeUndefined();
      expect((await job(c)).blockedBy).toBe("group");
      await happens(scene, b);
      expect(await worker({ queues: [{ queue: QUEUE, names: ["third"] }] }).claimIds(9)).toEqual([c]);
    });
  }

  it("R16: as many come back as there is room, not more", async ({ add, driver, expect, worker }) => {
    await add(...many(9, of("g", 3)));
    const one = worker();
    const held = await one.claim(9);
    const waiting = async () =>
      (await driver.list({ queue: QUEUE, state: "waiting" })).jobs.filter(({ blockedBy }) => blockedBy === "group");
    expect(await waiting()).toHaveLength(6);
    await one.complete(held.slice(0, 2));
    expect(await waiting()).toHaveLength(4);
    await one.complete(held.slice(2));
    // Those let in before are not held yet: room is counted by what runs.
    expect((await waiting()).length).toBeLessThanOrEqual(3);
  });

  it("R16: a raised limit makes room at once", async ({ add, expect, worker }) => {
    const [, b, c] = await add(of("g"), of("g"), of("g"));
    const one = worker();
    await one.claim(9);
    const [d] = await add(of("g", 3));
    expect(await one.claimIds(9)).toEqual([b, c]);
    expect(await one.claimIds(9)).toEqual([]);
    const two = worker();
    await add(of("g", 4));
    expect(await two.claimIds(9)).toEqual([d]);
  });

  it("R16: the last limit given is in force, and jobs that say none leave it", async ({ add, expect, worker }) => {
    await add(of("g", 1), of("g", 3), ...many(6, of("g")));
    const one = worker();
    const held = await one.claim(9);
    expect(held).toHaveLength(3);
    await add(of("g", 1));
    await one.complete(held.slice(0, 2));
    expect(await one.claim(9)).toEqual([]);
    await one.complete(held.slice(2));
    const [next, ...none] = await one.claim(9);
    expect(none).toEqual([]);
    await add(of("g"));
    if (next) await one.complete(next);
    expect(await one.claim(9)).toHaveLength(1);
  });

  it("R16: a limit outlives the jobs that gave it", async ({ add, expect, worker }) => {
    const one = worker();
    await add(of("g", 2));
    await one.complete(await one.take(1));
    await add(...many(3, of("g")));
    expect(await one.claim(9)).toHaveLength(2);
  });

  it("R16: more than 100 jobs of full groups at the head step aside in several claims, each of which says so", async ({
    add,
    advance,
    expect,
    worker,
  }) => {
    // Delayed ones: the others wait from the start.
    const ids = await add(...many(250, { ...of("g"), delayMs: 1_000 }), { delayMs: 1_000 });
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
    it(`R16: behind 300 jobs of a group that were added ${how}, another group's job starts within one claim`, async ({
      add,
      expect,
      job,
      worker,
    }) => {
      const ids: string[] = [];
      while (ids.length < 300) ids.push(...(await add(...many(size, of("g", 2)))));
      const [other] = await add(of("h"));
      for (const index of [0, 1]) expect((await job(ids[index] as string)).blockedBy).toBeUndefined();
      for (const index of [2, 150, 299]) expect((await job(ids[index] as string)).blockedBy).toBe("group");
      const one = worker();
      const held = await one.claim(3);
      expect(held.map(({ job }) => job.id).sort()).toEqual([ids[0], ids[1], other].sort());
      await one.complete(held);
      expect(await one.claimIds(9)).toEqual([ids[2], ids[3]]);
    });
  }

  it("R16: of a group with a limit of 300 at most 256 wait in line, and as many run as the limit says", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const ids = await add(...many(310, of("g", 300)));
    const [other] = await add(of("h"));
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

  it("R15: whenever they were added, the jobs of a group that go first are in line", async ({
    add,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [low, high] = await add(of("g"), { ...of("g"), priority: 5 });
    expect((await job(low)).blockedBy).toBe("group");
    expect((await job(high)).blockedBy).toBeUndefined();
    const [highest] = await add({ ...of("g"), priority: 9 });
    expect((await job(high)).blockedBy).toBe("group");
    expect((await job(highest)).blockedBy).toBeUndefined();
    // It goes behind those that wait.
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

  it("R16: a job that is promoted, retried by hand or given to a full group waits for its room, too", async ({
    add,
    command,
    expect,
    job,
    worker,
  }) => {
    const replace = { dedupe: { key: "k", mode: "replace" } } as const;
    const [failed] = await add(of("g"));
    const one = worker();
    await one.fail((await one.take(1))[0]);
    const [first, later, given] = await add(of("g"), { ...of("g"), delayMs: 60_000 }, { ...of("h"), ...replace });
    await command("promote", later);
    await command("retry", failed);
    await add({ ...of("g"), ...replace });
    for (const id of [later, failed, given]) expect((await job(id)).blockedBy).toBe("group");
    const order: string[] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      order.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    // In the order of their places: the one that was given to the group kept the place it had.
    expect(order).toEqual([first, given, later, failed]);
  });

  it("R16: a delayed job takes no room from its group before it is due", async ({ add, advance, expect, worker }) => {
    const [later, now] = await add({ ...of("g"), delayMs: 1_000 }, of("g"));
    const one = worker();
    const held = await one.claim(9);
    expect(held.map(({ job }) => job.id)).toEqual([now]);
    await one.complete(held);
    await advance(1_000);
    expect(await one.claimIds(9)).toEqual([later]);
  });

  for (const [finder, look] of [
    ["the next add to its group", ({ add }: Scene) => add(of("g"))],
    [
      "a claim, in a queue that is never idle, behind groups whose jobs run",
      async ({ add }: Scene, one: TestWorker) => {
        for (let round = 0; round < 4; round++) {
          await add({ priority: 9 }, { priority: 9 });
          await one.claim(1);
        }
      },
    ],
  ] as const) {
    it(`R16: a job in line that is gone without a word is found by ${finder}`, async (scene) => {
      const { add, expect, job, transact, worker } = scene;
      // Only where a test can reach the records.
      if (!transact) return;
      const one = worker();
      await add(of("a"), of("a"), of("b"), of("b"));
      await one.claim(9);
      const [gone, next] = await add(of("g"), of("g"));
      expect((await job(next)).blockedBy).toBe("group");
      await transact(function* () {
        const jobs = yield* scan("jobs", startingWith("ready", QUEUE), 99);
        const keys = jobs.filter(({ id }) => id === gone).map(({ key }) => key);
        yield* remove("jobs", keys);
      });
      await look(scene, one);
      expect((await job(next)).blockedBy).toBeUndefined();
    });
  }

  it("R19: what waits for its group wakes nobody", async ({ add, driver, expect, worker }) => {
    await add(of("g"), of("g"));
    const one = worker();
    await one.claim(9);
    const { nextWakeMs } = await one.exchange({ limit: 9 });
    expect(nextWakeMs).toBeUndefined();
    expect(await driver.nextWake([QUEUE])).toBeGreaterThan(0);
  });

  it("R16: higher priorities of a group come back first", async ({ add, expect, worker }) => {
    const [, low, high, middle] = await add({ ...of("g"), priority: 9 }, of("g"), { ...of("g"), priority: 5 }, of("g"));
    const one = worker();
    const order: string[] = [];
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) {
      order.push(...held.map(({ job }) => job.id));
      await one.complete(held);
    }
    expect(order.slice(1)).toEqual([high, low, middle]);
  });

  it("R15: a job returned to its group's room takes the place it had", async ({ add, expect, worker }) => {
    const [a, b, first, second] = await add(of("g"), of("g"), {}, {});
    const one = worker();
    const two = worker();
    const [held] = await one.take(1);
    expect(held.job.id).toBe(a);
    expect(await two.claimIds(1)).toEqual([first]);
    await one.complete(held);
    expect(await two.claimIds(2)).toEqual([b, second]);
  });

  it("R42: of a group without a limit nothing is left behind its last job", async ({
    add,
    expect,
    records,
    worker,
  }) => {
    await add(of("g"), of("g"), of("h"));
    const one = worker();
    for (let held = await one.claim(9); held.length > 0; held = await one.claim(9)) await one.complete(held);
    const { cells = [] } = (await records()) ?? {};
    expect(cells.filter(({ key }) => key[0].startsWith("group/"))).toEqual([]);
  });

  it("R16: a group belongs to its queue", async ({ add, expect, worker }) => {
    const [a, b] = await add({ queue: "a", ...of("g") }, { queue: "b", ...of("g") }, { queue: "b", ...of("g") });
    expect(await worker({ queues: ["a", "b"] }).claimIds(9)).toEqual([a, b]);
  });

  it("R4: groups whose keys differ in any character are different groups", async ({ add, expect, worker }) => {
    const keys = ["g", "G", "g/x", "g%2fx", "g\u0000", "g\u0001", "g\n", "\uffff", "\u{10ffff}", "__proto__", " g"];
    const ids = await add(...keys.flatMap((key) => [of(key), of(key)]));
    const one = worker();
    const held = await one.claim(99);
    expect(held.map(({ job }) => job.id)).toEqual(ids.filter((_, n) => n % 2 === 0));
    await one.complete(held);
    expect(await one.claimIds(99)).toEqual(ids.filter((_, n) => n % 2 === 1));
  });

  it("R17: in a group, jobs of unknown names make way for those that can run", async ({ add, expect, worker }) => {
    const [a, b, c] = await add(of("g"), { ...of("g"), name: "resize" }, of("g"));
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

  it("R16: a job delayed while it waits for its group lets the others of the group by", async ({
    add,
    advance,
    driver,
    expect,
    worker,
  }) => {
    const [, b, c] = await add(of("g"), { ...of("g"), priority: 5, delayMs: 1 }, { ...of("g"), delayMs: 1 });
    const one = worker();
    const [held] = await one.claim(9);
    await advance(1);
    await one.claim(9);
    expect(await driver.command({ type: "update", queue: QUEUE, id: b, delayMs: 60_000 })).toEqual({
      affected: 1,
      state: "delayed",
    });
    await one.complete(held as ClaimedJob);
    const [next] = await one.claim(9);
    expect(next?.job.id).toBe(c);
    await advance(60_000);
    await one.complete(next as ClaimedJob);
    expect(await one.claimIds(9)).toEqual([b]);
  });

  it("R16: a waiting job that is given another group makes room in the one it leaves", async ({
    add,
    expect,
    worker,
  }) => {
    const replace = { dedupe: { key: "k", mode: "replace" } } as const;
    const [, b, c] = await add(of("g"), { ...of("g"), ...replace }, of("g"));
    const one = worker();
    await one.complete((await one.claim(9))[0] as ClaimedJob);
    // `b` stands in line for the group now.
    await add({ ...of("h"), ...replace });
    expect(await one.claimIds(9)).toEqual([b, c]);
  });

  it("R18: jobs of a group run one by one although their worker has many slots, however often it crashes", async ({
    add,
    advance,
    expect,
    job,
    untilDue,
    worker,
  }) => {
    const [a, b] = await add(of("g"), of("g"));
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
