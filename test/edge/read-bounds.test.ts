import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import type { ExchangeReply, ExchangeRequest, NewJob } from "@quayside/core/engine";
import { queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";

afterEach(reset);

/** Records that one call may read (R32). */
const MOST = 10_000;

interface Cost<T> {
  readonly answer: T;
  /** Rows that the call read. */
  readonly read: number;
  /** Rows that one of its transactions read, at most. */
  readonly step: number;
}

/** An object in which many jobs wait or run. */
class Deep {
  readonly object = env.BARE_QUEUE.getByName("deep");
  readonly driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "deep"));
  readonly #workers = new Map<string, { exchange: number; tokens: readonly string[] }>();

  async add(count: number, make: (n: number) => Partial<NewJob> = () => ({})): Promise<void> {
    for (let from = 0; from < count; from += 1_000) {
      const jobs = Array.from({ length: Math.min(1_000, count - from) }, (_, n) => make(from + n));
      await this.driver.enqueue(jobs.map((job) => ({ queue: "deep", name: "note", payload: "1", ...job })));
    }
  }

  /** One round of a worker, which settles what it says and goes on with all else that it has. */
  async exchange(
    worker: string,
    limit: number,
    { names, settle = [] }: { names?: readonly string[]; settle?: ExchangeRequest["settle"] } = {},
  ): Promise<ExchangeReply> {
    const { exchange, tokens } = this.#workers.get(worker) ?? { exchange: 0, tokens: [] };
    const settled = new Set(settle.map(({ token }) => token));
    const running = tokens.filter((token) => !settled.has(token));
    const reply = await this.driver.exchange({
      worker,
      liveness: "time",
      leaseMs: 3_600_000,
      exchange: exchange + 1,
      settle,
      running,
      claim: { limit, queues: [{ queue: "deep", ...(names && { names }) }] },
    });
    const claimed = reply.jobs.map(({ token }) => token);
    this.#workers.set(worker, { exchange: exchange + 1, tokens: [...running, ...claimed] });
    return reply;
  }

  tokens(worker: string): readonly string[] {
    return this.#workers.get(worker)?.tokens ?? [];
  }

  async hold(worker: string, count: number): Promise<void> {
    while (this.tokens(worker).length < count)
      expect((await this.exchange(worker, Math.min(1_000, count - this.tokens(worker).length))).jobs).not.toEqual([]);
  }

  async complete(worker: string): Promise<void> {
    await this.exchange(worker, 0, {
      settle: this.tokens(worker).map((token) => ({ token, outcome: "completed" as const })),
    });
  }

  async cost<T>(call: () => Promise<T>): Promise<Cost<T>> {
    await this.object.mostRead();
    const { rowsRead } = await this.object.usage();
    const answer = await call();
    return { answer, read: (await this.object.usage()).rowsRead - rowsRead, step: await this.object.mostRead() };
  }
}

describe("R32: a claim beside 700 running jobs", () => {
  it.each<[what: string, (n: number) => Partial<NewJob>]>([
    ["of a name that its worker does not know", () => ({ name: "unknown" })],
    ["of names that its worker does not know, in several priorities", (n) => ({ name: `${n % 9}`, priority: n % 5 })],
    ["of a group that is full", () => ({ group: { key: "full" }, delayMs: 1_000 })],
    ["of two groups that are full", (n) => ({ group: { key: `full ${n % 2}` }, delayMs: 1_000 })],
  ])("reads them once, however many jobs it sets aside: %s", async (_, make) => {
    const deep = new Deep();
    await deep.add(700);
    await deep.hold("holder", 700);
    await deep.add(300, make);
    await deep.object.advance(2_000);
    for (let round = 0; round < 3; round++) {
      const { read } = await deep.cost(() => deep.exchange("worker", 1, { names: ["note"] }));
      expect(read).toBeLessThan(2_500);
    }
  });

  it("takes the first that waits behind them, and the next ones in order", async () => {
    const deep = new Deep();
    await deep.add(702, (n) => ({ payload: `${n}` }));
    await deep.hold("holder", 700);
    await deep.add(1, () => ({ payload: "702", name: "unknown" }));
    await deep.add(2, (n) => ({ payload: `${703 + n}` }));
    const { jobs } = await deep.exchange("worker", 3, { names: ["note"] });
    expect(jobs.map(({ job }) => job.payload)).toEqual([700, 701, 703]);
    expect((await deep.exchange("worker", 3)).jobs.map(({ job }) => job.payload)).toEqual([702, 704]);
  });
});

