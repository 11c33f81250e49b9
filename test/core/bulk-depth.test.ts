import { everything, type JobState } from "@quayside/core";
import { type ClaimedJob, type Command, MemoryStore, type NewJob, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { beforeEach, describe, expect, it } from "vitest";
import { Metered } from "./metered-store.ts";

const QUEUE = "mail";
const COUNT = 50_000;
/** Most records that one transaction may read (R32). */
const MOST = 10_000;
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
/** Every thousandth job has the tag and the name "rare". */
const jobs: readonly NewJob[] = range(COUNT).map((n) => ({
  queue: QUEUE,
  name: n % 1_000 === 999 ? "rare" : "email",
  payload: "0",
  ...(n % 1_000 === 999 && { tags: ["rare"] }),
}));

describe("a queue of 50,000 jobs: the most that one transaction reads", () => {
  let store: Metered;
  let clock: ReturnType<typeof createManualClock>;
  let driver: StoreDriver;
  const most = async <T>(ask: () => Promise<T>) => {
    store.most = { read: 0, written: 0, operations: 0 };
    const reply = await ask();
    expect(store.most.read).toBeLessThanOrEqual(MOST);
    return reply;
  };
  const command = (request: Command) => most(() => driver.command(request));
  const all = async (filter: { queue?: string; state?: JobState; tags?: string[]; limit?: number }) => {
    const found = new Set<string>();
    let cursor: string | undefined;
    do {
      const query = { queue: QUEUE, limit: 100, ...filter, ...(cursor && { cursor }) };
      const page = await most(() => driver.list(query));
      for (const { id } of page.jobs) found.add(id);
      cursor = page.cursor;
    } while (cursor);
    return found.size;
  };

  beforeEach(async () => {
    store = new Metered(new MemoryStore());
    clock = createManualClock();
    driver = new StoreDriver(store, { plugins: everything(), clock });
    await driver.command({ type: "configure", queue: QUEUE, keep: { cancelled: COUNT } });
    await driver.enqueue(jobs);
  }, 60_000);

  it("clear, of all and by a filter that few fit", async () => {
    expect(await command({ type: "clear", queue: QUEUE, tags: ["rare"] })).toEqual({ affected: 50 });
    expect(await command({ type: "clear", queue: QUEUE })).toEqual({ affected: COUNT - 50 });
  }, 60_000);

  it("retryAll, of all and by a filter that few fit", async () => {
    expect((await driver.list({ queue: QUEUE, limit: 1 })).jobs).toHaveLength(1);
    let number = 0;
    let settle: { token: string; outcome: "cancelled" }[] = [];
    do {
      const { jobs } = await driver.exchange({
        worker: "one",
        exchange: ++number,
        leaseMs: 30_000,
        liveness: "time",
        running: [],
        settle,
        claim: { limit: 5_000, queues: [{ queue: QUEUE }] },
      });
      settle = jobs.map(({ token }) => ({ token, outcome: "cancelled" }));
    } while (settle.length > 0);
    expect(await command({ type: "retryAll", queue: QUEUE, state: "cancelled", name: "rare" })).toEqual({
      affected: 50,
    });
    expect(await command({ type: "retryAll", queue: QUEUE, state: "cancelled" })).toEqual({ affected: COUNT - 50 });
  }, 60_000);

  it("list by a filter that few fit, page by page", async () => {
    expect(await all({ tags: ["rare"] })).toBe(50);
    expect(await all({ state: "waiting", tags: ["rare"] })).toBe(50);
    expect(await all({ state: "delayed" })).toBe(0);
    expect(await all({ tags: ["none"] })).toBe(0);
  }, 60_000);

  it("list by a filter that few fit, one job at a time: 100 records per operation", async () => {
    expect(await all({ tags: ["rare"], limit: 1 })).toBe(50);
    await most(() => driver.list({ queue: QUEUE, tags: ["none"], limit: 1 }));
    expect(store.most.operations).toBeLessThanOrEqual(110);
  }, 60_000);

  it("list of each state, after the clock was set back behind jobs that had become due", async () => {
    await driver.enqueue(jobs.map((job) => ({ ...job, queue: "later", delayMs: 1_000 })));
    clock.jump(5_000);
    await driver.enqueue([{ queue: "later", name: "email", payload: "0" }]);
    clock.jump(-360 * 24 * 3_600_000);
    const found = {
      waiting: await all({ queue: "later", state: "waiting" }),
      one: await all({ queue: "later", state: "waiting", limit: 1 }),
      delayed: await all({ queue: "later", state: "delayed", limit: 1_000 }),
      all: await all({ queue: "later", limit: 1_000 }),
    };
    expect(found).toEqual({ waiting: 1, one: 1, delayed: COUNT, all: COUNT + 1 });
  }, 60_000);

  it("claims after the clock was set back, before jobs that are delayed by less", async () => {
    clock.jump(86_400_000);
    await driver.enqueue([{ queue: "later", name: "first", payload: "0" }]);
    clock.jump(-86_400_000);
    await driver.enqueue(jobs.map((job) => ({ ...job, queue: "later", delayMs: 3_600_000 })));
    await driver.enqueue([{ queue: "later", name: "last", payload: "0" }]);
    const claimed: ClaimedJob[] = [];
    let wakeMs: number | undefined = 0;
    let exchange = 0;
    while (wakeMs === 0 || claimed.length === 1) {
      const { jobs, nextWakeMs } = await most(() =>
        driver.exchange({
          worker: "one",
          exchange: ++exchange,
          leaseMs: 30_000,
          liveness: "time",
          running: claimed.map(({ token }) => token),
          settle: [],
          claim: { limit: 1, queues: [{ queue: "later" }] },
        }),
      );
      claimed.push(...jobs);
      wakeMs = nextWakeMs;
      expect(store.most.operations).toBeLessThanOrEqual(100);
      // The search for what the clock has left behind takes one exchange for each 256 jobs.
      expect(exchange).toBeLessThanOrEqual(210);
    }
    expect(claimed.map(({ job }) => job.name).sort()).toEqual(["first", "last"]);
  }, 60_000);

  it("list and clear of what waits, where each of 50 priorities has 1,000 delayed jobs", async () => {
    const later = jobs.map((job, n) => ({ ...job, queue: "later", priority: n % 50, delayMs: 60_000 }));
    await driver.enqueue([...later, { queue: "later", name: "email", payload: "0", priority: -1 }]);
    expect(await all({ queue: "later", state: "waiting", limit: 1_000 })).toBe(1);
    expect(await command({ type: "clear", queue: "later", state: "waiting" })).toEqual({ affected: 1 });
    expect(await all({ queue: "later", state: "delayed", limit: 1_000 })).toBe(COUNT);
  }, 60_000);

  it("counts, once they were asked for", async () => {
    await driver.counts(QUEUE);
    expect(await most(() => driver.counts(QUEUE))).toMatchObject({ waiting: COUNT });
  }, 60_000);

  it("counts of the same, all delayed", async () => {
    await driver.enqueue(jobs.map((job) => ({ ...job, queue: "later", delayMs: 60_000 })));
    await driver.counts("later");
    store.most = { read: 0, written: 0, operations: 0 };
    const { delayed } = await driver.counts("later");
    expect(delayed).toBeGreaterThanOrEqual(10_000);
    expect(store.most.read).toBeLessThanOrEqual(MOST + 10);
  }, 60_000);
});
