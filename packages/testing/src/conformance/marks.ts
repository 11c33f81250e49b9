import { DEFAULTS } from "@quayside/core";
import { KEEP_NONE, NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

const request = (number: number, digest = `digest ${number}`, sender = "outbox-1") => ({ sender, number, digest });

export const marksCases = verb("numbered requests", (it, needs) => {
  needs("dedupe", "idempotency");
  it("R7: a request sent again answers the same and adds nothing", async ({ counts, driver, expect }) => {
    const jobs = [newJob(), newJob({ id: "own" }), newJob({ dedupe: { key: "k", mode: "drop" } })];
    const receipts = await driver.enqueue(jobs, request(1));
    expect(receipts.map(({ deduplicated }) => deduplicated)).toEqual([false, false, false]);
    for (let again = 0; again < 3; again++) expect(await driver.enqueue(jobs, request(1))).toEqual(receipts);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 3 });
  });

  needs("idempotency");
  it("R7: a repeat is recognised although its jobs have long ended and nothing is kept of them", async ({
    advance,
    another,
    counts,
    driver,
    expect,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    const jobs = [newJob({ id: "own" }), newJob()];
    const receipts = await driver.enqueue(jobs, request(1));
    const one = worker();
    await one.complete(await one.take(2));
    await advance(DEFAULTS.markMs - 1);
    const other = await another();
    expect(await other.enqueue(jobs, request(1))).toEqual(receipts);
    expect(await counts()).toEqual(NOTHING);
  });

  it("R7: a mark is forgotten after its time", async ({ advance, counts, driver, expect }) => {
    await driver.enqueue([newJob()], request(5));
    await advance(DEFAULTS.markMs);
    expect(await driver.enqueue([newJob()], request(5, "other"))).toMatchObject([{ deduplicated: false }]);
    expect((await counts()).waiting).toBe(2);
  });

  it("R7: a mark may have a shorter time of its own", async ({ advance, counts, driver, expect, refused }) => {
    const brief = (digest: string) => ({ ...request(1, digest, "key"), ttlMs: 60_000 });
    const receipts = await driver.enqueue([newJob()], brief("a"));
    await driver.enqueue([newJob()], request(1));
    await advance(59_999);
    expect(await driver.enqueue([newJob()], brief("a"))).toEqual(receipts);
    await refused(driver.enqueue([newJob()], brief("b")), "mark_conflict");
    await advance(1);
    expect(await driver.enqueue([newJob()], brief("b"))).toMatchObject([{ deduplicated: false }]);
    // The other request has the default time.
    await refused(driver.enqueue([newJob()], request(1, "other")), "mark_conflict");
    expect((await counts()).waiting).toBe(3);
  });

  it("R7: the same number with another content is refused and changes nothing", async ({
    counts,
    driver,
    expect,
    refused,
  }) => {
    const receipts = await driver.enqueue([newJob()], request(1, "a"));
    await refused(driver.enqueue([newJob(), newJob()], request(1, "b")), "mark_conflict");
    expect(await driver.enqueue([newJob()], request(1, "a"))).toEqual(receipts);
    expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
  });

  it("R7: the next number is a request of its own, and an older one is refused", async ({
    counts,
    driver,
    expect,
    refused,
  }) => {
    await driver.enqueue([newJob()], request(1));
    await driver.enqueue([newJob()], request(2));
    await driver.enqueue([newJob()], request(7));
    await refused(driver.enqueue([newJob()], request(2)), "stale_exchange");
    await refused(driver.enqueue([newJob()], request(6, "digest 7")), "stale_exchange");
    expect((await counts()).waiting).toBe(3);
  });

  it("R7: an older request is recognised too, if its jobs came with ids, whatever became of them", async ({
    counts,
    driver,
    expect,
    refused,
    worker,
  }) => {
    await driver.command({ type: "configure", queue: QUEUE, keep: KEEP_NONE });
    const batch = (n: number) => [newJob({ id: `a${n}` }), newJob({ id: `b${n}` })];
    for (let n = 1; n <= 3; n++) await driver.enqueue(batch(n), request(n));
    const one = worker();
    await one.complete(await one.claim(6));
    for (const n of [1, 2]) {
      expect(await driver.enqueue(batch(n), request(n))).toEqual([
        { id: `a${n}`, deduplicated: true },
        { id: `b${n}`, deduplicated: true },
      ]);
    }
    await refused(driver.enqueue(batch(2), request(2, "other")), "stale_exchange");
    expect(await driver.enqueue(batch(4), request(4))).toMatchObject([
      { deduplicated: false },
      { deduplicated: false },
    ]);
    expect((await counts()).waiting).toBe(2);
  });

  it("R7: as many older requests are recognised as is bounded", async ({ driver, expect, refused }) => {
    for (let n = 1; n <= 102; n++) await driver.enqueue([newJob({ id: `${n}` })], request(n));
    expect(await driver.enqueue([newJob({ id: "2" })], request(2))).toEqual([{ id: "2", deduplicated: true }]);
    await refused(driver.enqueue([newJob({ id: "1" })], request(1)), "stale_exchange");
  });

  needs();
  it("R4: a sender whose name cannot be a key is refused", async ({ counts, driver, expect, refused }) => {
    for (const sender of ["", "\ud800"])
      await refused(driver.enqueue([newJob()], request(1, "x", sender)), "invalid_option");
    expect(await counts()).toEqual(NOTHING);
  });

  needs("idempotency");
  it("R7: senders number for themselves", async ({ counts, driver, expect }) => {
    await driver.enqueue([newJob()], request(1, "x", "a"));
    await driver.enqueue([newJob()], request(1, "y", "b"));
    await driver.enqueue([newJob()], request(1, "y", "a/b"));
    expect((await counts()).waiting).toBe(3);
  });

  it("R7: a request that failed is not marked, and may be made again", async ({ counts, driver, expect, refused }) => {
    await refused(driver.enqueue([newJob(), newJob({ id: "\ud800" })], request(1)), "invalid_option");
    await refused(driver.enqueue([newJob({ flow: { parentRef: "nobody" } })], request(1, "x")), "invalid_option");
    expect(await counts()).toEqual(NOTHING);
    expect(await driver.enqueue([newJob()], request(1, "y"))).toHaveLength(1);
    expect((await counts()).waiting).toBe(1);
  });

  it("R7: a request made from two sides at once is done once", async ({ another, counts, driver, expect }) => {
    const other = await another();
    const [one, two] = await Promise.all(
      [driver, other, driver, other].map((each) => each.enqueue([newJob(), newJob()], request(1))),
    );
    expect(one).toEqual(two);
    expect((await counts()).waiting).toBe(2);
  });

  it("R7: a repeat answers as it did then, also of jobs that were deduplicated", async ({
    add,
    command,
    driver,
    expect,
  }) => {
    await add({ id: "own" });
    const receipts = await driver.enqueue([newJob({ id: "own" })], request(1));
    expect(receipts).toEqual([{ id: "own", deduplicated: true }]);
    await command("remove", "own");
    expect(await driver.enqueue([newJob({ id: "own" })], request(1))).toEqual(receipts);
    expect(await driver.get(QUEUE, "own")).toBeUndefined();
  });

  it("R7: lapsed marks do not pile up, whoever else sends", async ({ advance, driver, expect, records }) => {
    for (let n = 0; n < 20; n++) await driver.enqueue([newJob()], request(1, "x", `sender-${n}`));
    await advance(DEFAULTS.markMs / 2);
    for (let n = 0; n < 12; n++) await driver.enqueue([newJob()], request(1, "x", `another-${n}`));
    await advance(DEFAULTS.markMs / 2 + 60_000);
    for (let n = 1; n < 6; n++) await driver.enqueue([newJob()], request(n, "x", "middle"));
    const marks = async () => (await records())?.cells.filter(({ key }) => key[0] === "mark").length ?? 0;
    expect(await marks()).toBeLessThanOrEqual(13);
    await advance(DEFAULTS.markMs + 60_000);
    for (let n = 1; n < 6; n++) await driver.enqueue([newJob()], request(n, "x", "zzz"));
    expect(await marks()).toBeLessThanOrEqual(1);
  });

  it("R7: of senders that send once, no more marks stay than those whose time lasts and those of a minute", async ({
    advance,
    driver,
    expect,
    records,
  }) => {
    for (let n = 0; n < 10; n++) await driver.enqueue([newJob()], request(1, "x", `outbox-${n}`));
    const marks = async () => (await records())?.cells.filter(({ key }) => key[0] === "mark").length ?? 0;
    for (let n = 0; n < 120; n++) {
      // In random order, like hashes.
      await driver.enqueue([newJob()], { ...request(1, "x", `key-${(n * 67) % 997}`), ttlMs: 10_000 });
      await advance(1_000);
      expect(await marks()).toBeLessThanOrEqual(10 + 10 + 61);
    }
  });

  for (const [wrong, bad] of [
    ["a group key", { group: { key: "\ud800" } }],
    ["an empty group key", { group: { key: "" } }],
    ["a dedupe key", { dedupe: { key: "\udc00", mode: "replace" } }],
    ["a name", { name: "\ud800" }],
    ["an empty queue", { queue: "" }],
    ["a name that is too long", { name: "x".repeat(257) }],
    ["a parent of another call", { flow: { parentRef: "elsewhere" } }],
  ] as const) {
    needs("dedupe", "groups");
    it(`R6: a call refused for ${wrong} has changed nothing: no job, no key, no limit`, async ({
      add,
      counts,
      driver,
      expect,
      job,
      refused,
      worker,
    }) => {
      const group = { group: { key: "g" } };
      const [id] = await add({ dedupe: { key: "k", mode: "replace" } });
      const before = await job(id);
      await refused(
        driver.enqueue([
          newJob({ payload: "1", dedupe: { key: "k", mode: "replace" } }),
          newJob({ group: { key: "g", limit: 5 } }),
          newJob({ dedupe: { key: "free", mode: "throttle", ttlMs: 60_000 } }),
          newJob({ flow: { ref: "top" } }),
          newJob({ flow: { parentRef: "top" } }),
          newJob(bad as object),
        ]),
        "invalid_option",
      );
      expect(await job(id)).toEqual(before);
      expect(await counts()).toEqual({ ...NOTHING, waiting: 1 });
      const [, , free] = await add(group, group, { dedupe: { key: "free", mode: "drop" } });
      expect((await job(free)).state).toBe("waiting");
      expect(await worker().claim(9)).toHaveLength(3);
    });
  }
});
