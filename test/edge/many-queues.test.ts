import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import { queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { jobs, ran, type WorkQueue } from "./queues.ts";

afterEach(async () => {
  ran.length = 0;
  await reset();
});

let opened = 0;

/** An object that keeps this many queues, each with a job. */
async function open(count: number, options: object = {}) {
  const name = `many-${opened++}`;
  const object = env.WORK_QUEUE.getByName(name);
  const driver = new StubDriver(() => queueStub(env.WORK_QUEUE, name));
  const of = (queue: string) => new Queue<typeof jobs>(queue, driver, { jobs });
  const to = (n: number) => `${n}@example.com`;
  for (let from = 0; from < count; from += 500)
    await driver.enqueue(
      Array.from({ length: Math.min(500, count - from) }, (_, n) => ({
        queue: `queue ${from + n}`,
        name: "email",
        payload: JSON.stringify({ to: to(from + n) }),
        ...options,
      })),
    );
  return { object, driver, of };
}

/** The most rows that one transaction of the object reads while `work` runs. */
async function mostRead(object: DurableObjectStub<WorkQueue>, work: () => Promise<unknown>): Promise<number> {
  let most = 0;
  await runInDurableObject(object, (_, { storage }) => {
    const { transactionSync } = storage;
    const { exec } = storage.sql;
    let cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = [];
    storage.sql.exec = ((...args: Parameters<typeof exec>) => {
      const cursor = exec.apply(storage.sql, args);
      cursors.push(cursor);
      return cursor;
    }) as typeof exec;
    storage.transactionSync = (callback) => {
      cursors = [];
      const result = transactionSync.call(storage, callback) as ReturnType<typeof callback>;
      most = Math.max(
        most,
        cursors.reduce((rows, { rowsRead }) => rows + rowsRead, 0),
      );
      return result;
    };
  });
  await work();
  return most;
}

/** Rows that the object reads until a job of this queue has run. */
async function costOf(queue: Queue<typeof jobs>, { usage }: { usage: () => Promise<{ rowsRead: number }> }) {
  const before = (await usage()).rowsRead;
  await queue.waitFor(await queue.addJob("email", { to: "one@example.com" }), { timeout: "10s" });
  return (await usage()).rowsRead - before;
}

describe("R42: an object with many queues", () => {
  it("works a job of one without a look at 1,000 that are empty", async () => {
    const { object, of } = await open(1_000);
    await vi.waitFor(() => expect(ran).toHaveLength(1_000), { timeout: 20_000 });
    for (const queue of ["another", "queue 7", "zebra"]) {
      const read = await costOf(of(queue), object);
      expect(read).toBeLessThan(50);
    }
  }, 30_000);

  it("works a job of one beside 1,000 with delayed jobs, in bounded steps, wherever its name stands among theirs", async () => {
    const { object, of } = await open(1_000, { delayMs: 3_600_000 });
    await vi.waitFor(async () => expect(await of("queue 999").delayedSize()).toBe(1));
    for (const queue of ["another", "queue 500", "zebra"]) {
      const step = await mostRead(object, () => costOf(of(queue), object));
      // The look for the next alarm: three rows of each queue that has jobs in line. An exchange reads less.
      expect(step).toBeLessThan(3_100);
    }
  }, 30_000);

  it("works the jobs of all of them when they fall due, and those that are added meanwhile", async () => {
    const { of } = await open(450, { delayMs: 500 });
    await vi.waitFor(() => expect(ran.length).toBeGreaterThan(200), { timeout: 15_000, interval: 1 });
    // In the part of the round that is over.
    await of("a").addJob("email", { to: "first@example.com" });
    await vi.waitFor(() => expect(ran).toHaveLength(451), { timeout: 5_000 });
    expect(new Set(ran).size).toBe(451);
  }, 30_000);
});
