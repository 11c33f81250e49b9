import { indexedDbDriver } from "@quayside/browser";
import { Queue } from "@quayside/core";
import type { Settlement, StoreDriver } from "@quayside/core/engine";
import { afterEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { drop, freshName } from "./support/databases.ts";
import { meterRequests, type Requests } from "./support/request-meter.ts";

const QUEUE = "mail";
const opened: { readonly name: string; readonly driver: StoreDriver }[] = [];

afterEach(async () => {
  vi.restoreAllMocks();
  for (const { name, driver } of opened.splice(0)) {
    await driver.close();
    await drop(name);
  }
});

/** A queue that keeps nothing of what it completes, and a meter of what is asked of IndexedDB. */
async function open() {
  const name = freshName();
  const driver = indexedDbDriver({ name });
  opened.push({ name, driver });
  const queue = new Queue<{ email: number }>(QUEUE, driver);
  await queue.configure({ keep: { completed: 0 } });
  let exchange = 0;
  let held: readonly string[] = [];
  /** One round of a worker: completes all that it holds and claims up to `limit`. */
  const round = async (limit: number) => {
    const { jobs } = await driver.exchange({
      worker: "worker",
      liveness: "time",
      leaseMs: 30_000,
      exchange: ++exchange,
      settle: held.map((token): Settlement => ({ token, outcome: "completed" })),
      running: [],
      claim: { limit, queues: [{ queue: QUEUE }] },
    });
    held = jobs.map(({ token }) => token);
    return held.length;
  };
  // The first exchange of a driver looks beforehand who else is there.
  await round(0);
  return {
    queue,
    round,
    meter: meterRequests(),
    add: (count: number) => queue.addJobs(Array.from({ length: count }, () => ({ name: "email", payload: 1 }))),
  };
}

/** Fewer is better, and then the bound is to follow. */
function expectAtMost(asked: Requests, bound: Requests): void {
  for (const kind of ["transactions", "reads", "trips", "writes"] as const) {
    expect(asked[kind], kind).toBeLessThanOrEqual(bound[kind]);
  }
}

describe("an add asks IndexedDB", () => {
  // The reads: whether the queue's jobs are counted, in `tallies`; whether it has a `maxWaiting`.
  it("for one transaction: two reads in one trip, and the job", async () => {
    const { queue, meter } = await open();
    const asked = await meter.during(() => queue.addJob("email", 1));
    expectAtMost(asked, { transactions: 1, reads: 2, trips: 1, writes: 1 });
  });

  // Behind the jobs its answer would wait until they are written.
  it("for the read first, of as many queues as there are in one trip, and then for the jobs", async () => {
    const { queue, meter } = await open();
    const get = vi.spyOn(IDBObjectStore.prototype, "get");
    const put = vi.spyOn(IDBObjectStore.prototype, "put");
    const jobs = ["mail", "post", "parcel"].map((name) => ({ queue: name, name: "email", payload: "1" }));
    const asked = await meter.during(() => queue.driver.enqueue([...jobs, ...jobs]));
    expectAtMost(asked, { transactions: 1, reads: 6, trips: 1, writes: 6 });
    expect(Math.max(...get.mock.invocationCallOrder)).toBeLessThan(Math.min(...put.mock.invocationCallOrder));
  });

  it("for one transaction, 1,000 of them made at once: two reads, and the jobs", async () => {
    const { queue, meter } = await open();
    const adds = () => Promise.all(Array.from({ length: 1_000 }, () => queue.addJob("email", 1)));
    expectAtMost(await meter.during(adds), { transactions: 1, reads: 2, trips: 1, writes: 1_000 });
  });

  it("for one transaction, in bulk: two reads, and the jobs", async () => {
    const { add, meter } = await open();
    expectAtMost(await meter.during(() => add(5_000)), { transactions: 1, reads: 2, trips: 1, writes: 5_000 });
  });
});

describe("an exchange asks IndexedDB for one transaction", () => {
  // Together: leases, the queue's settings, `tallies`. Then: the head of the line. Write: the lease.
  // One of the reads finds no job: it looks for groups whose jobs wait for room that nobody would give (R16).
  it.each([1, 10])("that claims %i: five reads in two trips, one write", async (limit) => {
    const { add, round, meter } = await open();
    await add(100);
    expectAtMost(await meter.during(() => round(limit)), { transactions: 1, reads: 5, trips: 2, writes: 1 });
  });

  // As a claim; and, with the first trip, whether the keys of the 50 are one run. Writes: their range, the lease.
  it("that settles 50 and claims 50: six reads in two trips, two writes", async () => {
    const { add, round, meter } = await open();
    await add(100);
    await round(50);
    expectAtMost(await meter.during(() => round(50)), { transactions: 1, reads: 6, trips: 2, writes: 2 });
  });

  // As a claim; a run of one needs no look. Writes: the job, the lease.
  it("that settles one and claims one: five reads in two trips, two writes", async () => {
    const { add, round, meter } = await open();
    await add(100);
    await round(1);
    expectAtMost(await meter.during(() => round(1)), { transactions: 1, reads: 5, trips: 2, writes: 2 });
  });

  it("that claims the only job: no more than one that claims the first of many", async () => {
    const { add, round, meter } = await open();
    await add(1);
    expectAtMost(await meter.during(() => round(10)), { transactions: 1, reads: 5, trips: 2, writes: 1 });
  });

  // Before jobs that are not due, one more: whether another priority has one that is.
  it("that finds nothing: five reads in two trips and no write; before many that are not due, six in three", async () => {
    const { queue, round, meter } = await open();
    expectAtMost(await meter.during(() => round(10)), { transactions: 1, reads: 5, trips: 2, writes: 0 });
    await queue.addJobs(Array.from({ length: 1_000 }, () => ({ name: "email", payload: 1, delay: "1h" })));
    expectAtMost(await meter.during(() => round(10)), { transactions: 1, reads: 6, trips: 3, writes: 0 });
  });
});

describe("a worker asks IndexedDB", () => {
  /** Works all that waits. */
  const work = (queue: Queue<{ email: number }>, jobs: number, concurrency: number) => async () => {
    let left = jobs;
    const gone = new Promise<void>((resolve) => {
      queue.on("completed", () => --left === 0 && resolve());
    });
    queue.on("job:email", async () => {});
    await queue.run({ concurrency });
    await gone;
  };

  it("for one transaction a batch, and one more", async () => {
    const { queue, add, meter } = await open();
    await add(1_000);
    const asked = await meter.during(work(queue, 1_000, 50));
    await queue.stop();
    // The last claim, too, finds as many as it wanted: it cannot know that nothing is left.
    expectAtMost(asked, { transactions: 21, reads: 6 + 20 * 6, trips: 3 + 20 * 2, writes: 1 + 20 * 2 });
  });

  it("for one transaction a job at concurrency 1, and one more", async () => {
    const { queue, add, meter } = await open();
    await add(100);
    const asked = await meter.during(work(queue, 100, 1));
    await queue.stop();
    expectAtMost(asked, { transactions: 101, reads: 101 * 5, trips: 101 * 2, writes: 1 + 100 * 2 });
  });

  // The add (1 read, 1 write), the claim of the only job (4, 1), its settlement with a look for more (4, 2).
  it("for three transactions from an add to rest, when it had nothing to do", async () => {
    const { queue, meter } = await open();
    queue.on("job:email", async () => {});
    const atRest = () =>
      new Promise<void>((resolve) => {
        const off = queue.on("idle", () => {
          off();
          resolve();
        });
      });
    const first = atRest();
    await queue.run();
    await first;
    const asked = await meter.during(async () => {
      const again = atRest();
      await queue.addJob("email", 1);
      await again;
    });
    await queue.stop();
    expectAtMost(asked, { transactions: 3, reads: 12, trips: 5, writes: 4 });
  });
});

describe("a page that reads 10,000 jobs", () => {
  it("delays each claim by at most one of its transactions", async () => {
    const { queue, round, add } = await open();
    await add(10_000);
    const reading = new Set<IDBTransaction>();
    /** For each transaction that writes: those that only read and that it had to wait for. */
    const waited: number[] = [];
    const { transaction } = IDBDatabase.prototype;
    // Around the meter, which has a spy there.
    IDBDatabase.prototype.transaction = function (this: IDBDatabase, ...args) {
      const begun = transaction.apply(this, args);
      if (begun.mode === "readonly") {
        reading.add(begun);
        begun.addEventListener("complete", () => reading.delete(begun));
      } else waited.push(reading.size);
      return begun;
    };
    onTestFinished(() => {
      IDBDatabase.prototype.transaction = transaction;
    });
    let read = 0;
    let done = false;
    const pages = (async () => {
      for (let cursor: string | undefined; ; ) {
        const page = await queue.list({ limit: 1_000, ...(cursor !== undefined && { cursor }) });
        read += page.jobs.length;
        ({ cursor } = page);
        if (cursor === undefined) break;
      }
      done = true;
    })();
    let claims = 0;
    for (; !done; claims++) await round(1);
    await pages;
    // Each claim may complete a job that the page has not read yet.
    expect(read).toBeGreaterThanOrEqual(10_000 - claims);
    expect(waited.length).toBeGreaterThanOrEqual(claims);
    expect(Math.max(...waited)).toBe(1);
  });
});