describe("R32: a worker that asks for 10,000 jobs", () => {
  it("gets 3,000 at a time, and reads within bounds until no more fit into the object", async () => {
    const deep = new Deep();
    await deep.add(9_000);
    let claimed = 0;
    for (const worker of ["first", "second", "third"]) {
      for (;;) {
        const { answer, read } = await deep.cost(() => deep.exchange(worker, 10_000));
        expect(read).toBeLessThan(MOST);
        claimed += answer.jobs.length;
        if (answer.jobs.length === 0) {
          // Nobody tells it of room that others make: it looks again in a while, and not at once.
          expect(answer.nextWakeMs).toBe(1_000);
          break;
        }
        expect(answer.nextWakeMs).toBe(0);
        expect(answer.jobs.length).toBeLessThanOrEqual(3_000);
      }
    }
    expect(claimed).toBeGreaterThanOrEqual(5_000);
    expect(claimed).toBeLessThan(8_000);
    await deep.complete("first");
    expect((await deep.exchange("third", 10)).jobs).toHaveLength(10);
  }, 60_000);

  it("runs 1,500 at once", async () => {
    const deep = new Deep();
    await deep.add(1_500);
    const all = Promise.withResolvers<void>();
    let running = 0;
    const queue = new Queue("deep", deep.driver);
    queue.on("job:note", async () => {
      if (++running === 1_500) all.resolve();
      await all.promise;
    });
    await queue.drain({ concurrency: 10_000 });
    expect(running).toBe(1_500);
  }, 60_000);

  it("has a lease that fits into a row of 2 MB, whatever the length of ids and queues", async () => {
    const deep = new Deep();
    await deep.add(3_000, (n) => ({ id: `${n}`.padEnd(256, "ö") }));
    for (let round = 0; round < 4; round++) await deep.exchange("worker", 10_000);
    const bytes = await runInDurableObject(deep.object, (_, { storage }) =>
      storage.sql.exec("SELECT max(length(CAST(record AS BLOB))) AS bytes FROM quayside_leases").one(),
    );
    expect(bytes.bytes).toBeLessThan(2_000_000 - 1024 * 1024);
    await deep.complete("worker");
    expect((await deep.exchange("worker", 10_000)).jobs.length).toBeGreaterThan(0);
  }, 60_000);
});

