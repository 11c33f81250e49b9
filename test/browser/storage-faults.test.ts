import { deleteDatabase, indexedDbDriver } from "@quayside/browser";
import { Queue, StorageFullError } from "@quayside/core";
import { openDB } from "idb";
import { afterEach, describe, expect, it, vi } from "vitest";
import { buckets, hasBuckets } from "./support/buckets.ts";
import { canDeleteByForce, databaseOf, deleteByForce, freshName, NEWER } from "./support/databases.ts";
import { failTransactions } from "./support/faults.ts";

const BUCKET = "small-queue";

const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const close of closers.splice(0).reverse()) await close();
});

function open(name = freshName()) {
  const driver = indexedDbDriver({ name });
  const queue = new Queue<Record<string, unknown>>("mail", driver);
  // An error that nobody hears is shown as an uncaught one.
  queue.on("error", () => {});
  closers.push(
    () => driver.close(),
    () => queue.stop({ timeout: 0 }),
  );
  return { name, driver, queue };
}

/** About 1 KiB that no compression makes smaller. */
const noise = () => Array.from({ length: 28 }, () => crypto.randomUUID()).join("");
const jobs = (count: number, payload: (index: number) => unknown = (index) => index) =>
  Array.from({ length: count }, (_, index) => ({ name: "email", payload: payload(index) }));

const event = <T>(
  queue: Queue<Record<string, unknown>>,
  name: "error" | "idle",
  test: (event: T) => boolean = () => true,
) =>
  new Promise<T>((resolve) => {
    const off = queue.on(name, (told) => {
      if (!test(told as T)) return;
      off();
      resolve(told as T);
    });
  });

describe.runIf(hasBuckets)("a quota that is used up", () => {
  it("in the middle of a batch: a StorageFullError, none of the batch is there, and what was there still is", async () => {
    const bucket = await buckets.open(BUCKET, { quota: 1_000_000 });
    closers.push(() => buckets.delete(BUCKET));
    vi.spyOn(window, "indexedDB", "get").mockReturnValue(bucket.indexedDB);
    const { queue } = open();
    await queue.addJobs(jobs(10));
    const refusal = await queue.addJobs(jobs(4_000, noise)).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(StorageFullError);
    expect(refusal).toMatchObject({ code: "storage_full", cause: { name: "QuotaExceededError" } });
    const { jobs: there } = await queue.list({ limit: 100 });
    expect(there.map(({ payload }) => payload)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  });

  it("job by job: each is there if its add resolved, and only then", async () => {
    const bucket = await buckets.open(BUCKET, { quota: 1_000_000 });
    closers.push(() => buckets.delete(BUCKET));
    vi.spyOn(window, "indexedDB", "get").mockReturnValue(bucket.indexedDB);
    const { queue } = open();
    const added: string[] = [];
    let refusal: unknown;
    for (let parts = 0; refusal === undefined && parts < 100; parts++) {
      await queue.addJobs(jobs(50, noise)).then(
        (ids) => added.push(...ids),
        (error: unknown) => (refusal = error),
      );
    }
    expect(refusal).toBeInstanceOf(StorageFullError);
    const there: string[] = [];
    for (let cursor: string | undefined, first = true; first || cursor; first = false) {
      const page = await queue.list({ limit: 500, ...(cursor && { cursor }) });
      there.push(...page.jobs.map(({ id }) => id));
      cursor = page.cursor;
    }
    expect(there.sort()).toEqual(added.sort());
  });
});

describe("a connection that goes while a queue is worked", () => {
  it("by the upgrade of another tab that then fails, mid-claim: every job runs, once", async () => {
    const { name, queue } = open();
    const ran: unknown[] = [];
    queue.on("job:email", (payload) => ran.push(payload));
    await queue.addJobs(jobs(300));
    const idle = event(queue, "idle");
    await queue.run({ concurrency: 5 });
    for (let upgrade = 0; upgrade < 5; upgrade++) {
      const failed = openDB(databaseOf(name), NEWER, {
        upgrade: (_database, _from, _to, transaction) => {
          transaction.done.catch(() => {});
          transaction.abort();
        },
      });
      await expect(failed).rejects.toThrow();
    }
    await idle;
    expect(ran.sort((a, b) => Number(a) - Number(b))).toEqual(jobs(300).map(({ payload }) => payload));
    expect(await queue.counts()).toMatchObject({ waiting: 0, active: 0, failed: 0 });
  });

  it("by an upgrade that stays: the worker and the adds say newer_version, and no job is taken away", async () => {
    const { name, queue } = open();
    const held = new Promise<void>((resolve) => {
      queue.on("job:email", (_, { signal }) => {
        resolve();
        return new Promise((_done, fail) => signal.addEventListener("abort", () => fail(signal.reason)));
      });
    });
    await queue.addJobs(jobs(20));
    const told = event<{ error: unknown }>(queue, "error");
    // More than there are jobs: with room left it looks when it is told to.
    await queue.run({ concurrency: 30 });
    await held;
    const newer = await openDB(databaseOf(name), NEWER);
    const refusal = { code: "storage_unavailable", details: { reason: "newer_version" } };
    await expect(queue.addJob("email", 1)).rejects.toMatchObject(refusal);
    queue.on("job:sms", () => {});
    expect((await told).error).toMatchObject(refusal);
    expect(await newer.count("jobs")).toBe(20);
    newer.close();
  });

  it.each([
    ["refuse", "InvalidStateError"],
    ["lose", "AbortError"],
  ] as const)("by force (%s): the transactions are made again, every job runs, once", async (fault, error) => {
    const { queue } = open();
    const ran: unknown[] = [];
    queue.on("job:email", (payload) => ran.push(payload));
    await queue.addJobs(jobs(100));
    const idle = event(queue, "idle");
    failTransactions(2, fault, new DOMException("The database connection is closing.", error));
    await queue.run({ concurrency: 5 });
    await idle;
    expect(ran.sort((a, b) => Number(a) - Number(b))).toEqual(jobs(100).map(({ payload }) => payload));
  });
});

describe("a database that is deleted under a live queue", () => {
  it.each([
    ["by the app", deleteDatabase],
    // Only Chromium can be asked to.
    ...(canDeleteByForce ? ([["by force", deleteByForce]] as const) : []),
  ] as const)(
    "%s: worker and adds say deleted, nothing is made anew behind their backs; a new driver begins anew",
    async (_, remove) => {
      const { name, queue, driver } = open();
      const ran: unknown[] = [];
      queue.on("job:email", (payload) => ran.push(payload));
      const idle = event(queue, "idle");
      await queue.addJob("email", 1);
      await queue.run();
      await idle;
      const refusal = { code: "storage_unavailable", details: { reason: "deleted" } };
      const told = event<{ error: { details?: { reason?: string } } }>(
        queue,
        "error",
        ({ error }) => error.details?.reason === "deleted",
      );
      await remove(name);
      await expect(queue.addJob("email", 2)).rejects.toMatchObject(refusal);
      // A new handler is a reason to look for work.
      queue.on("job:sms", () => {});
      expect((await told).error).toMatchObject(refusal);
      await queue.stop({ timeout: 0 });
      await driver.close();

      const next = open(name);
      next.queue.on("job:email", (payload) => ran.push(payload));
      await next.queue.addJob("email", 3);
      await next.queue.drain();
      expect(ran).toEqual([1, 3]);
    },
  );
});
