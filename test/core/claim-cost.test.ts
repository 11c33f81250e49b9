import { everything } from "@quayside/core";
import {
  isOperation,
  MemoryStore,
  type NewJob,
  type Operation,
  type Program,
  type Step,
  type Store,
  StoreDriver,
} from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

/**
 * What a claim costs: records and keys that the store answers while one exchange claims. An answer of nothing is no
 * record; a scan that answers keys only counts each key as a record, for a database reads the row either way.
 */
class Counting implements Store {
  read = 0;
  /** Operations that were asked for. */
  asked = 0;
  readonly #store: Store;

  constructor(store: Store) {
    this.#store = store;
  }

  transact<T>(start: () => Program<T>): Promise<T> {
    return this.#store.transact(() => this.#counted(start()));
  }

  *#counted<T>(program: Program<T>): Program<T> {
    let step = program.next();
    while (!step.done) {
      const asked: Step = step.value;
      const answer = yield asked;
      if (isOperation(asked)) this.#count(asked, answer);
      else for (const [index, operation] of asked.entries()) this.#count(operation, (answer as unknown[])[index]);
      step = program.next(answer);
    }
    return step.value;
  }

  #count({ op }: Operation, answer: unknown): void {
    this.asked++;
    if (op === "get" || op === "scan")
      this.read += (answer as readonly unknown[]).filter((one) => one !== undefined).length;
  }

  announce: Store["announce"] = (changes) => this.#store.announce(changes);
  watch: Store["watch"] = (listener) => this.#store.watch(listener);
  close = () => this.#store.close();
}

const QUEUE = "mail";
const WAITING = 100_000;
const DELAYED = 50_000;
const GROUPS = 1_000;
const PRIORITIES = 20;
const job = (options: Partial<NewJob> = {}): NewJob => ({ queue: QUEUE, name: "email", payload: "0", ...options });

function scene() {
  const clock = createManualClock();
  const store = new Counting(new MemoryStore());
  const driver = new StoreDriver(store, { plugins: everything(), clock });
  let exchange = 0;
  return {
    clock,
    driver,
    /** How many records one claim of `limit` reads, how many operations it takes, and what it claims. What it claimed is completed in the next one. */
    async claim(limit: number, settle: readonly string[] = [], worker = "worker") {
      const before = { read: store.read, asked: store.asked };
      const { jobs } = await driver.exchange({
        worker,
        liveness: "time",
        leaseMs: 30_000,
        exchange: ++exchange,
        settle: settle.map((token) => ({ token, outcome: "completed" })),
        running: [],
        claim: { limit, queues: [{ queue: QUEUE }] },
      });
      return {
        jobs,
        tokens: jobs.map(({ token }) => token),
        read: store.read - before.read,
        asked: store.asked - before.asked,
      };
    },
    async add(jobs: readonly NewJob[]) {
      for (let from = 0; from < jobs.length; from += 10_000) await driver.enqueue(jobs.slice(from, from + 10_000));
    },
  };
}

const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

/** A deep queue: jobs of all priorities, one of each group at the head of every priority, and delayed ones behind. */
const backlog = (): NewJob[] => [
  ...range(WAITING).map((n) =>
    job({ priority: n % PRIORITIES, ...(n % 3 === 0 && { group: { key: `group ${n % GROUPS}` } }) }),
  ),
  ...range(DELAYED).map((n) => job({ priority: n % PRIORITIES, delayMs: 3_600_000 + n })),
];

/** The head that both queues share: what a claim is to take, above all else. */
const head = (count: number): NewJob[] => range(count).map((n) => job({ priority: 50, payload: `${n}` }));

