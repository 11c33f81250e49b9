import { reset } from "cloudflare:test";
import type { Driver, JobRecord, ShardsOption } from "@quayside/core";
import type { ClaimedJob, NewJob } from "@quayside/core/engine";
import { storeOfId } from "@quayside/core/engine";
import { shardOfKey } from "@quayside/edge";
import { seededRandom } from "@quayside/testing";
import { afterEach, describe, expect, it } from "vitest";
import { openSharded } from "./sharded-drivers.ts";

afterEach(reset);

const QUEUE = "mail";
const job = (more: Partial<NewJob> = {}): NewJob => ({ queue: QUEUE, name: "email", payload: "null", ...more });
const drop = (key: string) => ({ key, mode: "drop" }) as const;
const NONE = { completed: 0, failed: 0, cancelled: 0 };

let tried = 0;

/** A key that lies elsewhere when `few` shards have become `many`; each call gives another. */
function movingKey(few: number, many: number): string {
  for (;;) {
    const key = `key-${tried++}`;
    if (shardOfKey(key, few) !== shardOfKey(key, many)) return key;
  }
}

/** A worker of all shards that its driver knows. */
function worker(driver: Driver) {
  let exchange = 0;
  const key = `worker-${Math.random()}`;
  const held = new Set<string>();
  const send = async (settle: readonly ClaimedJob[], limit: number) => {
    for (const { token } of settle) held.delete(token);
    const reply = await driver.exchange({
      worker: key,
      liveness: "time",
      leaseMs: 30_000,
      exchange: ++exchange,
      settle: settle.map(({ token }) => ({ token, outcome: "completed" })),
      running: [...held],
      claim: { limit, queues: [{ queue: QUEUE }] },
    });
    for (const { token } of reply.jobs) held.add(token);
    return reply.jobs;
  };
  return {
    claim: (limit: number) => send([], limit),
    complete: (...jobs: readonly ClaimedJob[]) => send(jobs, 0),
  };
}

const idsOf = (jobs: readonly ClaimedJob[]) => jobs.map(({ job: { id } }) => id).sort();

