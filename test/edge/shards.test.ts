import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { Driver } from "@quayside/core";
import { type ExchangeRequest, type NewJob, storeOfId } from "@quayside/core/engine";
import {
  edgeQueue,
  type QueueNamespace,
  queueApi,
  queueStub,
  StubDriver,
  shardedDriver,
  shardOfKey,
} from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { jobs, type WorkQueue } from "./queues.ts";
import { openSharded } from "./sharded-drivers.ts";
import { ended } from "./work-queue.ts";

afterEach(reset);

const QUEUE = "mail";
const job = (more: Partial<NewJob> = {}): NewJob => ({ queue: QUEUE, name: "email", payload: "null", ...more });
let opened = 0;

/** A namespace that notes which object each call goes to, and whose objects can be made to fail. */
function noting(namespace: QueueNamespace) {
  const calls: { readonly name: string; readonly verb: string }[] = [];
  const failing = new Set<string>();
  const get: QueueNamespace["get"] = (id) => {
    const stub = namespace.get(id) as Record<string, (...args: unknown[]) => Promise<unknown>>;
    return new Proxy(stub, {
      get: (_, verb: string) => {
        return async (...args: unknown[]) => {
          const name = id.name ?? "";
          calls.push({ name, verb });
          if (failing.has(name)) throw Object.assign(new Error("overloaded"), { overloaded: true, remote: true });
          return stub[verb]?.(...args);
        };
      },
    });
  };
  return {
    namespace: { idFromName: (name: string) => namespace.idFromName(name), get } satisfies QueueNamespace,
    failing,
    /** The objects called since the last time it was asked, in order. */
    called: () => calls.splice(0).map(({ name }) => name),
  };
}

