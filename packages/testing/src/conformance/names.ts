import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Names that a key must not confuse: what structures a lane, what escapes it, what bounds a scan, what engines order apart. */
const ODD = [
  "a",
  "a/b",
  "a%2fb",
  "a%2Fb",
  "a/completed",
  "a/name/x",
  "a%",
  "a\u0000",
  "a\u0001",
  "a\u001f",
  "a\n",
  "~",
  "é",
  "\uffff",
  "\u{1f600}",
  "\u{10ffff}",
  " a",
  "A",
  "constructor",
  "__proto__",
];

/** Texts that an address must not read as anything but an id, a key or a queue; `€` takes nine characters in a URL. */
const IN_ADDRESSES = [
  ...ODD,
  "...",
  ". ",
  " ..",
  "../x",
  "x/..",
  "/",
  "//",
  "/..",
  "..\\",
  "%2e",
  "%2E%2e",
  "%",
  "%zz",
  "\u0000",
  "\r\n",
  "?",
  "?state=failed",
  "#",
  ";",
  "=",
  "&",
  "+",
  ":",
  "@",
  "\\",
  '"',
  "'",
  "\u202e",
  "\ufeff",
  "e\u0301",
  "retry",
  "jobs",
  "events",
  "http://a/b",
  "€".repeat(256),
];