// From and to: a queue that was whole, one that grows, one that shrinks.
describe.each([
  [1, 4],
  [2, 4],
  [4, 2],
])("a queue that goes from %i shards to %i", (before, after) => {
  const now: ShardsOption = { count: after, previous: before };
  /** A queue that has been in use with its old number of shards. */
  const open = async () => {
    const queue = await openSharded(before);
    return { ...queue, old: queue.driver, next: queue.as(now) };
  };

  it("works, finds and counts what waited before", async () => {
    const { old, next } = await open();
    const ids: string[] = [];
    for (let call = 0; call < before; call++)
      ids.push(...(await old.enqueue([job(), job(), job({ id: `own-${call}` })])).map(({ id }) => id));
    expect(await next.counts(QUEUE)).toMatchObject({ waiting: ids.length });
    expect((await next.list({ queue: QUEUE })).jobs.map(({ id }) => id).sort()).toEqual([...ids].sort());
    for (const id of ids) expect(await next.get(QUEUE, id)).toMatchObject({ id });
    expect(await next.command({ type: "cancel", queue: QUEUE, id: ids[0] as string })).toMatchObject({ affected: 1 });
    expect(idsOf(await worker(next).claim(99))).toEqual(ids.slice(1).sort());
  });

  it("new jobs without a key go to the shards that are", async () => {
    const { next } = await open();
    const shards = new Set<number | undefined>();
    for (let call = 0; call < after * 2; call++)
      for (const { id } of await next.enqueue([job()])) shards.add(storeOfId(id));
    expect([...shards].sort()).toEqual(Array.from({ length: after }, (_, shard) => shard));
  });

  it("an id that was added before is not added again, while it lives and while it is kept", async () => {
    const { old, next } = await open();
    const id = movingKey(before, after);
    await old.enqueue([job({ id, payload: "1" })]);
    expect(await next.enqueue([job({ id, payload: "2" })])).toEqual([{ id, deduplicated: true }]);
    const one = worker(next);
    await one.complete(...(await one.claim(1)));
    expect(await next.get(QUEUE, id)).toMatchObject({ state: "completed", payload: 1 });
    expect(await next.enqueue([job({ id })])).toEqual([{ id, deduplicated: true }]);
    // Gone, it may come again, and then lies where it belongs by now.
    await next.command({ type: "remove", queue: QUEUE, id });
    expect(await next.enqueue([job({ id })])).toEqual([{ id, deduplicated: false }]);
    expect((await next.counts(QUEUE)).waiting).toBe(1);
  });

  it("a dedupe key is held by the job of before, then by that of now, never by both", async () => {
    const { old, next, alone } = await open();
    const key = movingKey(before, after);
    const keyed = job({ dedupe: drop(key) });
    const [first] = await old.enqueue([keyed]);
    expect(await next.enqueue([keyed])).toEqual([{ id: first?.id, deduplicated: true }]);
    const one = worker(next);
    const held = await one.claim(1);
    expect(await next.enqueue([keyed])).toEqual([{ id: first?.id, deduplicated: true }]);
    await one.complete(...held);
    const [second] = await next.enqueue([keyed]);
    expect(second?.deduplicated).toBe(false);
    expect(await alone(shardOfKey(key, after)).get(QUEUE, second?.id as string)).toBeDefined();
    expect(await next.enqueue([keyed])).toEqual([{ id: second?.id, deduplicated: true }]);
  });

  it("replace finds the job of before, running or waiting", async () => {
    const { old, next } = await open();
    const key = movingKey(before, after);
    const replacing = (payload: string) => job({ payload, dedupe: { key, mode: "replace" } });
    const [first] = await old.enqueue([replacing("1")]);
    expect(await next.enqueue([replacing("2")])).toEqual([{ id: first?.id, deduplicated: true }]);
    const one = worker(next);
    const held = await one.claim(9);
    expect(held.map(({ job: { payload } }) => payload)).toEqual([2]);
    await next.enqueue([replacing("3")]);
    expect(await one.claim(9)).toEqual([]);
    await one.complete(...held);
    expect((await one.claim(9)).map(({ job: { payload } }) => payload)).toEqual([3]);
  });

  it("a group keeps its limit while jobs of before run or wait, and moves when it has none", async () => {
    const { old, next, alone, advance } = await open();
    const key = movingKey(before, after);
    const grouped = job({ group: { key } });
    const first = (await old.enqueue([grouped, grouped])).map(({ id }) => id);
    const later = (await next.enqueue([grouped, grouped])).map(({ id }) => id);
    const one = worker(next);
    for (const id of [...first, ...later]) {
      const held = await one.claim(9);
      expect(idsOf(held)).toEqual([id]);
      await one.complete(...held);
    }
    // That it has run dry is seen when it is looked for again.
    await advance(10_000);
    const [moved] = await next.enqueue([grouped]);
    expect(await alone(shardOfKey(key, after)).get(QUEUE, moved?.id as string)).toBeDefined();
    expect(idsOf(await one.claim(9))).toEqual([moved?.id]);
    const [behind] = await next.enqueue([grouped]);
    expect(await worker(next).claim(9)).toEqual([]);
    expect(await alone(shardOfKey(key, after)).get(QUEUE, behind?.id as string)).toBeDefined();
  });

  it("who still adds by the old number is told of the new one, and adds no key twice", async () => {
    const { old, next, as } = await open();
    const [id, key, group] = [0, 0, 0].map(() => movingKey(before, after)) as [string, string, string];
    const jobs = [job({ id }), job({ dedupe: drop(key) }), job({ group: { key: group } })];
    for (const one of jobs) await next.enqueue([one]);
    if (before > 1) {
      const again: boolean[] = [];
      for (const driver of [old, as(before)])
        for (const one of jobs.slice(0, 2)) again.push((await driver.enqueue([one]))[0]?.deduplicated as boolean);
      expect(again).toEqual([true, true, true, true]);
      await old.enqueue([jobs[2] as NewJob]);
      expect(await worker(next).claim(9)).toHaveLength(3);
      expect((await next.counts(QUEUE)).waiting).toBe(1);
    }
  });

  it("a request that was made before is recognised by its number, although its jobs have ended", async () => {
    const { old, next, as } = await open();
    await old.command({ type: "configure", queue: QUEUE, keep: NONE });
    const ids = [0, 0, 0, 0].map(() => movingKey(before, after));
    const jobs = [...ids.map((id) => job({ id })), job()];
    const request = { sender: "outbox", number: 7, digest: "d" };
    const receipts = await old.enqueue(jobs, request);
    const one = worker(old);
    await one.complete(...(await one.claim(99)));
    expect(await next.enqueue(jobs, request)).toEqual(receipts);
    expect(await as(now).enqueue(jobs, request)).toEqual(receipts);
    await expect(next.enqueue(jobs, { ...request, digest: "other" })).rejects.toMatchObject({ code: "mark_conflict" });
    expect(await next.counts(QUEUE)).toMatchObject({ waiting: 0, completed: 0 });
    const more = await next.enqueue(jobs, { ...request, number: 8 });
    expect(more.map(({ deduplicated }) => deduplicated)).toEqual([false, false, false, false, false]);
    expect(await next.enqueue(jobs, { ...request, number: 8 })).toEqual(more);
    expect((await next.counts(QUEUE)).waiting).toBe(5);
  });

  it("a request of which only a part arrived before is completed, each job once", async () => {
    const { old, next, alone } = await open();
    const jobs = Array.from({ length: 8 }, () => job({ id: movingKey(before, after) }));
    const request = { sender: "outbox", number: 1, digest: "d" };
    // As after a failure in the middle: one shard has its part, the others have nothing.
    const shard = shardOfKey(jobs[0]?.id as string, before);
    const part = jobs.filter(({ id }) => shardOfKey(id as string, before) === shard);
    await alone(shard).shard("add", {
      shard,
      jobs: part,
      request,
      layout: { count: before },
      settings: { [QUEUE]: {} },
    });
    const receipts = await next.enqueue(jobs, request);
    expect(receipts).toEqual(jobs.map(({ id }) => ({ id, deduplicated: false })));
    expect(await next.enqueue(jobs, request)).toEqual(receipts);
    expect((await next.counts(QUEUE)).waiting).toBe(8);
    await expect(old.counts(QUEUE)).resolves.toBeDefined();
  });

  it("a recurrence moves with its next definition, and is never there twice", async () => {
    const { old, next } = await open();
    const key = movingKey(before, after);
    const rule = { kind: "every", everyMs: 60_000 } as const;
    await old.command({ type: "schedule", queue: QUEUE, key, rule, job: job() });
    await next.command({ type: "schedule", queue: QUEUE, key, rule, job: job() });
    expect(await next.schedules(QUEUE)).toMatchObject([{ key }]);
    expect(await next.counts(QUEUE)).toMatchObject({ delayed: 1 });
    expect(await next.command({ type: "unschedule", queue: QUEUE, key })).toEqual({ affected: 1 });
    expect(await next.schedules(QUEUE)).toEqual([]);
  });
});