describe("the cost of a claim", () => {
  // "Almost empty": the same claimable head and nothing else.
  it.each([1, 10, 100])(
    "of %d jobs is within twice that in an almost empty queue, with 100,000 jobs, 1,000 groups, 20 priorities and 50,000 delayed behind",
    async (limit) => {
      const [empty, deep] = [scene(), scene()];
      await deep.add(backlog());
      for (const { add } of [empty, deep]) await add(head(3 * limit));
      const reads = { empty: 0, deep: 0 };
      for (const [name, { claim }] of [
        ["empty", empty],
        ["deep", deep],
      ] as const) {
        const first = await claim(limit);
        expect(first.jobs.map(({ job: { payload } }) => payload)).toEqual(range(limit));
        const second = await claim(limit, first.tokens);
        expect(second.jobs.map(({ job: { payload } }) => payload)).toEqual(range(limit).map((n) => n + limit));
        reads[name] = second.read;
      }
      console.info(`a claim of ${limit}: ${reads.empty} records in an almost empty queue, ${reads.deep} in a deep one`);
      expect(reads.deep).toBeLessThanOrEqual(2 * reads.empty);
    },
    60_000,
  );

  it("in the middle of the backlog grows with what it claims and with its priorities, never with the depth", async () => {
    const reads: number[] = [];
    for (const waiting of [1_000, WAITING]) {
      const { add, claim, clock } = scene();
      await add(backlog().filter((_, n) => n < waiting || n >= WAITING));
      let { tokens } = await claim(10);
      for (let round = 0; round < 20; round++) {
        await clock.advance(10);
        const next = await claim(10, tokens);
        expect(next.jobs).toHaveLength(10);
        tokens = next.tokens;
        if (round === 19) reads.push(next.read);
      }
    }
    const [shallow, deep] = reads as [number, number];
    console.info(`a claim of 10 amid 1,000 jobs: ${shallow} records; amid ${WAITING}: ${deep}`);
    expect(deep).toBeLessThanOrEqual(2 * shallow);
    // Ten jobs, their groups' limits, the lease, the settled ten, a seek for each priority: nothing near the backlog.
    expect(deep).toBeLessThanOrEqual(200);
  }, 60_000);

  it("that comes when nothing is due reads as many as it wants and one key a priority, whatever is delayed", async () => {
    const { add, claim } = scene();
    await add(range(DELAYED).map((n) => job({ priority: n % PRIORITIES, delayMs: 3_600_000 + n })));
    const { jobs, read } = await claim(10);
    expect(jobs).toEqual([]);
    expect(read).toBeLessThanOrEqual(10 + PRIORITIES + 2);
  }, 60_000);

  it("R32: past 100,000 expired jobs ends 256 per exchange, and an add or another claim runs between", async () => {
    const { add, claim, clock, driver } = scene();
    await add(range(WAITING).map(() => job({ expiresInMs: 1, keep: { failed: 0 } })));
    await clock.advance(10);
    for (let round = 1; round <= 10; round++) {
      const { read, asked } = await claim(10);
      expect(read).toBeLessThanOrEqual(1_500);
      expect(asked).toBeLessThanOrEqual(1_500);
      const { waiting } = await driver.counts(QUEUE);
      expect(waiting).toBe(WAITING - 256 * round);
    }
  }, 60_000);

  const expiring = { expiresInMs: 1, keep: { failed: 0 } };
  for (const [title, jobs] of [
    ["expired jobs of as many groups", range(20_000).map((n) => job({ ...expiring, group: { key: `group ${n}` } }))],
    ["jobs that expired before they were due", range(20_000).map(() => job({ ...expiring, delayMs: 5 }))],
    [
      "expired jobs that one parent waits for",
      [
        job({ flow: { ref: "top" } }),
        ...range(9_999).map(() => job({ ...expiring, flow: { parentRef: "top", onFailure: "ignore" } })),
      ],
    ],
  ] as const)
    it(`R32: past ${jobs.length.toLocaleString("en")} ${title} ends 256 per exchange`, async () => {
      const { add, claim, clock, driver } = scene();
      await driver.enqueue(jobs);
      await add([job({ priority: -1 })]);
      await clock.advance(10);
      for (let round = 1; round <= 5; round++) {
        const { read } = await claim(10);
        expect(read).toBeLessThanOrEqual(2_000);
        const { waiting, active } = await driver.counts(QUEUE);
        expect(waiting + active).toBeGreaterThanOrEqual(jobs.length + 1 - 256 * round);
      }
    }, 60_000);

  it("past a full group of 100,000 reads a bounded number of records, each time", async () => {
    const { add, claim } = scene();
    await add(range(WAITING).map(() => job({ group: { key: "full" } })));
    await add([job({ priority: -1 })]);
    await claim(1);
    for (let round = 0; round < 10; round++) {
      const { read } = await claim(10);
      expect(read).toBeLessThanOrEqual(400);
    }
  }, 60_000);
});

it("of a worker that died without leaving, nothing is remembered that would be read ahead of its next exchange", async () => {
  const late = async (known: boolean) => {
    const { add, claim, clock, driver } = scene();
    await add(head(20));
    // Its claim was made by the driver that hears of it again, or by another one.
    const { tokens } = known ? await claim(10) : { tokens: range(10).map((n) => `1.${n}`) };
    if (!known) await claim(10, [], "other");
    await claim(0, [], "survivor");
    for (let third = 0; third < 6; third++) {
      await clock.advance(10_000);
      await claim(0, [], "survivor");
    }
    expect(await driver.counts(QUEUE)).toMatchObject({ active: 0 });
    await claim(0, [], "survivor");
    return (await claim(0, tokens)).asked;
  };
  expect(await late(true)).toBe(await late(false));
});
