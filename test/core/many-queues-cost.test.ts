import { everything } from "@quayside/core";
import { StoreDriver } from "@quayside/core/engine";
import { expect, it } from "vitest";
import { Metered } from "./metered-store.ts";

/** Returns the number of operations of one exchange of a worker over this number of queues. */
async function operations(count: number, jobs: boolean): Promise<number> {
  const store = new Metered();
  const driver = new StoreDriver(store, { plugins: everything() });
  const queues = Array.from({ length: count }, (_, index) => ({ queue: `queue ${index}` }));
  if (jobs) await driver.enqueue(queues.map(({ queue }) => ({ queue, name: "email", payload: "0" })));
  store.most = { read: 0, written: 0, operations: 0 };
  const reply = await driver.exchange({
    worker: "worker",
    liveness: "time",
    leaseMs: 30_000,
    exchange: 1,
    settle: [],
    running: [],
    claim: { limit: 10, queues },
  });
  expect(reply.jobs).toHaveLength(jobs ? 10 : 0);
  return store.most.operations;
}

it("R42: an exchange over 10,000 queues with jobs makes as many operations as one over 10", async () => {
  expect(await operations(10_000, true)).toBe(await operations(10, true));
});

it("R42: an exchange over 10,000 queues without jobs looks at each once", async () => {
  expect(await operations(10_000, false)).toBeLessThanOrEqual(10_000 + 10);
});