describe("a queue over four objects", () => {
  it("each works what lies in it; ids name the shard, where they are added and in the handler", async () => {
    const name = `work-${opened++}`;
    const queue = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs, shards: 4 });
    const ids: string[] = [];
    for (let n = 0; n < 8; n++) ids.push(await queue.addJob("note", { board: name, note: `${n}` }));
    for (const id of ids) expect(await ended(queue as never, id)).toMatchObject({ state: "completed", id });
    expect(new Set(ids.map(storeOfId))).toEqual(new Set([0, 1, 2, 3]));
    const board = env.SMOKE.getByName(name);
    const noted = await runInDurableObject(board, (_, { storage }) => [
      ...storage.sql.exec<{ id: string }>("SELECT id FROM notes ORDER BY note"),
    ]);
    expect(noted.map(({ id }) => id)).toEqual(ids);
    for (let shard = 0; shard < 4; shard++) {
      const alone = new StubDriver(() => queueStub(env.WORK_QUEUE, name, shard));
      expect(await alone.counts(name)).toMatchObject({ completed: 2 });
    }
  });

  it("delayed jobs run by the alarms of their objects", async () => {
    const name = `work-${opened++}`;
    const queue = edgeQueue<typeof jobs>(env.WORK_QUEUE, name, { jobs, shards: 2 });
    const ids = [0, 1].map(() => queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" }));
    await Promise.all(ids);
    for (let shard = 0; shard < 2; shard++) {
      const object = env.WORK_QUEUE.getByName(shard === 0 ? name : `${name}#${shard}`);
      const alarm = await runInDurableObject(object, (_: WorkQueue, { storage }) => storage.getAlarm());
      const waiting = await new StubDriver(() => queueStub(env.WORK_QUEUE, name, shard)).counts(name);
      expect(alarm === null).toBe(waiting.delayed === 0);
    }
    expect(await queue.counts()).toMatchObject({ delayed: 2 });
  });

  it("a handler that adds a job with a key to its own object is told where it belongs", async () => {
    const { alone, driver } = await openSharded(4);
    await driver.enqueue([job()]);
    for (let shard = 0; shard < 4; shard++) await driver.enqueue([job()]);
    const key = "ada";
    const home = shardOfKey(key, 4);
    const away = (home + 1) % 4;
    await expect(alone(away).enqueue([job({ group: { key } })])).rejects.toMatchObject({
      code: "invalid_option",
      details: { shard: home },
    });
    await alone(home).enqueue([job({ group: { key } })]);
    await alone(away).enqueue([job()]);
  });

  it("a generated id that names its shard leads to one object, a read by an own id to that which it says", async () => {
    const { namespace, called } = noting(env.BARE_QUEUE);
    const driver = shardedDriver(namespace, "one-object", { shards: 4 });
    const made = [];
    for (let call = 0; call < 4; call++) made.push(...(await driver.enqueue([job()])));
    const generated = made.find(({ id }) => storeOfId(id) === 2);
    const [own] = await driver.enqueue([job({ id: "own" })]);
    called();
    for (const id of [generated?.id, own?.id] as string[]) {
      expect(await driver.get(QUEUE, id)).toMatchObject({ id });
      if (id === own?.id) {
        expect(new Set(called()).size).toBe(1);
        continue;
      }
      await driver.command({ type: "update", queue: QUEUE, id, priority: 1 });
      await driver.command({ type: "cancel", queue: QUEUE, id });
      await driver.command({ type: "retry", queue: QUEUE, id });
      await driver.command({ type: "remove", queue: QUEUE, id });
      expect(new Set(called()).size).toBe(1);
    }
    // A command by an own id: another job of it may lie elsewhere.
    await driver.command({ type: "update", queue: QUEUE, id: "own", priority: 1 });
    expect(called()).toHaveLength(5);
    // An id that is nowhere is looked for in all of them: a job may lie by its group, whoever made its id.
    expect(await driver.get(QUEUE, generated?.id as string)).toBeUndefined();
    expect(called()).toHaveLength(4);
  });

  it("an own id of a job that lies by its group is found wherever that is", async () => {
    const { driver } = await openSharded(4);
    const ids = Array.from({ length: 6 }, (_, n) => `invoice-${n}`);
    await driver.enqueue(ids.map((id) => job({ id, group: { key: `customer of ${id}` } })));
    for (const id of ids) {
      expect(await driver.get(QUEUE, id)).toMatchObject({ id });
      expect(await driver.command({ type: "cancel", queue: QUEUE, id })).toMatchObject({ affected: 1 });
      expect(await driver.command({ type: "retry", queue: QUEUE, id })).toMatchObject({ affected: 1 });
      expect(await driver.command({ type: "remove", queue: QUEUE, id })).toMatchObject({ affected: 1 });
    }
    expect(await driver.command({ type: "cancel", queue: QUEUE, id: "nobody" })).toEqual({ affected: 0 });
    await expect(driver.command({ type: "retry", queue: QUEUE, id: "nobody" })).rejects.toMatchObject({
      code: "job_not_found",
    });
  });

  it("a batch is one request and one row a job", async () => {
    const { namespace, called } = noting(env.BARE_QUEUE);
    const name = "one-batch";
    const driver = shardedDriver(namespace, name, { shards: 4 });
    for (let call = 0; call < 4; call++) await driver.enqueue([job()]);
    called();
    const before = await usage(name);
    await driver.enqueue(Array.from({ length: 100 }, () => job()));
    expect(called()).toHaveLength(1);
    expect((await usage(name)) - before).toBe(100);
  });

  it("lists what a queue in one object would list, in the same order, in pages of any size", async () => {
    const split = await openSharded(4);
    const whole = await openSharded(1, 1);
    for (let n = 0; n < 30; n++) {
      const one = job({ payload: `${n}`, priority: n % 3, ...(n % 4 === 0 && { delayMs: 60_000 + n }) });
      for (const { driver, advance } of [split, whole]) {
        await driver.enqueue([one]);
        await advance(1);
      }
    }
    const names = ["completed", "failed"] as const;
    for (const { driver, advance } of [split, whole]) {
      let exchange = 0;
      for (const outcome of [...names, ...names]) {
        const ask = { worker: "w", liveness: "time", leaseMs: 600_000, running: [] } as const;
        const queues = [{ queue: QUEUE }];
        const claim = { limit: 30, queues };
        const { jobs: held } = await driver.exchange({ ...ask, exchange: ++exchange, settle: [], claim });
        // The same job of both queues, whichever came first here.
        const next = [...held].sort((a, b) => Number(a.job.payload) - Number(b.job.payload))[0];
        const settle = [
          {
            token: next?.token as string,
            outcome,
            ...(outcome === "failed" && { error: { code: "internal", message: "" } }),
          },
        ] as ExchangeRequest["settle"];
        await driver.exchange({ ...ask, exchange: ++exchange, settle, claim: { limit: 0, queues: [] } });
        await advance(1);
      }
    }
    for (const state of [undefined, "waiting", "delayed", "completed", "failed"] as const) {
      const expected = await payloads(whole.driver, state, 1_000);
      expect(expected.length).toBeGreaterThan(1);
      for (const limit of [1, 2, 7, 1_000]) expect(await payloads(split.driver, state, limit)).toEqual(expected);
    }
  });

  it("what is done to the queue is done to all shards, or the error says to which it was", async () => {
    const { namespace, failing } = noting(env.BARE_QUEUE);
    const name = "all-or-told";
    const driver = shardedDriver(namespace, name, { shards: 4 });
    for (let call = 0; call < 4; call++) await driver.enqueue([job()]);
    failing.add(`${name}#2`);
    const pause = () => driver.command({ type: "pause", queue: QUEUE });
    await expect(pause()).rejects.toMatchObject({
      code: "network",
      message: expect.stringContaining("3 have done it (pause): send it again"),
      details: { done: [0, 1, 3], shards: 4 },
    });
    failing.clear();
    expect((await driver.counts(QUEUE)).paused).toBe(false);
    await pause();
    expect((await driver.counts(QUEUE)).paused).toBe(true);
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 4 });
  });

  it("refuses limits that each shard could only hold for itself", async () => {
    const { driver } = await openSharded(4);
    for (const limit of [{ rateLimit: { max: 1, perMs: 1_000 } }, { maxActive: 3 }])
      await expect(driver.command({ type: "configure", queue: QUEUE, ...limit })).rejects.toMatchObject({
        code: "invalid_option",
        details: { option: Object.keys(limit)[0] },
      });
    await driver.command({ type: "configure", queue: QUEUE, rateLimit: null, maxActive: null });
    await expect(
      driver.command({
        type: "schedule",
        queue: QUEUE,
        key: "nightly",
        rule: { kind: "every", everyMs: 1_000 },
        job: job({ group: { key: "g" } }),
      }),
    ).rejects.toMatchObject({ code: "invalid_option", details: { option: "group" } });
  });

  it("tells those who watch of changes in every shard", async () => {
    const { driver, another } = await openSharded(4);
    const told = new Set<string>();
    const stop = driver.watch(({ kind, queue }) => told.add(`${queue} ${kind}`));
    await driver.enqueue([job()]);
    // Each stream says, as it opens, that anything may have been missed: only then is it listening.
    await vi.waitFor(() => expect(told.has(`${QUEUE} cancel`)).toBe(true));
    const other = await another();
    for (let shard = 0; shard < 4; shard++) {
      await vi.waitFor(async () => {
        told.clear();
        await other.enqueue([job({ id: idIn(shard) })]);
        expect(told).toContain(`${QUEUE} ready`);
      });
    }
    stop();
  });

  it("R10: a job that must run alone does so, whatever waits in the other shards", async () => {
    const { driver, advance } = await openSharded(4);
    const round = (worker: string) => {
      let exchange = 0;
      return (limit: number, more: Partial<ExchangeRequest> = {}) =>
        driver.exchange({
          worker,
          liveness: "time",
          leaseMs: 1_000,
          exchange: ++exchange,
          settle: [],
          running: [],
          claim: { limit, queues: [{ queue: QUEUE }] },
          ...more,
        });
    };
    await driver.enqueue([job({ id: idIn(1) })]);
    const rescuer = round("rescuer");
    for (let crash = 0; crash < 2; crash++) {
      expect((await round(`victim-${crash}`)(1)).jobs).toHaveLength(1);
      await rescuer(0);
      await advance(1_001);
      expect((await rescuer(0)).interrupted).toHaveLength(1);
      await advance(60_000);
    }
    for (const shard of [0, 2, 3]) await driver.enqueue([job({ id: idIn(shard) }), job({ id: idIn(shard) })]);
    // It begins at a shard of innocents: the suspect waits until nothing of them runs.
    const one = round(idIn(2));
    let { jobs: held } = await one(1);
    const seen: string[][] = [];
    for (let n = 0; held.length > 0; n++) {
      seen.push(held.map(({ job: { interruptions } }) => `${interruptions}`));
      const running = held.map(({ token }) => token);
      // Others of any shard are not put beside it.
      const beside = (await one(9, { running })).jobs;
      const together = [...held, ...beside];
      if (together.some(({ job: { interruptions } }) => interruptions >= 2)) expect(together).toHaveLength(1);
      const settle = together.map(({ token }) => ({ token, outcome: "completed" as const }));
      held = (await one(1, { settle })).jobs;
      expect(n).toBeLessThan(20);
    }
    expect(seen.flat().filter((interruptions) => interruptions === "2")).toHaveLength(1);
    expect(await driver.counts(QUEUE)).toMatchObject({ waiting: 0, active: 0, completed: 7 });
  });

  it("an object that does not bear the name of its shard says so", async () => {
    const driver = shardedDriver(
      { idFromName: () => env.BARE_QUEUE.newUniqueId(), get: (id) => env.BARE_QUEUE.get(id as never) },
      "nameless",
      { shards: 4 },
    );
    await expect(
      (async () => {
        for (let call = 0; call < 4; call++) await driver.enqueue([job()]);
      })(),
    ).rejects.toMatchObject({ code: "invalid_option", message: expect.stringContaining("asked as shard") });
  });

  it("a queue that is named like a shard is not split", () => {
    expect(() => edgeQueue(env.BARE_QUEUE, "mail#1", { shards: 4 })).toThrow(/cannot be split/);
    expect(() => queueApi({ object: () => env.BARE_QUEUE, shards: { "mail#1": 4 } })).toThrow(/cannot be split/);
    expect(() => queueApi({ object: () => env.BARE_QUEUE, shards: { mail: 0 } })).toThrow(/shards must be/);
  });

  it("a queue named like another's shard has nothing to do with its jobs", async () => {
    const { driver, name } = await openSharded(4);
    const neighbour = edgeQueue(env.BARE_QUEUE, `${name}#1`);
    const id = await neighbour.addJob("email", 1);
    await driver.enqueue([job({ id: idIn(1) })]);
    expect(await neighbour.counts()).toMatchObject({ waiting: 1 });
    expect(await driver.counts(QUEUE)).toMatchObject({ waiting: 1 });
    expect(await neighbour.get(id)).toMatchObject({ payload: 1 });
  });
});

let tried = 0;

/** An id of which the job lies in this shard of four; each call gives another. */
function idIn(shard: number): string {
  for (;;) {
    const id = `id-${tried++}`;
    if (shardOfKey(id, 4) === shard) return id;
  }
}

/** Rows written by the objects of a queue. */
async function usage(name: string): Promise<number> {
  let rows = 0;
  for (let shard = 0; shard < 4; shard++)
    rows += (await env.BARE_QUEUE.getByName(shard === 0 ? name : `${name}#${shard}`).usage()).rowsWritten;
  return rows;
}

async function payloads(driver: Driver, state: "waiting" | undefined | string, limit: number): Promise<unknown[]> {
  const found: unknown[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await driver.list({
      queue: QUEUE,
      limit,
      ...(state !== undefined && { state: state as "waiting" }),
      ...(cursor !== undefined && { cursor }),
    });
    found.push(...page.jobs.map(({ payload }) => payload));
    expect(page.jobs.length).toBeLessThanOrEqual(limit);
    cursor = page.cursor;
    if (cursor === undefined) return found;
  }
}
