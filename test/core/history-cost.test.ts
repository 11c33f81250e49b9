import { everything } from "@quayside/core";
import { type Key, remove, StoreDriver, scanKeys } from "@quayside/core/engine";
import { expect, it, vi } from "vitest";
import { Metered } from "./metered-store.ts";

// Each test makes 50,000 jobs.
vi.setConfig({ testTimeout: 60_000 });

const QUEUE = "mail";
const KEPT = 50_000;
/** Number of jobs per step of a command (R32). */
const STEP = 256;

/** A queue with `KEPT` failed jobs, of which `limit` may be kept, on a store that has lost its counts in a restart. */
class History {
  readonly store = new Metered();
  readonly driver = new StoreDriver(this.store, { plugins: everything() });
  #exchange = 0;

  async fill(limit: number): Promise<this> {
    await this.keep(limit);
    for (let left = KEPT; left > 0; left -= 10_000) await this.fail(10_000);
    const range = { from: [""] as Key, to: ["\uffff"] as Key };
    await this.store.transact(function* () {
      yield* remove("tallies", yield* scanKeys("tallies", range, 10));
    });
    return this;
  }

  keep = (failed: number) => this.driver.command({ type: "configure", queue: QUEUE, keep: { failed } });

  #call(settle: readonly string[], limit: number) {
    return this.driver.exchange({
      ...{ worker: "worker", liveness: "time", leaseMs: 30_000, exchange: ++this.#exchange, running: [] },
      claim: { limit, queues: [{ queue: QUEUE }] },
      settle: settle.map((token) => ({ token, outcome: "failed", error: { code: "internal", message: "No." } })),
    });
  }

  async fail(count: number): Promise<void> {
    await this.driver.enqueue(Array.from({ length: count }, () => ({ queue: QUEUE, name: "email", payload: "0" })));
    const { jobs } = await this.#call([], count);
    await this.#call(
      jobs.map(({ token }) => token),
      0,
    );
  }

  /** Returns the number of records that a call reads and writes. */
  async cost(call: () => Promise<unknown>): Promise<{ readonly read: number; readonly written: number }> {
    const { read, written } = this.store;
    this.store.most = { read: 0, written: 0, operations: 0 };
    await call();
    return { read: this.store.read - read, written: this.store.written - written };
  }
}

it.each([
  ["with room for more", KEPT * 2],
  ["that is full", KEPT],
])("R42: the first failure after a restart does not read a long history %s", async (_, limit) => {
  const history = await new History().fill(limit);
  expect((await history.cost(() => history.fail(1))).read).toBeLessThanOrEqual(12);
  expect((await history.driver.counts(QUEUE)).failed).toBe(Math.min(limit, KEPT + 1));
});

it("R42: the same `keep` said again after a restart reads the newest job of each state", async () => {
  const history = await new History().fill(KEPT);
  expect((await history.cost(() => history.keep(KEPT))).read).toBeLessThanOrEqual(6);
});

it("R42: a lower `keep` reads and deletes what is over it, 256 jobs at a time", async () => {
  const history = await new History().fill(KEPT);
  const left = 5_000;
  let others = 0;
  history.driver.watch(({ kind }) => {
    if (kind === "ended") void history.driver.nextWake([QUEUE]).then(() => others++);
  });
  const { read, written } = await history.cost(() => history.keep(left));
  const pruned = KEPT - left;
  const steps = Math.ceil(pruned / STEP);
  expect(read).toBeLessThanOrEqual(2 * pruned + 20 * steps);
  expect(written).toBeLessThanOrEqual(2 * pruned + 20 * steps);
  expect(history.store.most.read).toBeLessThanOrEqual(2 * STEP + 20);
  expect(others).toBeGreaterThan(steps / 2);
  expect((await history.driver.counts(QUEUE)).failed).toBe(left);
});
