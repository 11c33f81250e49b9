import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/** Test cases about jobs whose names have no handler in a worker. */
export const unknownNamesCases = verb("names", (it, needs) => {
  const knows = (...names: string[]) => [{ queue: QUEUE, names }];

  needs("inspect", "unknownNames");
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

  needs("unknownNames");
  it("R42: a name is no longer listed when the last job of it was removed, and a queue without settings has no record", async ({
    add,
    command,
    driver,
    expect,
    records,
    worker,
  }) => {
    const [a, b, c] = await add({ name: "a" }, { name: "b" }, { name: "a" });
    expect(await worker({ queues: knows("other") }).claim(9)).toEqual([]);
    const settings = async () => (await records())?.cells.filter(({ key }) => key[0] === "queue");
    await command("cancel", a);
    await command("remove", b);
    const left = await settings();
    if (left) expect(left).toMatchObject([{ value: { blockedNames: ["a"] } }]);
    await command("remove", c);
    await driver.command({ type: "pause", queue: QUEUE });
    await driver.command({ type: "resume", queue: QUEUE });
    expect((await settings()) ?? []).toEqual([]);
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
    // A claim blocks a limited number of jobs; until it is done, its reply asks for another claim at once.
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
    /**
     * Repeats a claim until it returns jobs. One claim blocks a limited number of jobs, and in a split queue several
     * claims may be needed before each job.
     */
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
    // No job waits any more, so newly blocked names are listed again.
    await add({ name: "late" });
    expect(await one.claimIds(1)).toEqual([]);
    expect(await worker({ queues: knows("late") }).claimIds(1)).toHaveLength(1);
    expect(await counts()).toMatchObject({ waiting: 0, active: 6, completed: 100 });
  });

  needs("admin", "unknownNames");
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

  needs("dedupe");
  it("R17: a job that stepped aside keeps its id and its dedupe key", async ({ driver, expect, worker }) => {
    await driver.enqueue([newJob({ name: "strange", id: "own", dedupe: { key: "k", mode: "drop" } })]);
    await worker({ queues: knows("known") }).claim(1);
    expect(await driver.enqueue([newJob({ id: "own" }), newJob({ dedupe: { key: "k", mode: "drop" } })])).toEqual([
      { id: "own", deduplicated: true },
      { id: "own", deduplicated: true },
    ]);
  });

  needs("expiry", "unknownNames");
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

  needs("unknownNames");
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

  needs("unknownNames");
  it("R19: a worker that runs as many jobs of the queue as it may leaves blocked names as they are", async ({
    add,
    expect,
    job,
    worker,
  }) => {
    const [id] = await add({ name: "strange" });
    await worker({ queues: knows("known") }).claim(1);
    const full = worker();
    await full.exchange({ limit: 1, queues: [{ queue: QUEUE, names: ["strange"], limit: 0 }] });
    expect(await job(id)).toMatchObject({ blockedBy: "name" });
    expect(await full.claimIds(1, knows("strange"))).toEqual([id]);
  });

  needs();
  it("R17: a worker does not spin on names that it does not know", async ({ add, expect, worker }) => {
    await add({ name: "strange" });
    const one = worker({ queues: knows("known") });
    await one.exchange({ limit: 1 });
    expect((await one.exchange({ limit: 1 })).nextWakeMs).toBeUndefined();
  });
});
