import { type ClaimedJob, remove, scan, startingWith } from "@quayside/core/engine";
import { inGroup, many } from "./group-jobs.ts";
import { KEEP_NONE, type Scene, verb } from "./support.ts";
import { LEASE_MS, QUEUE, type TestWorker } from "./test-worker.ts";

/** Every way in which a running job can end, so that a slot of its group is free. */
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

/** Every way in which a job that its group has unblocked can end before it is claimed. */
const ENDS_AFTER_RETURN: readonly (readonly [string, (scene: Scene, id: string) => Promise<unknown>])[] = [
  ["is cancelled", ({ command }, id) => command("cancel", id)],
  ["is removed", ({ command }, id) => command("remove", id)],
  ["is delayed", ({ driver }, id) => driver.command({ type: "update", queue: QUEUE, id, delayMs: 60_000 })],
  ["is cleared away", ({ driver }) => driver.command({ type: "clear", queue: QUEUE, name: "second" })],
  [
    "expires",
    async ({ advance, worker, expect }) => {
      await advance(10_000);
      // The claim that finds the job expired frees the slot, and its reply asks for another claim at once.
      expect(await worker().exchange({ limit: 9 })).toMatchObject({ jobs: [], nextWakeMs: 0 });
    },
  ],
  [
    "steps aside, its name unknown",
    ({ worker }) => worker({ queues: [{ queue: QUEUE, names: ["third"] }] }).exchange({ limit: 1 }),
  ],
];

/** Cases in which blocked jobs return when their group has a free slot. */
export const groupRoomCases = verb("groups", (it, needs) => {
  for (const [cause, happens] of CAUSES) {
    needs("admin", "groups");
    it(`R16: there is room again when a running job ${cause}`, async (scene) => {
      const { add, expect, job, worker } = scene;
      const [a, b, c] = await add(inGroup("g"), inGroup("g"), inGroup("g"));
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
    needs("groups");
    it(`R16: room returns for all that waits, jobs that ended being ${keep}`, async ({
      add,
      driver,
      expect,
      worker,
    }) => {
      if (keep === "not kept") await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
      const ids = await add(...many(20, inGroup("g", 2)));
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

  needs("groups");
  it("R16: a job given back unstarted goes before those that wait for its group", async ({ add, expect, worker }) => {
    const [a, b] = await add(inGroup("g"), inGroup("g"));
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

  for (const [fate, happens] of ENDS_AFTER_RETURN) {
    needs("admin", "expiry", "groups", "unknownNames");
    it(`R16: when the job that was let back in line ${fate}, the next comes`, async (scene) => {
      const { add, expect, job, worker } = scene;
      const [, b, c] = await add(
        inGroup("g"),
        { ...inGroup("g"), name: "second", expiresInMs: 10_000 },
        { ...inGroup("g"), name: "third" },
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

  needs("groups", "inspect");
  it("R16: as many come back as there is room, not more", async ({ add, driver, expect, worker }) => {
    await add(...many(9, inGroup("g", 3)));
    const one = worker();
    const held = await one.claim(9);
    const waiting = async () =>
      (await driver.list({ queue: QUEUE, state: "waiting" })).jobs.filter(({ blockedBy }) => blockedBy === "group");
    expect(await waiting()).toHaveLength(6);
    await one.complete(held.slice(0, 2));
    expect(await waiting()).toHaveLength(4);
    await one.complete(held.slice(2));
    // Unblocked jobs are not held yet; only running jobs count.
    expect((await waiting()).length).toBeLessThanOrEqual(3);
  });

  needs("groups");
  it("R16: a raised limit makes room at once", async ({ add, expect, worker }) => {
    const [, b, c] = await add(inGroup("g"), inGroup("g"), inGroup("g"));
    const one = worker();
    await one.claim(9);
    const [d] = await add(inGroup("g", 3));
    expect(await one.claimIds(9)).toEqual([b, c]);
    expect(await one.claimIds(9)).toEqual([]);
    const two = worker();
    await add(inGroup("g", 4));
    expect(await two.claimIds(9)).toEqual([d]);
  });

  for (const [finder, look] of [
    ["the next add to its group", ({ add }: Scene) => add(inGroup("g"))],
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
    needs("groups");
    it(`R16: a job in line that is gone without a word is found by ${finder}`, async (scene) => {
      const { add, expect, job, transact, worker } = scene;
      // Only if the test has access to the records.
      if (!transact) return;
      const one = worker();
      await add(inGroup("a"), inGroup("a"), inGroup("b"), inGroup("b"));
      await one.claim(9);
      const [gone, next] = await add(inGroup("g"), inGroup("g"));
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

  needs("admin", "groups");
  it("R16: a job delayed while it waits for its group lets the others of the group by", async ({
    add,
    advance,
    driver,
    expect,
    worker,
  }) => {
    const [, b, c] = await add(
      inGroup("g"),
      { ...inGroup("g"), priority: 5, delayMs: 1 },
      { ...inGroup("g"), delayMs: 1 },
    );
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

  needs("dedupe", "groups");
  it("R16: a waiting job that is given another group makes room in the one it leaves", async ({
    add,
    expect,
    worker,
  }) => {
    const replace = { dedupe: { key: "k", mode: "replace" } } as const;
    const [, b, c] = await add(inGroup("g"), { ...inGroup("g"), ...replace }, inGroup("g"));
    const one = worker();
    await one.complete((await one.claim(9))[0] as ClaimedJob);
    // `b` is blocked by the group now.
    await add({ ...inGroup("h"), ...replace });
    expect(await one.claimIds(9)).toEqual([b, c]);
  });
});