export const namesCases = verb("names", (it) => {
  it("R4: queues whose names differ in any character are different queues", async ({
    add,
    counts,
    driver,
    expect,
    job,
    worker,
  }) => {
    const ids: string[] = [];
    for (const queue of ODD) ids.push(...(await add({ queue, payload: JSON.stringify(queue) })));
    for (const [index, queue] of ODD.entries()) {
      expect(await counts(queue), queue).toEqual({ ...NOTHING, waiting: 1 });
      expect(await job(ids[index] as string, queue), queue).toMatchObject({ queue, payload: queue });
      expect((await driver.list({ queue })).jobs, queue).toHaveLength(1);
    }
    const one = worker();
    for (const queue of ODD) {
      const [held] = await one.claim(5, [queue]);
      expect(held?.job.queue).toBe(queue);
      if (held) await one.complete(held);
      expect(await counts(queue), queue).toEqual({ ...NOTHING, completed: 1 });
    }
    for (const queue of ODD) {
      expect(await driver.command({ type: "clear", queue }), queue).toMatchObject({ affected: 1 });
      expect(await counts(queue), queue).toEqual(NOTHING);
    }
  });

  it("R4: ids and dedupe keys that differ in any character are different", async ({ driver, expect, job }) => {
    const receipts = await driver.enqueue(ODD.map((id) => newJob({ id, dedupe: { key: id, mode: "drop" } })));
    expect(receipts).toEqual(ODD.map((id) => ({ id, deduplicated: false })));
    for (const id of ODD) expect((await job(id)).id).toBe(id);
    const again = await driver.enqueue(ODD.map((key) => newJob({ dedupe: { key, mode: "drop" } })));
    expect(again).toEqual(ODD.map((id) => ({ id, deduplicated: true })));
  });

  it("R4: a queue and an id are never taken for another queue and another id", async ({ driver, expect, job }) => {
    const pairs = [
      ["a", "b\nc"],
      ["a\nb", "c"],
      ["a/b", "c"],
      ["a", "b/c"],
      ["a\u0001b", "c"],
      ["a", "\u0001b"],
    ] as const;
    const receipts = await driver.enqueue(
      pairs.map(([queue, id]) => newJob({ queue, id, dedupe: { key: id, mode: "drop" } })),
    );
    expect(receipts).toEqual(pairs.map(([, id]) => ({ id, deduplicated: false })));
    for (const [queue, id] of pairs) expect(await job(id, queue)).toMatchObject({ queue, id });
  });

  it("R4: job names of any characters are claimed, step aside and come back", async ({ add, expect, worker }) => {
    const ids = await add(...ODD.map((name) => ({ name })));
    const stranger = await worker().exchange({ limit: 50, queues: [{ queue: QUEUE, names: ["something else"] }] });
    expect(stranger.jobs).toEqual([]);
    expect(stranger.unknown.map(({ name }) => name)).toEqual(ODD);
    for (const [index, name] of ODD.entries())
      expect(await worker().claimIds(50, [{ queue: QUEUE, names: [name] }]), name).toEqual([ids[index]]);
  });

  it("R32: an id of any characters that may be added is reached by every verb", async ({
    add,
    command,
    driver,
    expect,
    job,
    worker,
  }) => {
    const failed = await add({ maxAttempts: 1 });
    const one = worker();
    for (const held of await one.claim(1)) await one.fail(held);
    await add(...IN_ADDRESSES.map((id) => ({ id, delayMs: 1_000 })));
    for (const id of IN_ADDRESSES) {
      expect((await job(id)).id, id).toBe(id);
      const update = { type: "update", queue: QUEUE, id, priority: 7, payload: JSON.stringify(id) } as const;
      expect(await driver.command(update), id).toMatchObject({ affected: 1 });
      expect(await job(id), id).toMatchObject({ id, priority: 7, payload: id });
      expect(await command("promote", id), id).toMatchObject({ affected: 1 });
      expect(await command("cancel", id), id).toEqual({ affected: 1, state: "cancelled" });
      expect(await command("retry", id), id).toMatchObject({ affected: 1 });
      expect(await job(id), id).toMatchObject({ id, state: "waiting" });
      expect(await command("remove", id), id).toMatchObject({ affected: 1 });
      expect(await driver.get(QUEUE, id), id).toBeUndefined();
    }
    expect(await job(failed[0])).toMatchObject({ state: "failed" });
  });

  it("R32: a schedule key of any characters that may be set is reached by every verb", async ({ driver, expect }) => {
    for (const key of IN_ADDRESSES) {
      const rule = { kind: "every", everyMs: 60_000 } as const;
      const set = { type: "schedule", queue: QUEUE, key, rule, job: newJob() } as const;
      expect(await driver.command(set), key).toMatchObject({ affected: 1 });
      expect((await driver.schedules(QUEUE)).map((schedule) => schedule.key)).toEqual([key]);
      expect(await driver.command({ type: "unschedule", queue: QUEUE, key }), key).toMatchObject({ affected: 1 });
    }
    expect(await driver.schedules(QUEUE)).toEqual([]);
  });

  for (const dots of [".", ".."]) {
    it(`R32: ${dots} is refused as an id, a queue and a schedule key: a URL loses it`, async ({
      add,
      counts,
      driver,
      expect,
      job,
      refused,
      worker,
    }) => {
      await refused(driver.enqueue([newJob(), newJob({ id: dots })]), "invalid_option");
      await refused(driver.enqueue([newJob({ queue: dots })]), "invalid_option");
      const rule = { kind: "every", everyMs: 60_000 } as const;
      const set = { type: "schedule", queue: QUEUE, key: dots, rule, job: newJob() } as const;
      await refused(driver.command(set), "invalid_option");
      expect(await counts()).toEqual(NOTHING);

      // Of a failed job beside it nothing is changed by what would be its neighbour's address.
      const [failed] = await add({ maxAttempts: 1 });
      const one = worker();
      for (const held of await one.claim(1)) await one.fail(held);
      for (const type of ["retry", "cancel", "promote", "remove"] as const)
        await driver.command({ type, queue: QUEUE, id: dots }).catch(() => {});
      await driver.command({ type: "unschedule", queue: QUEUE, key: dots }).catch(() => {});
      await driver.get(QUEUE, dots).catch(() => {});
      expect(await job(failed)).toMatchObject({ state: "failed" });
      expect(await counts()).toEqual({ ...NOTHING, failed: 1 });
      // A name, a group and a dedupe key stand in no path.
      await add({ name: dots, group: { key: dots }, dedupe: { key: dots, mode: "drop" }, tags: [dots] });
    });
  }

  for (const [what, bad] of [
    ["a lone surrogate", "a\ud800"],
    ["no character", ""],
    ["over 256 characters", "a".repeat(257)],
  ] as const) {
    it(`R4: a name of ${what} is refused, wherever it stands`, async ({ counts, driver, expect, refused }) => {
      await refused(driver.enqueue([newJob({ queue: bad })]), "invalid_option");
      await refused(driver.enqueue([newJob({ name: bad })]), "invalid_option");
      await refused(driver.enqueue([newJob({ id: bad })]), "invalid_option");
      await refused(driver.enqueue([newJob({ dedupe: { key: bad, mode: "drop" } })]), "invalid_option");
      expect(await counts()).toEqual(NOTHING);
    });
  }

  const knows = (...names: string[]) => [{ queue: QUEUE, names }];

  it("R17: a job whose name the worker does not know steps aside, and is reported once", async ({
    add,
    counts,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [strange, known] = await add({ name: "strange" }, { name: "known" });
    const one = worker({ queues: knows("known") });
    const reply = await one.exchange({ limit: 1 });
    expect(reply.jobs.map(({ job: { id } }) => id)).toEqual([known]);
    expect(reply.unknown).toEqual([{ queue: QUEUE, name: "strange" }]);
    expect((await one.exchange({ limit: 1 })).unknown).toEqual([]);
    expect(await job(strange)).toMatchObject({ state: "waiting", blockedBy: "name", attempts: 0 });
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1, active: 1 });
    expect((await driver.list({ queue: QUEUE, state: "waiting" })).jobs.map(({ id }) => id)).toEqual([strange]);
  });

  it("R17: it comes back, to the place it had, when a worker declares its name", async ({
    add,
    advance,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add({ name: "strange" }, { name: "known" });
    await advance(10);
    const [high] = await add({ name: "strange", priority: 1 });
    expect(await worker({ queues: knows("other") }).claim(9)).toHaveLength(0);
    await advance(10);
    const [c] = await add({ name: "known" });
    const one = worker({ queues: knows("strange", "known") });
    expect(await one.claimIds(9)).toEqual([high, a, b, c]);
    expect((await job(a)).blockedBy).toBeUndefined();
  });

  it("R17: it comes back for a worker that takes any name", async ({ add, expect, worker }) => {
    const [a, b] = await add({ name: "strange" }, { name: "known" });
    const knowing = worker({ queues: knows("known") });
    expect(await knowing.claimIds(9)).toEqual([b]);
    expect(await worker().claimIds(9)).toEqual([a]);
  });

  it("R17: workers that know different names drain a mixed queue, whatever order they come in", async ({
    add,
    counts,
    expect,
    worker,
  }) => {
    const ids = await add(...Array.from({ length: 30 }, (_, n) => ({ name: ["x", "y", "z"][n % 3] as string })));
    const seen: Record<string, string[]> = { x: [], y: [], z: [] };
    const workers = ["x", "y", "z"].map((name) => ({ name, worker: worker({ queues: knows(name) }) }));
    for (let round = 0; round < 10; round++) {
      for (const { name, worker: one } of workers) {
        const jobs = await one.claim(2);
        seen[name]?.push(...jobs.map(({ job }) => job.id));
        await one.complete(jobs);
      }
    }
    expect(["x", "y", "z"].map((name) => seen[name])).toEqual(
      [0, 1, 2].map((rest) => ids.filter((_, n) => n % 3 === rest)),
    );
    expect(await counts()).toEqual({ ...NOTHING, completed: 30 });
  });

  it("R17: a long run of unknown names does not keep the known job behind it", async ({ add, expect, worker }) => {
    await add(...Array.from({ length: 350 }, () => ({ name: "strange" })));
    const [id] = await add({ name: "known" });
    const one = worker({ queues: knows("known") });
    // A claim moves a bounded number aside; until it is through it says that the next look is due at once.
    for (let round = 0; round < 20; round++) {
      const reply = await one.exchange({ limit: 1 });
      if (reply.jobs.length > 0) {
        expect(reply.jobs.map(({ job }) => job.id)).toEqual([id]);
        return;
      }
      expect(reply.nextWakeMs).toBe(0);
    }
    throw new Error("The known job was not claimed in 20 exchanges.");
  });

  it("R17: jobs of more names than a queue lists step aside, and each comes back", async ({
    add,
    counts,
    expect,
    worker,
  }) => {
    const ids = await add(...Array.from({ length: 250 }, (_, n) => ({ name: `strange ${n}` })));
    const [known] = await add({ name: "known" });
    const one = worker({ queues: knows("known") });
    /** One claim moves a bounded number of jobs aside, and where a queue is split some of them stand before each job. */
    const claimNext = async (by: typeof one): Promise<readonly string[]> => {
      let claimed: readonly string[] = [];
      for (let round = 0; claimed.length === 0 && round < 20; round++) claimed = await by.claimIds(1);
      return claimed;
    };
    expect(await claimNext(one)).toEqual([known]);
    for (const n of [0, 99, 100, 249]) {
      expect(await claimNext(worker({ queues: knows(`strange ${n}`, "nothing") }))).toEqual([ids[n]]);
    }
    const any = worker();
    const seen = new Set<string>();
    for (let round = 0; seen.size < 246 && round < 20; round++) {
      const jobs = await any.claim(100);
      for (const { job } of jobs) seen.add(job.id);
      await any.complete(jobs);
    }
    expect(seen.size).toBe(246);
    // Nothing waits any more: what steps aside now is listed again.
    await add({ name: "late" });
    expect(await one.claimIds(1)).toEqual([]);
    expect(await worker({ queues: knows("late") }).claimIds(1)).toHaveLength(1);
    expect(await counts()).toMatchObject({ waiting: 0, active: 6, completed: 100 });
  });

  it("R17: a job that stepped aside can be cancelled, removed and cleared", async ({
    add,
    command,
    counts,
    driver,
    expect,
    job,
    worker,
  }) => {
    const [a, b] = await add({ name: "strange" }, { name: "strange" }, { name: "strange" });
    await worker({ queues: knows("known") }).claim(1);
    expect(await command("cancel", a)).toMatchObject({ affected: 1, state: "cancelled" });
    expect(await job(a)).toMatchObject({ state: "cancelled" });
    expect(await command("remove", b)).toMatchObject({ affected: 1 });
    expect(await driver.command({ type: "clear", queue: QUEUE, state: "waiting" })).toMatchObject({ affected: 1 });
    expect(await counts()).toEqual({ ...NOTHING, cancelled: 1 });
  });

  it("R17: a job that stepped aside keeps its id and its dedupe key", async ({ driver, expect, worker }) => {
    await driver.enqueue([newJob({ name: "strange", id: "own", dedupe: { key: "k", mode: "drop" } })]);
    await worker({ queues: knows("known") }).claim(1);
    expect(await driver.enqueue([newJob({ id: "own" }), newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
      { id: "own", deduplicated: true },
      { id: "own", deduplicated: true },
    ]);
  });

  it("R17: a job that expired while it stood aside does not run when it comes back", async ({
    add,
    advance,
    expect,
    job,
    worker,
  }) => {
    const [late, good] = await add({ name: "strange", expiresInMs: 1_000 }, { name: "strange" });
    await worker({ queues: knows("known") }).claim(1);
    await advance(1_001);
    expect(await worker().claimIds(9)).toEqual([good]);
    expect(await job(late)).toMatchObject({ state: "failed", error: { code: "expired" } });
  });

  it("R17: a name that stepped aside in one queue is of no concern to another", async ({ add, expect, worker }) => {
    const [a, b] = await add({ queue: "a", name: "x" }, { queue: "b", name: "x" });
    const one = worker({
      queues: [
        { queue: "a", names: ["y"] },
        { queue: "b", names: ["x"] },
      ],
    });
    expect(await one.claimIds(9)).toEqual([b]);
    expect(await worker().claimIds(9, [{ queue: "a", names: ["x"] }])).toEqual([a]);
  });

  it("R17: a worker does not spin on names that it does not know", async ({ add, expect, worker }) => {
    await add({ name: "strange" });
    const one = worker({ queues: knows("known") });
    await one.exchange({ limit: 1 });
    expect((await one.exchange({ limit: 1 })).nextWakeMs).toBeUndefined();
  });
});
