import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import { edgeQueue, queueStub, StubDriver } from "@quayside/edge";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ran, reported } from "./queues.ts";
import { open } from "./work-queue.ts";

afterEach(reset);
beforeEach(() => {
  ran.length = 0;
  reported.length = 0;
});

const damagedIn = ({ sql }: DurableObjectStorage) =>
  sql.exec<{ collection: string; key: string; record: string }>("SELECT collection, key, record FROM quayside_damaged");

describe("a damaged job", () => {
  it.each(['{"id":"half', "null", "", "7"])(
    "(%s) holds up nothing: it is set aside, told of, and the rest run",
    async (text) => {
      const { name, queue, storage } = open();
      await queue.pause();
      const people = Array.from({ length: 40 }, (_, n) => `p${n}@example.com`);
      await queue.addJobs(people.map((to) => ({ name: "email", payload: { to } })));
      // The first, one in the middle and the last of what the object claims at a time.
      const broken = [0, 4, 9, 25];
      const keys = await storage(({ sql }) => {
        const rows = sql.exec<{ order: number }>(`SELECT "order" FROM quayside_jobs ORDER BY "order"`).toArray();
        const orders = broken.map((index) => rows[index]?.order as number);
        for (const order of orders) sql.exec(`UPDATE quayside_jobs SET record = ? WHERE "order" = ?`, text, order);
        return orders;
      });
      expect(await queue.counts()).toMatchObject({ waiting: 40 });
      await queue.resume();
      await vi.waitFor(async () => expect(await queue.counts()).toMatchObject({ completed: 36, waiting: 0 }), {
        timeout: 10_000,
      });
      expect(ran).toEqual(people.filter((_, n) => !broken.includes(n)));
      expect(reported).toMatchObject(
        keys.map((order) => ({
          code: "storage_unavailable",
          message: expect.stringContaining("set aside"),
          details: {
            reason: "damaged",
            table: "quayside_jobs",
            key: ["ready", name, 0, expect.any(Number), order, expect.any(String)],
          },
        })),
      );
      const kept = await storage((inside) => damagedIn(inside).toArray());
      expect(kept.map(({ collection, record }) => [collection, record])).toEqual(broken.map(() => ["jobs", text]));
      expect(kept.map(({ key }) => (JSON.parse(key) as unknown[])[4])).toEqual(keys);
    },
  );

  it("that is asked for by its id is not there", async () => {
    const { queue, storage } = open();
    const id = await queue.addJob("email", { to: "ada@example.com" }, { delay: "1h" });
    await storage(({ sql }) => void sql.exec("UPDATE quayside_jobs SET record = ''"));
    expect(await queue.get(id)).toBeUndefined();
    expect(reported).toHaveLength(1);
    await expect(queue.retry(id)).rejects.toMatchObject({ code: "job_not_found" });
  });
});

describe("another damaged record", () => {
  const bare = (name: string) => {
    const object = env.BARE_QUEUE.getByName(name);
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, name));
    const storage = <T>(work: (storage: DurableObjectStorage) => T) =>
      runInDurableObject(object, (_, state) => work(state.storage));
    const exchange = (worker: string, number: number, more: object = {}) =>
      driver.exchange({
        worker,
        liveness: "time",
        leaseMs: 30_000,
        exchange: number,
        settle: [],
        running: [],
        claim: { limit: 10, queues: [{ queue: name }] },
        ...more,
      });
    return { queue: edgeQueue(env.BARE_QUEUE, name), driver, storage, exchange };
  };

  it("of a lease counts as no lease: its jobs are claimed anew, and its worker loses them", async () => {
    const { queue, storage, exchange } = bare("lease");
    const id = await queue.addJob("email", {});
    const [old] = (await exchange("one", 1)).jobs;
    await storage(({ sql }) => void sql.exec("UPDATE quayside_leases SET record = '{'"));
    const [anew] = (await exchange("two", 1)).jobs;
    expect(anew?.job.id).toBe(id);
    const settle = (token = "") => ({ settle: [{ token, outcome: "completed" }] });
    expect(await exchange("one", 2, settle(old?.token))).toMatchObject({ lost: [old?.token] });
    expect(await exchange("two", 2, settle(anew?.token))).toMatchObject({ lost: [] });
    expect(await queue.get(id)).toMatchObject({ state: "completed" });
    expect(await storage((inside) => damagedIn(inside).toArray())).toMatchObject([{ collection: "leases" }]);
  });

  it("of the settings of a queue are set aside, and pause that queue alone", async () => {
    const { queue, driver, storage, exchange } = bare("settings");
    await queue.pause();
    const id = await queue.addJob("email", {});
    await driver.enqueue([{ queue: "other", name: "email", payload: "{}" }]);
    await storage(({ sql }) => void sql.exec("UPDATE quayside_cells SET record = 'paused'"));
    // It may have been paused, so its jobs are not claimed.
    const queues = [{ queue: "settings" }, { queue: "other" }];
    const { jobs } = await exchange("one", 1, { claim: { limit: 10, queues } });
    expect(jobs.map(({ job }) => job.queue)).toEqual(["other"]);
    expect(await queue.counts()).toMatchObject({ waiting: 1, paused: true });
    expect(await queue.get(id)).toMatchObject({ state: "waiting" });
    expect(await storage((inside) => damagedIn(inside).toArray())).toMatchObject([
      { collection: "cells", record: "paused" },
    ]);
    await queue.resume();
    expect((await exchange("one", 2)).jobs.map(({ job }) => job.id)).toEqual([id]);
  });

  it("of a queue's settings does not stop the object's worker for its other queues", async () => {
    const { name, queue, storage } = open();
    await queue.pause();
    await queue.addJob("email", { to: "ada@example.com" });
    await storage(({ sql }) => void sql.exec("UPDATE quayside_cells SET record = '{' WHERE record LIKE '%paused%'"));
    const other = new Queue("other", new StubDriver(() => queueStub(env.WORK_QUEUE, name)));
    await other.addJob("email", { to: "bob@example.com" });
    await vi.waitFor(() => expect(ran).toEqual(["bob@example.com"]), { timeout: 5_000 });
    expect(await queue.counts()).toMatchObject({ waiting: 1, paused: true });
    expect(reported).toMatchObject([
      {
        code: "storage_unavailable",
        message: expect.stringContaining(`["queue","${name}"]`),
        details: { reason: "damaged", table: "quayside_cells", key: ["queue", name] },
      },
    ]);
  });
});
