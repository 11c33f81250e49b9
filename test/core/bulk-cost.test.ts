import { everything, Queue } from "@quayside/core";
import { type Command, MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { Metered } from "./metered-store.ts";

const QUEUE = "mail";
const COUNT = 3_000;

/** A queue of so many jobs; `between` runs whenever a command gives the event loop a turn. */
async function filled(count = COUNT, delayMs?: number) {
  const store = new Metered();
  let turns = 0;
  let between = async (): Promise<unknown> => undefined;
  const clock = {
    ...createManualClock(),
    nextTask: async () => {
      turns++;
      await between();
    },
  };
  const driver = new StoreDriver(store, { plugins: everything(), clock });
  await driver.command({ type: "configure", queue: QUEUE, keep: { cancelled: COUNT, failed: COUNT } });
  const job = { queue: QUEUE, name: "email", payload: "0", ...(delayMs !== undefined && { delayMs }) };
  for (let added = 0; added < count; added += 500)
    await driver.enqueue(Array.from({ length: Math.min(500, count - added) }, () => job));
  let exchange = 0;
  const claim = async (limit: number) => {
    const reply = await driver.exchange({
      worker: "one",
      exchange: ++exchange,
      leaseMs: 30_000,
      liveness: "time",
      running: [],
      settle: [],
      claim: { limit, queues: [{ queue: QUEUE }] },
    });
    return reply.jobs.length;
  };
  /** Does `then` between any two steps of the command; answers how often. */
  const steps = async (request: Command, then: () => Promise<unknown>) => {
    store.most = { read: 0, written: 0, operations: 0 };
    turns = 0;
    between = then;
    const reply = await driver.command(request);
    between = async () => undefined;
    return { ...reply, turns };
  };
  return { store, driver, claim, steps };
}

describe("commands on many jobs (R32)", () => {
  it("clear works in steps of 256 jobs, with other workers' exchanges between them", async () => {
    const { store, claim, steps } = await filled();
    const { affected, turns } = await steps({ type: "clear", queue: QUEUE }, () => claim(0));
    expect(affected).toBe(COUNT);
    expect(turns).toBeGreaterThanOrEqual(Math.floor(COUNT / 256));
    expect(store.most.read).toBeLessThan(2_000);
    expect(store.most.written).toBeLessThan(1_000);
    expect(await claim(9)).toBe(0);
  });

  it("retryAll works in steps of 256 jobs, with other workers' exchanges between them", async () => {
    const { store, driver, claim, steps } = await filled();
    let cursor: string | undefined;
    do {
      const page = await driver.list({ queue: QUEUE, state: "waiting", limit: 100, ...(cursor && { cursor }) });
      for (const { id } of page.jobs) await driver.command({ type: "cancel", queue: QUEUE, id });
      cursor = page.cursor;
    } while (cursor);
    const { cancelled } = await driver.counts(QUEUE);
    expect(cancelled).toBeGreaterThan(2_000);
    const { affected, turns } = await steps({ type: "retryAll", queue: QUEUE, state: "cancelled" }, () => claim(0));
    expect(affected).toBe(cancelled);
    expect(turns).toBeGreaterThanOrEqual(Math.floor(cancelled / 256));
    expect(store.most.read).toBeLessThan(2_000);
    expect(store.most.written).toBeLessThan(1_000);
  });

  it("clear leaves what is added after it began, also in the same millisecond", async () => {
    const { driver, steps } = await filled();
    const added: string[] = [];
    const { affected, turns } = await steps({ type: "clear", queue: QUEUE }, async () => {
      const [receipt] = await driver.enqueue([{ queue: QUEUE, name: "email", payload: "0", priority: -5 }]);
      if (receipt) added.push(receipt.id);
    });
    const left = await driver.list({ queue: QUEUE, limit: 100 });
    expect(left.jobs.map(({ id }) => id)).toEqual(added);
    expect(added).toHaveLength(turns);
    expect(turns).toBeGreaterThan(5);
    expect(affected).toBe(COUNT);
  });

  it("clear takes all of many delayed jobs that were added in the millisecond in which it begins", async () => {
    const { driver, steps } = await filled(700, 60_000);
    expect(await steps({ type: "clear", queue: QUEUE }, async () => undefined)).toMatchObject({ affected: 700 });
    expect((await driver.counts(QUEUE)).delayed).toBe(0);
  });

  it("clear takes what was added before the clock was set back", async () => {
    const clock = createManualClock();
    const driver = new StoreDriver(new MemoryStore(), { plugins: everything(), clock });
    await driver.enqueue([{ queue: QUEUE, name: "email", payload: "0" }]);
    clock.jump(-86_400_000);
    expect(await driver.command({ type: "clear", queue: QUEUE })).toEqual({ affected: 1 });
  });
});

describe("waiting for many jobs", () => {
  it("reads each job that is waited for twice, not once for every job that ends", async () => {
    const clock = createManualClock();
    const store = new Metered();
    const queue = new Queue<{ a: null }>(QUEUE, new StoreDriver(store, { plugins: everything(), clock }), { clock });
    queue.on("job:a", () => 1);
    await queue.configure({ keep: { completed: 10_000 } });
    const ids = await queue.addJobs(Array.from({ length: 1_000 }, () => ({ name: "a" as const, payload: null })));
    const waits = ids.map((id) => queue.waitFor(id));
    await clock.advance(0);
    const before = store.read;
    await queue.run({ concurrency: 25 });
    for (let step = 0; step < 100; step++) await clock.advance(10);
    expect(await Promise.all(waits)).toHaveLength(1_000);
    // Working a job reads it, its lease and its place among the kept ones; looking once at its end reads two records.
    expect(store.read - before).toBeLessThan(20_000);
    await queue.stop();
  });
});