describe("R32: bounded steps", () => {
  it("bring back jobs of 100 names, to a worker that takes any", async () => {
    const deep = new Deep();
    await deep.add(3_000, (n) => ({ name: `name ${n % 100}` }));
    for (let round = 0; round < 30; round++) await deep.exchange("strange", 1, { names: ["other"] });
    const seen = new Set<string>();
    for (let round = 0; seen.size < 3_000 && round < 40; round++) {
      const { answer, read } = await deep.cost(() => deep.exchange("worker", 256));
      expect(read).toBeLessThan(6_000);
      for (const { job } of answer.jobs) seen.add(job.id);
    }
    expect(seen.size).toBe(3_000);
  }, 60_000);

  it("set aside jobs of 9,000 long names, which would not fit into one record, and bring them back", async () => {
    const deep = new Deep();
    const name = (n: number) => `${n} `.padEnd(256, "n");
    await deep.add(9_000, (n) => ({ name: name(n) }));
    await deep.add(1);
    let found = 0;
    for (let round = 0; found === 0 && round < 100; round++) {
      const { answer, step } = await deep.cost(() => deep.exchange("worker", 1, { names: ["note"] }));
      expect(step).toBeLessThan(1_000);
      found = answer.jobs.length;
    }
    expect(found).toBe(1);
    const longest = await runInDurableObject(deep.object, (_, { storage }) =>
      storage.sql.exec<{ bytes: number }>("SELECT max(length(record)) AS bytes FROM quayside_cells").one(),
    );
    expect(longest.bytes).toBeLessThan(50_000);
    for (const n of [0, 8_999]) {
      const { answer, read } = await deep.cost(() => deep.exchange("other", 1, { names: ["note", name(n)] }));
      expect(answer.jobs.map(({ job }) => job.name)).toEqual([name(n)]);
      expect(read).toBeLessThan(300);
    }
  }, 60_000);

  it("fill groups whose limits one add has raised", async () => {
    const deep = new Deep();
    await deep.add(4_000, (n) => ({ group: { key: `group ${n % 20}` } }));
    const { step } = await deep.cost(() => deep.add(20, (n) => ({ group: { key: `group ${n}`, limit: 200 } })));
    expect(step).toBeLessThan(3_000);
    const ids = new Set<string>();
    for (let round = 0; ids.size < 4_020 && round < 100; round++) {
      const { jobs } = await deep.exchange("worker", 1_000, {
        settle: deep.tokens("worker").map((token) => ({ token, outcome: "completed" })),
      });
      for (const { job } of jobs) ids.add(job.id);
    }
    expect(ids.size).toBe(4_020);
  }, 60_000);

  it("prune a long history: the whole of it is counted once", async () => {
    const deep = new Deep();
    const keep = (completed: number) => deep.driver.command({ type: "configure", queue: "deep", keep: { completed } });
    await keep(100_000);
    await deep.add(4_000);
    for (const worker of ["first", "second"]) {
      await deep.hold(worker, 2_000);
      await deep.complete(worker);
    }
    const { read, step } = await deep.cost(() => keep(2_500));
    expect(read).toBeLessThan(12_000);
    expect(step).toBeLessThan(5_000);
    expect(await deep.driver.counts("deep")).toMatchObject({ completed: 2_500 });
  }, 60_000);

  it("count 25,000 jobs for the first time, also while jobs are added and end, and no second time", async () => {
    const deep = new Deep();
    await deep.add(21_000);
    await deep.add(4_000, () => ({ name: "unknown", priority: 1 }));
    for (let round = 0; round < 30; round++) await deep.exchange("strange", 1, { names: ["other"] });
    const ids = (await deep.driver.list({ queue: "deep", state: "waiting", limit: 100 })).jobs
      .map(({ id }) => id)
      .reverse();
    await deep.hold("worker", 40);
    await deep.object.mostRead();
    const [settled = []] = await runInDurableObject(deep.object, async (object) => {
      const counting = object.counts("deep");
      let over = false;
      void counting.then(() => (over = true));
      // Into parts that were counted before, and out of them.
      let n = 0;
      for (; !over; n++) {
        await object.enqueue([{ queue: "deep", name: "note", payload: "1", priority: n % 2 === 0 ? 100 : -100 }]);
        await object.command({ type: "cancel", queue: "deep", id: ids[n] as string });
      }
      await counting;
      return [[n]];
    });
    expect(settled[0]).toBeGreaterThan(1);
    expect(await deep.object.mostRead()).toBeLessThan(10_000);
    const { answer, read } = await deep.cost(() => deep.driver.counts("deep"));
    expect(answer).toMatchObject({ waiting: 25_000 - 40, active: 40, cancelled: settled[0] });
    expect(read).toBeLessThan(200);
    // What is known stays true.
    await deep.add(7);
    expect((await deep.driver.counts("deep")).waiting).toBe(25_007 - 40);
  }, 60_000);

  it("count few jobs for the first time without a row written", async () => {
    const deep = new Deep();
    await deep.add(5_000);
    const { rowsWritten } = await deep.object.usage();
    const { answer, read } = await deep.cost(() => deep.driver.counts("deep"));
    expect(answer.waiting).toBe(5_000);
    expect(read).toBeLessThan(10_100);
    expect((await deep.object.usage()).rowsWritten).toBe(rowsWritten);
  }, 60_000);

  it("look for 12,000 groups in a shard whose queue grows", async () => {
    const deep = new Deep();
    await deep.add(12_000, (n) => ({ group: { key: `group ${n}` } }));
    const job = (key: string) => ({ queue: "deep", name: "note", payload: "1", group: { key } });
    const add = (...jobs: ReturnType<typeof job>[]) =>
      queueStub(env.BARE_QUEUE, "deep").shard("add", {
        shard: 0,
        layout: { count: 2, previous: 1 },
        settings: { deep: {} },
        jobs,
        units: jobs.map((_, unit) => unit),
      });
    const { answer, step } = await deep.cost(() => add(job("group 11999"), job("another")));
    expect(answer).toMatchObject({
      value: { receipts: [{ id: expect.stringMatching(/./), deduplicated: false }, { id: "" }], told: ["deep"] },
    });
    expect(step).toBeLessThan(2_000);
    expect((await deep.cost(() => add(job("group 0")))).read).toBeLessThan(100);
  }, 60_000);

  it("clear 5,000 running jobs", async () => {
    const deep = new Deep();
    await deep.add(5_100);
    for (const worker of ["first", "second"]) await deep.hold(worker, 2_500);
    const started = Date.now();
    const { answer, step } = await deep.cost(() => deep.driver.command({ type: "clear", queue: "deep" }));
    expect(answer).toEqual({ affected: 5_100 });
    expect(step).toBeLessThan(1_100);
    // 20,001 took 71 s, in which the object answered nothing else.
    expect(Date.now() - started).toBeLessThan(10_000);
    for (const worker of ["first", "second"]) {
      const { cancel } = await deep.exchange(worker, 0);
      expect(new Set(cancel)).toEqual(new Set(deep.tokens(worker)));
    }
    expect(await deep.driver.command({ type: "clear", queue: "deep", state: "active" })).toEqual({ affected: 0 });
  }, 60_000);
});