/** Whatever may hold a key at most once: the keys of all jobs that have not ended. */
const keysOf = (jobs: readonly JobRecord[]) => jobs.map(({ dedupe }) => dedupe?.key).sort();

describe("a queue that grows", () => {
  it("while producers of both versions add and workers work: no key is held twice", async () => {
    const { driver: old, as } = await openSharded(2);
    const keys = Array.from({ length: 12 }, (_, n) => `race-${n}`);
    const random = seededRandom(5);
    const producers = [old, as(2), as({ count: 4, previous: 2 }), as({ count: 4, previous: 2 })];
    const workers = [worker(old), worker(producers[2] as Driver)];
    const last = producers[3] as Driver;
    for (let round = 0; round < 15; round++) {
      const some = keys.filter(() => random() < 0.7).map((key) => job({ dedupe: drop(key) }));
      // The newer version comes in the middle.
      const present = round < 3 ? producers.slice(0, 2) : producers;
      const active = round % 2 === 0 ? present : [...present].reverse();
      await Promise.all([
        ...active.map((producer) => producer.enqueue(some)),
        ...workers.map(async (one) => one.complete(...(await one.claim(3)))),
        ...active.map((producer) => producer.enqueue([job({ dedupe: drop(keys[round % 12] as string) })])),
      ]);
      const live = (await last.list({ queue: QUEUE, limit: 1_000 })).jobs.filter(({ finishedAt }) => !finishedAt);
      expect(keysOf(live)).toEqual([...new Set(keysOf(live))]);
      expect(live.length).toBeGreaterThan(0);
    }
  });

  it("stays paused, and keeps as many ended jobs, in the shards that are new", async () => {
    const { driver, as } = await openSharded(1);
    await driver.command({ type: "configure", queue: QUEUE, keep: NONE });
    await driver.command({ type: "pause", queue: QUEUE });
    const next = as({ count: 4, previous: 1 });
    for (let call = 0; call < 4; call++) await next.enqueue([job()]);
    expect(await worker(next).claim(9)).toEqual([]);
    await next.command({ type: "resume", queue: QUEUE });
    const one = worker(next);
    const held = await one.claim(9);
    expect(held).toHaveLength(4);
    await one.complete(...held);
    expect((await next.counts(QUEUE)).completed).toBe(0);
  });

  it("is refused while it has a limit that its shards could not hold together", async () => {
    const { alone, as } = await openSharded(1);
    for (const limit of [{ rateLimit: { max: 1, perMs: 1_000 } }, { maxActive: 1 }]) {
      await alone(0).command({ type: "configure", queue: QUEUE, rateLimit: null, maxActive: null, ...limit });
      const next = as({ count: 4, previous: 1 });
      const adds = async () => {
        for (let call = 0; call < 4; call++) await next.enqueue([job()]);
      };
      await expect(adds()).rejects.toMatchObject({ code: "invalid_option", details: { queue: QUEUE } });
    }
  });

  it("from one object: what knows of no shards adds nothing there that belongs elsewhere", async () => {
    const { alone, as } = await openSharded(1);
    const whole = alone(0);
    const [id, key, group] = [0, 0, 0].map(() => movingKey(1, 4)) as [string, string, string];
    const next = as({ count: 4, previous: 1 });
    const jobs = [job({ id }), job({ dedupe: drop(key) }), job({ group: { key: group } })];
    for (const one of jobs) {
      await next.enqueue([one]);
      await expect(whole.enqueue([one])).rejects.toMatchObject({
        code: "invalid_option",
        message: expect.stringContaining("split over 4 objects"),
        details: { shard: shardOfKey(id === one.id ? id : (one.dedupe?.key ?? one.group?.key ?? ""), 4) },
      });
    }
    await whole.enqueue([job()]);
    expect((await next.counts(QUEUE)).waiting).toBe(4);
  });

  it("twice, and back: nothing that waits is lost or added twice on the way", async () => {
    const { as } = await openSharded(1, 8);
    const keys = Array.from({ length: 40 }, (_, n) => `k${n}`);
    const all = () => keys.map((key) => job({ dedupe: drop(key) }));
    const ids = (await as(1).enqueue(all())).map(({ id }) => id);
    for (const [previous, count] of [
      [1, 4],
      [4, 8],
      [8, 3],
    ] as const) {
      // Some end under each number, and come again under the next.
      const driver = as({ count, previous });
      expect((await driver.enqueue(all())).filter(({ deduplicated }) => !deduplicated)).toEqual([]);
      const one = worker(driver);
      const held = await one.claim(10);
      await one.complete(...held);
      expect((await driver.enqueue(all())).filter(({ deduplicated }) => !deduplicated)).toHaveLength(10);
      expect((await driver.counts(QUEUE)).waiting).toBe(40);
      // What the number before the last one left behind has to be gone before the next change.
      const left = worker(driver);
      for (let jobs = await left.claim(100); jobs.length > 0; jobs = await left.claim(100))
        await left.complete(...jobs);
      await driver.enqueue(all());
    }
    expect(ids).toHaveLength(40);
  });
});
