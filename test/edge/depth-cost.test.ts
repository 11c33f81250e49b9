import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { ExchangeRequest, NewJob } from "@quayside/core/engine";
import { queueStub, StubDriver } from "@quayside/edge";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

afterAll(reset);

const QUEUE = "mail";
const DEPTHS = [1_000, 100_000] as const;
const PRIORITIES = 5;

const job = (n: number): NewJob => ({ queue: QUEUE, name: "email", payload: "{}", priority: n % PRIORITIES });
const batch = (count: number) => Array.from({ length: count }, (_, n) => job(n));

/** An object in which so many jobs wait, all of them due. */
class Deep {
  readonly driver: StubDriver;
  readonly #object;
  #exchange = 0;
  #tokens: readonly string[] = [];

  constructor(depth: number) {
    const name = `depth ${depth}`;
    this.#object = env.BARE_QUEUE.getByName(name);
    this.driver = new StubDriver(() => queueStub(env.BARE_QUEUE, name));
  }

  async fill(depth: number): Promise<this> {
    await this.driver.command({ type: "configure", queue: QUEUE, keep: { completed: 0 } });
    for (let left = depth; left > 0; left -= 1_000) await this.driver.enqueue(batch(Math.min(left, 1_000)));
    // Counted once when the object has started, by reading each key; from then on it knows.
    await this.driver.counts(QUEUE);
    return this;
  }

  /** Settles what it claimed last, and claims so many. */
  async claim(limit: number): Promise<void> {
    const { jobs } = await this.driver.exchange({
      worker: "worker",
      liveness: "time",
      leaseMs: 30_000,
      exchange: ++this.#exchange,
      settle: this.#tokens.map((token) => ({ token, outcome: "completed" })),
      running: [],
      claim: { limit, queues: [{ queue: QUEUE }] },
    } satisfies ExchangeRequest);
    expect(jobs).toHaveLength(limit);
    this.#tokens = jobs.map(({ token }) => token);
  }

  /** The rows of a page of 100 that begins after so many jobs. */
  async page(after: number): Promise<Rows> {
    let cursor: string | undefined;
    for (let left = after; left > 0; left -= 1_000) {
      const page = await this.driver.list({ queue: QUEUE, limit: Math.min(left, 1_000), ...(cursor && { cursor }) });
      cursor = page.cursor;
    }
    return this.rows(async () => {
      const { jobs } = await this.driver.list({ queue: QUEUE, limit: 100, ...(cursor && { cursor }) });
      expect(jobs).toHaveLength(100);
    });
  }

  async rows(work: () => Promise<unknown>): Promise<Rows> {
    const before = await this.#object.usage();
    await work();
    const after = await this.#object.usage();
    return { read: after.rowsRead - before.rowsRead, written: after.rowsWritten - before.rowsWritten };
  }
}

interface Rows {
  readonly read: number;
  readonly written: number;
}

/** What is done, and the rows that it may read and write, whatever waits. */
const VERBS: readonly (readonly [string, (deep: Deep) => Promise<Rows>, Rows])[] = [
  ["an add", (deep) => deep.rows(() => deep.driver.enqueue([job(0)])), { read: 1, written: 1 }],
  ["an add of 100", (deep) => deep.rows(() => deep.driver.enqueue(batch(100))), { read: 101, written: 100 }],
  ["a first page of the list", (deep) => deep.page(0), { read: 110, written: 0 }],
  ["a page of the list by cursor", (deep) => deep.page(100), { read: 110, written: 0 }],
  ["the counts", (deep) => deep.rows(() => deep.driver.counts(QUEUE)), { read: 25, written: 0 }],
  ["the next wake-up", (deep) => deep.rows(() => deep.driver.nextWake([QUEUE])), { read: 25, written: 0 }],
  ...[1, 10, 100].map(
    (limit) =>
      [
        `a claim of ${limit} that settles as many`,
        async (deep: Deep) => {
          await deep.claim(limit);
          return deep.rows(() => deep.claim(limit));
        },
        { read: 10 + 3 * limit, written: limit + 1 },
      ] as const,
  ),
];

describe("with 100,000 jobs waiting in an object", () => {
  const deep: Deep[] = [];
  beforeAll(async () => {
    for (const depth of DEPTHS) deep.push(await new Deep(depth).fill(depth));
  }, 120_000);

  it.each(VERBS)("%s reads and writes as many rows as with 1,000", async (what, verb, most) => {
    const rows: Rows[] = [];
    for (const one of deep) rows.push(await verb(one));
    const [shallow, atDepth] = rows as [Rows, Rows];
    console.info(`${what}: ${atDepth.read} rows read, ${atDepth.written} written, at either depth`);
    expect(atDepth).toEqual(shallow);
    expect(atDepth.read).toBeLessThanOrEqual(most.read);
    expect(atDepth.written).toBe(most.written);
  });

  it("a page far down the list reads as many rows as one near its head", async () => {
    const [, atDepth] = deep as [Deep, Deep];
    // The first page also reads the records of the running jobs, which are first in the line.
    expect(await atDepth.page(90_000)).toEqual(await atDepth.page(1_000));
  });
});
