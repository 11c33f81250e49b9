import { IndexedDbStore, indexedDbDriver } from "@quayside/browser";
import { Queue, QueueWorker } from "@quayside/core";
import { openDB } from "idb";
import { afterEach, describe, expect, it, vi } from "vitest";
import { buckets, hasBuckets } from "./support/buckets.ts";
import { databaseOf, freshName } from "./support/databases.ts";

const RESERVE = "quayside-reserve";
const closers: (() => unknown)[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closers.splice(0).reverse()) await close();
});

/** About 1 KiB that no compression makes smaller. */
const noise = () => Array.from({ length: 28 }, () => crypto.randomUUID()).join("");

function open(name = freshName()) {
  const driver = indexedDbDriver({ name });
  const queue = new Queue<Record<string, unknown>>("mail", driver);
  queue.on("error", () => {});
  closers.push(
    () => driver.close(),
    () => queue.stop({ timeout: 0 }),
  );
  return { name, driver, queue };
}

/** Fills a site of its own until not even 10 bytes can be put. */
async function fill(name: string, factory: IDBFactory): Promise<void> {
  const opening = factory.open(`filler-${name}`, 1);
  const database = await new Promise<IDBDatabase>((resolve, reject) => {
    opening.onupgradeneeded = () => void opening.result.createObjectStore("filler");
    opening.onsuccess = () => resolve(opening.result);
    opening.onerror = () => reject(opening.error);
  });
  const put = (value: string) =>
    new Promise<boolean>((resolve) => {
      const transaction = database.transaction("filler", "readwrite");
      transaction.objectStore("filler").put(value, crypto.randomUUID());
      transaction.oncomplete = () => resolve(true);
      transaction.onabort = () => resolve(false);
    });
  for (const kib of [64, 8, 1]) {
    const value = Array.from({ length: kib }, noise).join("");
    while (await put(value));
  }
  while (await put("0123456789"));
  database.close();
}

/** As engines refuse: every transaction that puts anything fails at its commit until the reserve is deleted. */
function refusePuts({ untilReserveIsSpent }: { readonly untilReserveIsSpent: boolean }): { refused: number } {
  const seen = { refused: 0 };
  let spent = false;
  const remove = IDBFactory.prototype.deleteDatabase;
  vi.spyOn(IDBFactory.prototype, "deleteDatabase").mockImplementation(function (this: IDBFactory, name) {
    if (name === RESERVE && untilReserveIsSpent) spent = true;
    return remove.call(this, name);
  });
  const put = IDBObjectStore.prototype.put;
  vi.spyOn(IDBObjectStore.prototype, "put").mockImplementation(function (this: IDBObjectStore, ...args) {
    const { transaction } = this;
    // As large as a reserve that is made again: there is no room for it.
    const large = (args[0] as { byteLength?: number }).byteLength !== undefined;
    if (!spent || large) {
      seen.refused++;
      transaction.commit = () => {
        Object.defineProperty(transaction, "error", { value: new DOMException("full", "QuotaExceededError") });
        transaction.abort();
      };
      if (large) queueMicrotask(() => transaction.commit());
    }
    return put.apply(this, args);
  });
  return seen;
}

const commands: [string, (queue: Queue<Record<string, unknown>>, ids: readonly string[]) => Promise<unknown>][] = [
  ["cancel of a waiting job", (queue, ids) => queue.cancel(ids[0] as string)],
  ["remove", (queue, ids) => queue.remove(ids[1] as string)],
  ["pause", (queue) => queue.pause()],
  ["resume", (queue) => queue.resume()],
  ["clear of some", (queue) => queue.clear({ tags: ["some"] })],
  ["clear of all", (queue) => queue.clear()],
];

async function everythingDrains(queue: Queue<Record<string, unknown>>, ids: readonly string[]): Promise<void> {
  const { jobs } = await queue.list({ limit: 5 });
  expect(jobs).toHaveLength(5);
  expect(await queue.counts()).toMatchObject({ waiting: 40, active: 0 });
  await expect(queue.addJob("email", noise())).rejects.toMatchObject({ code: "storage_full" });
  for (const [, run] of commands.slice(0, 4)) await run(queue, ids);
  expect(await queue.get(ids[0] as string)).toMatchObject({ state: "cancelled" });
  expect(await queue.get(ids[1] as string)).toBeUndefined();

  const ran: string[] = [];
  queue.on("job:email", (_, ctx) => void ran.push(ctx.job.id));
  queue.on("job:fails", () => {
    throw new Error("no");
  });
  await queue.drain();
  expect(ran).toHaveLength(37);
  expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0, delayed: 1 });
  for (const [, run] of commands.slice(4)) await run(queue, ids);
  expect(await queue.counts()).toMatchObject({ waiting: 0, delayed: 0, completed: 0, cancelled: 0 });
}

const addForty = async (queue: Queue<Record<string, unknown>>): Promise<readonly string[]> => {
  const ids = await queue.addJobs(
    Array.from({ length: 39 }, (_, index) => ({
      name: "email",
      payload: index < 30 ? noise() : index,
      ...(index > 35 && { tags: ["some"] }),
    })),
  );
  return [...ids, await queue.addJob("fails", 1, { backoff: "1h", maxAttempts: 2 })];
};

