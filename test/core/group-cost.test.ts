import { everything } from "@quayside/core";
import { type ExchangeRequest, MemoryStore, type NewJob, type Program, StoreDriver } from "@quayside/core/engine";
import { checkInvariants, createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { Metered } from "./metered-store.ts";

const QUEUE = "mail";
const COUNT = 50_000;
const job = (options: Partial<NewJob> = {}): NewJob => ({ queue: QUEUE, name: "email", payload: "0", ...options });
const of = (key: string, options: Partial<NewJob> = {}): NewJob => job({ group: { key }, ...options });
const times = (count: number, one: NewJob): NewJob[] => Array.from({ length: count }, () => one);

function scene() {
  const clock = createManualClock();
  const memory = new MemoryStore();
  const store = new Metered(memory);
  const driver = new StoreDriver(store, { plugins: everything(), clock });
  let number = 0;
  const running: string[] = [];
  /** One exchange of a worker whose jobs all run on, but for those that it settles. */
  const exchange = async (limit: number, settle: ExchangeRequest["settle"] = []) => {
    for (const { token } of settle) running.splice(running.indexOf(token), 1);
    const reply = await driver.exchange({
      worker: "one",
      exchange: ++number,
      leaseMs: 30_000,
      liveness: "time",
      running: [...running],
      settle,
      claim: { limit, queues: [{ queue: QUEUE }] },
    });
    running.push(...reply.jobs.map(({ token }) => token));
    return reply;
  };
  return {
    clock,
    driver,
    exchange,
    memory,
    store,
    async add(jobs: readonly NewJob[], size: number) {
      for (let from = 0; from < jobs.length; from += size) await driver.enqueue(jobs.slice(from, from + size));
    },
    complete: () =>
      exchange(
        9,
        running.map((token) => ({ token, outcome: "completed" as const })),
      ),
    /** How many exchanges it takes until this job starts, and what they cost. */
    async untilStarts(id: string | undefined) {
      store.most = { read: 0, written: 0, operations: 0 };
      const before = store.written;
      for (let exchanges = 1; exchanges <= 1_000; exchanges++) {
        const { jobs } = await exchange(9);
        if (jobs.some(({ job }) => job.id === id))
          return { exchanges, read: store.most.read, written: store.written - before };
      }
      throw new Error(`Job ${id} does not start.`);
    },
  };
}

describe("R16: behind 50,000 jobs of one full group", () => {
  for (const [how, size] of [
    ["in one call", COUNT],
    ["in calls of 10", 10],
    ["one by one", 1],
  ] as const)
    it(`that were added ${how}, another group's job starts at the first exchange`, async () => {
      const { add, driver, memory, untilStarts } = scene();
      await add(times(COUNT, of("full")), size);
      const [other] = await driver.enqueue([of("other")]);
      const { exchanges, read, written } = await untilStarts(other?.id);
      expect(exchanges).toBe(1);
      expect(read).toBeLessThan(40);
      expect(written).toBeLessThan(10);
      expect(await memory.transact(checkInvariants)).toEqual([]);
    }, 120_000);

  it("that failed and are all retried, another group's job starts at the first exchange", async () => {
    const { add, driver, exchange, untilStarts } = scene();
    await driver.command({ type: "configure", queue: QUEUE, keep: { cancelled: COUNT } });
    const ids = await driver.enqueue(times(1_000, of("full")));
    for (const { id } of ids) await driver.command({ type: "cancel", queue: QUEUE, id });
    await driver.command({ type: "retryAll", queue: QUEUE, state: "cancelled" });
    await add([of("other")], 1);
    const { jobs } = await driver.list({ queue: QUEUE, state: "waiting", limit: 1 });
    expect(jobs).toHaveLength(1);
    const [other] = await driver.enqueue([of("third")]);
    expect((await untilStarts(other?.id)).exchanges).toBe(1);
    expect((await exchange(9)).jobs).toEqual([]);
  }, 60_000);

  it("that were delayed and come due, each exchange moves at most 100 aside and says to look again", async () => {
    const { add, clock, exchange, store } = scene();
    await add(times(COUNT, of("full", { delayMs: 1_000 })), COUNT);
    await clock.advance(1_000);
    await exchange(1);
    store.most = { read: 0, written: 0, operations: 0 };
    for (let round = 0; round < 5; round++) expect(await exchange(9)).toMatchObject({ jobs: [], nextWakeMs: 0 });
    expect(store.most.read).toBeLessThan(500);
    expect(store.most.written).toBeLessThan(300);
  }, 60_000);
});

describe("R16: a seat whose job went without a word", () => {
  /** Deletes a job as a damaged record is set aside: not by the programs of the store. */
  const vanish = (memory: MemoryStore, id: string | undefined) =>
    memory.transact(function* (): Program<void> {
      const jobs = (yield {
        op: "scan",
        collection: "jobs",
        from: ["ready"],
        to: ["ready\u0001"],
        limit: 999,
      }) as readonly { readonly key: readonly (string | number)[]; readonly id: string }[];
      yield { op: "delete", collection: "jobs", keys: jobs.filter((one) => one.id === id).map(({ key }) => key) };
    });

  it("is found by the next add to its group", async () => {
    const { driver, exchange, memory } = scene();
    const [gone, second] = await driver.enqueue([of("g"), of("g")]);
    await vanish(memory, gone?.id);
    await driver.enqueue([of("g")]);
    expect((await exchange(9)).jobs.map(({ job }) => job.id)).toEqual([second?.id]);
  });

  it("is found in a group of which other jobs run, by the next add", async () => {
    const { driver, exchange, memory } = scene();
    const limit = (count: number) => job({ group: { key: "g", limit: count } });
    const [, gone, third] = await driver.enqueue(times(3, limit(2)));
    await exchange(1);
    await vanish(memory, gone?.id);
    await driver.enqueue([limit(2)]);
    expect((await exchange(9)).jobs.map(({ job }) => job.id)).toEqual([third?.id]);
  });

  it.each([0, 8, 40])("is found without an add, behind %d groups whose jobs run and wait", async (groups) => {
    const { driver, memory, untilStarts } = scene();
    for (let index = 0; index < groups; index++) await driver.enqueue(times(2, of(`a${index}`)));
    const [gone, second] = await driver.enqueue(times(2, of("z")));
    await vanish(memory, gone?.id);
    expect((await untilStarts(second?.id)).exchanges).toBeLessThanOrEqual(groups + 2);
    expect(await memory.transact(checkInvariants)).toEqual([]);
  });

  it.each([0, 8])("is found without an add in a queue that is never idle, behind %d such groups", async (groups) => {
    const { driver, exchange, memory } = scene();
    for (let index = 0; index < groups; index++) await driver.enqueue(times(2, of(`a${index}`)));
    await exchange(9);
    const [gone, second] = await driver.enqueue(times(2, of("z", { priority: 1 })));
    await vanish(memory, gone?.id);
    const started: string[] = [];
    for (let round = 0; round < groups + 2; round++) {
      await driver.enqueue(times(2, job()));
      started.push(...(await exchange(1)).jobs.map(({ job }) => job.id));
    }
    expect(started).toContain(second?.id);
  });

  it("of 300 that are lost, some are found at each look", async () => {
    const { driver, exchange, memory } = scene();
    const ids = await driver.enqueue(times(210, job({ group: { key: "g", limit: 200 } })));
    for (const { id } of ids.slice(0, 200)) await vanish(memory, id);
    const started: string[] = [];
    for (let look = 0; look < 3; look++) started.push(...(await exchange(99)).jobs.map(({ job }) => job.id));
    expect(started).toEqual(ids.slice(200).map(({ id }) => id));
  });
});

describe("R16: what a job of a group costs", () => {
  const rows = async (jobs: readonly NewJob[], limit: number) => {
    const { driver, exchange, store } = scene();
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 0, failed: 0, cancelled: 0 } });
    const before = store.written;
    await driver.enqueue(jobs);
    const done: string[] = [];
    for (let held = (await exchange(limit)).jobs; held.length > 0; ) {
      done.push(...held.map(({ job }) => job.id));
      held = (
        await exchange(
          limit,
          held.map(({ token }) => ({ token, outcome: "completed" as const })),
        )
      ).jobs;
    }
    expect(done).toHaveLength(jobs.length);
    return store.written - before;
  };
  it("is 2 rows more than another's where it is alone, for its seat", async () => {
    expect((await rows([of("g")], 1)) - (await rows([job()], 1))).toBe(2);
  });

  it.each([
    { limit: 1, slots: 1, more: 4 },
    { limit: 1, slots: 9, more: 4 },
    // Jobs that come back and are not claimed at once need a seat in the cell: a row for each exchange.
    { limit: 5, slots: 2, more: 5 },
  ])(
    "is at most $more rows more where it waits, with a limit of $limit and $slots slots",
    async ({ limit, slots, more }) => {
      const grouped = await rows(times(100, job({ group: { key: "g", limit } })), slots);
      const others = await rows(times(100, job()), Math.min(limit, slots));
      expect((grouped - others) / 100).toBeLessThanOrEqual(more);
    },
  );
});
