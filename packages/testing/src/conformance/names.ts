import { NOTHING, newJob, verb } from "./support.ts";
import { QUEUE } from "./test-worker.ts";

/**
 * Names that could be confused in a key: with separators of a lane, escape characters, bounds of a scan, and texts that
 * stores sort differently.
 */
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

/** Names that a URL could change or interpret. `€` takes nine characters in a URL. */
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

/** Test cases about the characters of names, ids and keys. */
export const namesCases = verb("names", (it, needs) => {
  needs("admin", "inspect");
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

  needs("dedupe");
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

  needs("unknownNames");
  it("R4: job names of any characters are claimed, step aside and come back", async ({ add, expect, worker }) => {
    const ids = await add(...ODD.map((name) => ({ name })));
    const stranger = await worker().exchange({ limit: 50, queues: [{ queue: QUEUE, names: ["something else"] }] });
    expect(stranger.jobs).toEqual([]);
    expect(stranger.unknown.map(({ name }) => name)).toEqual(ODD);
    for (const [index, name] of ODD.entries())
      expect(await worker().claimIds(50, [{ queue: QUEUE, names: [name] }]), name).toEqual([ids[index]]);
  });

  needs("admin");
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

  needs("recurrences");
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
    needs("dedupe", "groups");
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

      // A failed job must not be changed by a request that names its neighbour.
      const [failed] = await add({ maxAttempts: 1 });
      const one = worker();
      for (const held of await one.claim(1)) await one.fail(held);
      for (const type of ["retry", "cancel", "promote", "remove"] as const)
        await driver.command({ type, queue: QUEUE, id: dots }).catch(() => {});
      await driver.command({ type: "unschedule", queue: QUEUE, key: dots }).catch(() => {});
      await driver.get(QUEUE, dots).catch(() => {});
      expect(await job(failed)).toMatchObject({ state: "failed" });
      expect(await counts()).toEqual({ ...NOTHING, failed: 1 });
      // Names, groups and dedupe keys are not part of a path.
      await add({ name: dots, group: { key: dots }, dedupe: { key: dots, mode: "drop" }, tags: [dots] });
    });
  }

  for (const [what, bad] of [
    ["a lone surrogate", "a\ud800"],
    ["no character", ""],
    ["over 256 characters", "a".repeat(257)],
  ] as const) {
    needs();
    it(`R4: a name of ${what} is refused, wherever it stands`, async ({ counts, driver, expect, refused }) => {
      await refused(driver.enqueue([newJob({ queue: bad })]), "invalid_option");
      await refused(driver.enqueue([newJob({ name: bad })]), "invalid_option");
      await refused(driver.enqueue([newJob({ id: bad })]), "invalid_option");
      await refused(driver.enqueue([newJob({ dedupe: { key: bad, mode: "drop" } })]), "invalid_option");
      expect(await counts()).toEqual(NOTHING);
    });
  }
});