describe("R33: on a full disk", () => {
  it.runIf(hasBuckets)(
    "(a quota that is used up) reads answer, jobs are settled, cancelled, removed and cleared, queues paused",
    { timeout: 60_000 },
    async () => {
      const bucketName = freshName().slice(0, 40).toLowerCase();
      const { indexedDB: factory } = await buckets.open(bucketName, { quota: 3_000_000 });
      closers.push(() => buckets.delete(bucketName));
      vi.spyOn(window, "indexedDB", "get").mockReturnValue(factory);
      const { name, queue } = open();
      const ids = await addForty(queue);
      await vi.waitFor(async () => expect((await factory.databases()).map((one) => one.name)).toContain(RESERVE));
      await fill(name, factory);
      await everythingDrains(queue, ids);
    },
  );

  it("(puts are refused at commit until the reserve is given up) the same holds", async () => {
    const { queue } = open();
    const ids = await addForty(queue);
    const seen = refusePuts({ untilReserveIsSpent: true });
    await everythingDrains(queue, ids);
    expect(seen.refused).toBeGreaterThan(0);
  });

  it.each<[string, (queue: Queue<Record<string, unknown>>, failed: string) => Promise<unknown>]>([
    ["retry", (queue, failed) => queue.retry(failed)],
    ["retryAll", (queue) => queue.retryAll()],
    ["configure", (queue) => queue.configure({ maxActive: 1, keep: { completed: 0 } })],
    ["unschedule", (queue) => queue.unschedule("daily")],
    ["clear of the failed", (queue) => queue.clear("failed")],
    ["promote", async (queue) => queue.promote((await queue.list({ state: "delayed" })).jobs[0]?.id ?? "")],
  ])("%s goes through", async (_, act) => {
    const { queue } = open();
    queue.on("job:fails", () => {
      throw new Error("no");
    });
    const failed = await queue.addJob("fails", 1, { maxAttempts: 1 });
    await queue.schedule("daily", { every: "1d", name: "email", payload: 1 });
    await queue.drain();
    refusePuts({ untilReserveIsSpent: true });
    await act(queue, failed);
    await expect(queue.addJob("email", 1)).rejects.toMatchObject({ code: "storage_full" });
  });

  it("processNext, and the handler's progress and result, go through", async () => {
    const { queue } = open();
    const id = await queue.addJob("email", 1);
    queue.on("job:email", async (_payload, ctx) => {
      ctx.progress(0.5);
      ctx.log("half");
      return "sent";
    });
    const worker = new QueueWorker(queue);
    worker.on("error", () => {});
    closers.push(() => worker.stop({ timeout: 0 }));
    refusePuts({ untilReserveIsSpent: true });
    expect(await worker.processNext()).toBe(true);
    expect(await queue.get(id)).toMatchObject({ state: "completed", result: "sent" });
  });

  it("reads write nothing: get, list, counts, schedules, nextWake", async () => {
    const { queue, driver } = open();
    const [id] = await addForty(queue);
    const seen = refusePuts({ untilReserveIsSpent: false });
    expect(await queue.counts()).toMatchObject({ waiting: 40 });
    expect((await queue.list({ limit: 100 })).jobs).toHaveLength(40);
    expect(await queue.get(id as string)).toMatchObject({ state: "waiting" });
    expect(await queue.schedules()).toEqual([]);
    expect(await driver.nextWake(["mail"])).toBe(0);
    expect(seen.refused).toBe(0);
  });

  it("counts that a read had to make are kept by the next write", async () => {
    const { name, queue } = open();
    await addForty(queue);
    await queue.counts();
    await queue.addJob("email", 1);
    const database = await openDB(databaseOf(name));
    expect(await database.getAll("tallies")).toMatchObject([{ key: ["mail"], ready: 41 }]);
    database.close();
    expect(await queue.counts()).toMatchObject({ waiting: 41 });
  });

  it("nothing hangs where not even the reserve makes room: drain and processNext reject with storage_full", async () => {
    const { queue } = open();
    await addForty(queue);
    queue.on("job:email", () => {});
    refusePuts({ untilReserveIsSpent: false });
    await expect(queue.drain()).rejects.toMatchObject({ code: "storage_full" });
    await expect(queue.drain()).rejects.toMatchObject({ code: "storage_full" });
    await expect(queue.pause()).rejects.toMatchObject({ code: "storage_full" });
    vi.restoreAllMocks();
    queue.on("job:fails", () => {});
    await queue.drain();
    expect(await queue.counts()).toMatchObject({ waiting: 0 });
  });

  it("adding is refused until the reserve that was given up is kept again", async () => {
    const { queue } = open();
    await addForty(queue);
    refusePuts({ untilReserveIsSpent: true });
    await queue.pause();
    await expect(queue.addJob("email", 1)).rejects.toMatchObject({ code: "storage_full" });
    vi.restoreAllMocks();
    await queue.addJob("email", 1);
    expect((await indexedDB.databases()).map(({ name }) => name)).toContain(RESERVE);
  });

  it("a program that a store was given without saying what it does is not run again", async () => {
    const store = new IndexedDbStore({ name: freshName() });
    closers.push(() => store.close());
    refusePuts({ untilReserveIsSpent: true });
    const add = store.transact(function* () {
      yield { op: "put", collection: "ids", records: [{ key: ["a", "b"], at: ["ready", "a", 0, 0, 0, "a"] }] };
    });
    await expect(add).rejects.toMatchObject({ code: "storage_full" });
  });
});
