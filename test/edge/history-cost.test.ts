import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { NewJob } from "@quayside/core/engine";
import { queueStub, StubDriver } from "@quayside/edge";
import { afterAll, expect, it } from "vitest";

afterAll(reset);

const QUEUE = "mail";
const MANY = 1_000;
const job: NewJob = { queue: QUEUE, name: "email", payload: "{}" };

/** An object that keeps as many failed jobs as it has. */
class History {
  readonly driver: StubDriver;
  readonly size: number;
  readonly #object;
  #exchange = 0;

  constructor(size: number) {
    this.size = size;
    const name = `history ${size}`;
    this.#object = env.BARE_QUEUE.getByName(name);
    this.driver = new StubDriver(() => queueStub(env.BARE_QUEUE, name));
  }

  async fill(): Promise<this> {
    await this.keep(this.size);
    for (let left = this.size; left > 0; left -= MANY) await this.fail(MANY);
    return this;
  }

  keep = (failed: number) => this.driver.command({ type: "configure", queue: QUEUE, keep: { failed } });

  #call(tokens: readonly string[], limit: number) {
    return this.driver.exchange({
      ...{ worker: "worker", liveness: "time", leaseMs: 30_000, exchange: ++this.#exchange, running: [] },
      claim: { limit, queues: [{ queue: QUEUE }] },
      settle: tokens.map((token) => ({ token, outcome: "failed", error: { code: "internal", message: "No." } })),
    });
  }

  async fail(count: number): Promise<void> {
    await this.driver.enqueue(Array.from({ length: count }, () => job));
    const { jobs } = await this.#call([], count);
    const tokens = jobs.map(({ token }) => token);
    await this.#call(tokens, 0);
  }

  /** The rows that the object reads and writes for a call, which wakes it. */
  async rowsAfterSleep(call: () => Promise<unknown>): Promise<{ readonly read: number; readonly written: number }> {
    await runInDurableObject(this.#object, (_, { storage }) => storage.deleteAlarm());
    await evictDurableObject(this.#object);
    await call();
    const { rowsRead, rowsWritten } = await this.#object.usage();
    return { read: rowsRead, written: rowsWritten };
  }
}

it("R42: after a sleep, an object with 50,000 failed jobs reads as little of them as one with 1,000", async () => {
  const small = await new History(MANY).fill();
  const large = await new History(50_000).fill();
  const fail = (history: History) => history.rowsAfterSleep(() => history.fail(1));
  const keep = (history: History) => history.rowsAfterSleep(() => history.keep(history.size));
  const [failed, configured] = [await fail(large), await keep(large)];
  console.info(`after a sleep: a failure ${JSON.stringify(failed)}, configure ${JSON.stringify(configured)}`);
  expect(failed).toEqual(await fail(small));
  expect(configured).toEqual(await keep(small));
  expect(failed.read).toBeLessThanOrEqual(20);
  expect(configured.read).toBeLessThanOrEqual(10);
  const pruned = 2_000;
  const { read } = await large.rowsAfterSleep(() => large.keep(50_000 - pruned));
  console.info(`configure that prunes ${pruned} jobs: ${read} rows read`);
  expect(read).toBeLessThanOrEqual(8 * pruned);
  expect((await large.driver.counts(QUEUE)).failed).toBe(50_000 - pruned);
}, 300_000);
