import { spellId } from "@quayside/core/engine";
import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

export const enqueueCases = verb("enqueue", (it, needs) => {
  it("R6: each job gets a receipt, in order, and is there when the call resolves", async ({ driver, expect, job }) => {
    const receipts = await driver.enqueue([
      newJob({ payload: "1" }),
      newJob({ payload: "2" }),
      newJob({ id: "third", payload: "3" }),
    ]);
    expect(receipts.map(({ deduplicated }) => deduplicated)).toEqual([false, false, false]);
    for (const [index, { id }] of receipts.entries()) expect((await job(id)).payload).toBe(index + 1);
    expect(receipts[2]?.id).toBe("third");
    expect(new Set(receipts.map(({ id }) => id)).size).toBe(3);
  });

  it("R6: a new job says what it is, with the defaults where nothing was asked for", async ({
    add,
    expect,
    job,
    now,
  }) => {
    const [id] = await add({ name: "resize", payload: '{"url":"a"}' });
    expect(await job(id)).toMatchObject({
      id,
      queue: QUEUE,
      name: "resize",
      payload: { url: "a" },
      state: "waiting",
      priority: 0,
      addedAt: now(),
      availableAt: now(),
      attempts: 0,
      maxAttempts: 3,
      interruptions: 0,
      tags: [],
    });
  });

  needs("dedupe", "expiry");
  it("R6: the options of a job are stored with it", async ({ add, expect, job, now }) => {
    const backoff = { kind: "list", delaysMs: [1, 2], jitter: 0 } as const;
    const dedupe = { key: "k", mode: "throttle", ttlMs: 60_000 } as const;
    const [id] = await add({
      priority: -7,
      maxAttempts: 9,
      backoff,
      timeoutMs: 5_000,
      tags: ["a", "b"],
      dedupe,
      expiresInMs: 90_000,
      delayMs: 10,
    });
    expect(await job(id)).toMatchObject({
      priority: -7,
      maxAttempts: 9,
      backoff,
      timeoutMs: 5_000,
      tags: ["a", "b"],
      dedupe,
      expiresAt: now() + 90_000,
      availableAt: now() + 10,
      state: "delayed",
    });
  });

  needs();
  it("R6: a payload comes back as it went in, whatever its characters", async ({ add, expect, job, worker }) => {
    const payload = { "a/b%\u0000": ["\u{1f600}", "é", "\ud800", null, 0.1, -0.5, { deep: [[]] }] };
    const [id] = await add({ payload: JSON.stringify(payload) });
    expect((await job(id)).payload).toEqual(payload);
    const [claimed] = await worker().take(1);
    expect(claimed.job.payload).toEqual(payload);
  });

  it("R6: adding an id that exists answers the job that stands and writes nothing", async ({
    add,
    counts,
    driver,
    expect,
    job,
  }) => {
    await add({ id: "invoice-1", payload: '"first"', priority: 5 });
    const before = await job("invoice-1");
    const [receipt] = await driver.enqueue([
      newJob({ id: "invoice-1", payload: '"second"', priority: 9, delayMs: 1_000, name: "other" }),
    ]);
    expect(receipt).toEqual({ id: "invoice-1", deduplicated: true });
    expect(await job("invoice-1")).toEqual(before);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
  });

  for (const state of ["delayed", "active", "completed", "failed", "cancelled"] as const) {
    needs();
    it(`R6: the id of a job that is ${state} is taken`, async ({ add, command, driver, expect, job, worker }) => {
      await add({ id: "invoice-1", payload: '"first"', ...(state === "delayed" && { delayMs: 60_000 }) });
      const one = worker();
      if (state === "cancelled") await command("cancel", "invoice-1");
      else if (state !== "delayed") {
        const [held] = await one.take(1);
        if (state === "completed") await one.complete(held);
        if (state === "failed") await one.fail(held);
      }
      const before = await job("invoice-1");
      expect(before.state).toBe(state);
      expect(await driver.enqueue([newJob({ id: "invoice-1", payload: '"second"' })])).toEqual([
        { id: "invoice-1", deduplicated: true },
      ]);
      expect(await job("invoice-1")).toEqual(before);
    });
  }

  needs();
  it("R6: an id twice in one call is one job, the first", async ({ driver, counts, expect, job }) => {
    const receipts = await driver.enqueue([
      newJob({ id: "twin", payload: "1" }),
      newJob({ id: "twin", payload: "2" }),
      newJob({ id: "other" }),
    ]);
    expect(receipts).toEqual([
      { id: "twin", deduplicated: false },
      { id: "twin", deduplicated: true },
      { id: "other", deduplicated: false },
    ]);
    expect((await job("twin")).payload).toBe(1);
    expect((await counts()).waiting).toBe(2);
  });

  it("R6: jobs that stand and new ones may be mixed in one call", async ({ add, counts, driver, expect }) => {
    await add({ id: "b" });
    const receipts = await driver.enqueue(["a", "b", "c"].map((id) => newJob({ id })));
    expect(receipts).toEqual([
      { id: "a", deduplicated: false },
      { id: "b", deduplicated: true },
      { id: "c", deduplicated: false },
    ]);
    expect((await counts()).waiting).toBe(3);
  });

  it("R6: an id added from two sides at the same time is one job", async ({ another, counts, driver, expect }) => {
    const other = await another();
    const receipts = await Promise.all([driver, other].map((each) => each.enqueue([newJob({ id: "race" })])));
    expect(
      receipts
        .flat()
        .map(({ deduplicated }) => deduplicated)
        .sort(),
    ).toEqual([false, true]);
    expect((await counts()).waiting).toBe(1);
  });

  it("R6: a call with one bad job stores none of its jobs", async ({ counts, driver, expect, refused }) => {
    await refused(
      driver.enqueue([newJob({ id: "good" }), newJob({ id: "bad\ud800" }), newJob({ id: "good too" })]),
      "invalid_option",
    );
    expect(await driver.get(QUEUE, "good")).toBeUndefined();
    expect(await counts()).toEqual(NOTHING);
  });

  it("R3: a refused call leaves nothing behind in memory either", async ({
    add,
    counts,
    driver,
    expect,
    refused,
    worker,
  }) => {
    await add({});
    await counts();
    await refused(driver.enqueue([newJob({ priority: 9 }), newJob({ id: "\udfff" })]), "invalid_option");
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
    const one = worker();
    await one.complete(await one.take(1));
    expect(await counts()).toEqual({ ...NOTHING, completed: 1 });
    expect(await driver.nextWake([QUEUE])).toBeUndefined();
  });

  it("R6: an empty call answers no receipts", async ({ counts, driver, expect }) => {
    expect(await driver.enqueue([])).toEqual([]);
    expect(await counts()).toEqual(NOTHING);
  });

  it("R6: one call may fill several queues", async ({ add, counts, expect }) => {
    await add({ queue: "a" }, { queue: "b" }, { queue: "a" });
    expect((await counts("a")).waiting).toBe(2);
    expect((await counts("b")).waiting).toBe(1);
  });

  needs("admin");
  it("R5: a generated id leads to its job in its own queue only", async ({ add, command, driver, expect, refused }) => {
    const [id] = await add({});
    expect(await driver.get("another queue", id)).toBeUndefined();
    expect(await command("cancel", id, "another queue")).toEqual({ affected: 0 });
    expect(await command("remove", id, "another queue")).toEqual({ affected: 0 });
    await refused(command("retry", id, "another queue"), "job_not_found");
    expect((await driver.get(QUEUE, id))?.state).toBe("waiting");
  });

  needs();
  it("R5: a generated id of one queue may be a caller's own id in another", async ({ add, driver, expect, job }) => {
    const [id] = await add({ payload: "1" });
    expect(await driver.enqueue([newJob({ queue: "copies", id, payload: "2" })])).toEqual([
      { id, deduplicated: false },
    ]);
    expect((await job(id)).payload).toBe(1);
    expect((await job(id, "copies")).payload).toBe(2);
  });

  it("R5: a caller's id may look generated, and is found as any other", async ({
    add,
    driver,
    expect,
    job,
    worker,
  }) => {
    const looks = "2s-lookslike-generated1-abcdefgh";
    await add({ id: looks, payload: "1" });
    expect((await job(looks)).payload).toBe(1);
    expect(await driver.enqueue([newJob({ id: looks, payload: "2" })])).toEqual([{ id: looks, deduplicated: true }]);
    const one = worker();
    await one.retry(await one.take(1), 1_000);
    expect((await job(looks)).state).toBe("delayed");
  });

  it("R5: a caller who gives the id that was generated for a standing job gets that job", async ({
    add,
    counts,
    driver,
    expect,
    job,
  }) => {
    const [id] = await add({ payload: "1" });
    expect(await driver.enqueue([newJob({ id, payload: "2" })])).toEqual([{ id, deduplicated: true }]);
    expect((await job(id)).payload).toBe(1);
    expect((await counts()).waiting).toBe(1);
  });

  it("R5: a caller may use a generated id again when its job is gone", async ({
    add,
    command,
    driver,
    expect,
    job,
  }) => {
    const [id] = await add({ payload: "1" });
    await command("remove", id);
    expect(await driver.enqueue([newJob({ id, payload: "2" })])).toEqual([{ id, deduplicated: false }]);
    expect((await job(id)).payload).toBe(2);
  });

  it("R5: the same id in two queues is two jobs", async ({ add, command, driver, expect, job }) => {
    await add({ queue: "a", id: "same", payload: "1" }, { queue: "b", id: "same", payload: "2" });
    expect((await job("same", "a")).payload).toBe(1);
    expect((await job("same", "b")).payload).toBe(2);
    await command("remove", "same", "a");
    expect(await driver.get("a", "same")).toBeUndefined();
    expect((await job("same", "b")).state).toBe("waiting");
  });

  needs("admin");
  it("R5: the place of a job with another id is not found by the id that would spell it", async ({
    add,
    command,
    driver,
    expect,
    job,
    records,
  }) => {
    await add({ id: "own", payload: "1" });
    const [moved] = await add({ delayMs: 60_000 });
    await command("promote", moved);
    for (const { id, key } of (await records())?.jobs ?? []) {
      const spelt = spellId(key);
      expect(spelt).not.toBe(id);
      expect(await driver.get(QUEUE, spelt)).toBeUndefined();
      expect(await command("remove", spelt)).toEqual({ affected: 0 });
      expect(await driver.enqueue([newJob({ id: spelt, payload: "2" })])).toEqual([{ id: spelt, deduplicated: false }]);
      expect((await job(spelt)).payload).toBe(2);
    }
    expect((await job("own")).payload).toBe(1);
    expect((await job(moved)).state).toBe("waiting");
  });

  needs();
  it("R5: a job that moved is still found by the id it got first", async ({ add, expect, job, untilDue, worker }) => {
    const [id] = await add({});
    const one = worker();
    for (const attempts of [1, 2]) {
      await one.retry(await one.take(1), 1_000);
      expect(await job(id)).toMatchObject({ id, state: "delayed", attempts });
      await untilDue(id);
    }
    await one.complete(await one.take(1));
    expect(await job(id)).toMatchObject({ id, state: "completed", attempts: 3 });
  });
});
