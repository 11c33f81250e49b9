import { everything } from "@quayside/core";
import {
  type ExchangeRequest,
  isOperation,
  type Liveness,
  MemoryStore,
  type Operation,
  type Program,
  type Settlement,
  type Store,
  StoreDriver,
} from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";

/** Notes of each put of a lease whether it may wait. */
class Noting implements Store {
  readonly puts: boolean[] = [];
  readonly #store = new MemoryStore();

  transact<T>(start: () => Program<T>): Promise<T> {
    return this.#store.transact(() => this.#noted(start()));
  }

  *#noted<T>(program: Program<T>): Program<T> {
    let step = program.next();
    while (!step.done) {
      for (const operation of isOperation(step.value) ? [step.value] : step.value) this.#note(operation);
      step = program.next(yield step.value);
    }
    return step.value;
  }

  #note(operation: Operation): void {
    if (operation.op === "put" && operation.collection === "leases") this.puts.push(operation.deferrable ?? false);
  }

  announce: Store["announce"] = (changes) => this.#store.announce(changes);
  watch: Store["watch"] = (listener) => this.#store.watch(listener);
  close = () => this.#store.close();
}

const BOOM = { code: "handler_failed", message: "boom" } as const;

/** A worker that holds three jobs, and what the put of its next exchange says. */
async function scene(more: (tokens: readonly string[]) => Partial<ExchangeRequest>, liveness: Liveness = "process") {
  const store = new Noting();
  const driver = new StoreDriver(store, {
    plugins: everything(),
    clock: createManualClock(),
    register: async () => ({ liveness, leave() {} }),
  });
  const exchange = (number: number, rest: Partial<ExchangeRequest>) =>
    driver.exchange({
      worker: "worker",
      liveness,
      leaseMs: 30_000,
      exchange: number,
      settle: [],
      running: [],
      claim: { limit: 0, queues: [] },
      ...rest,
    });
  await driver.enqueue(Array.from({ length: 4 }, () => ({ queue: "mail", name: "email", payload: "0" })));
  const { jobs } = await exchange(1, { claim: { limit: 3, queues: [{ queue: "mail" }] } });
  store.puts.length = 0;
  await exchange(2, more(jobs.map(({ token }) => token)));
  expect(store.puts).toHaveLength(1);
  return store.puts[0];
}

const settled = (rest: (token: string) => Settlement) => (tokens: readonly string[]) => ({
  settle: tokens.slice(0, 1).map(rest),
  running: tokens.slice(1),
});

describe("the lease of a worker that dies with its process", () => {
  it.each([
    ["ended a job", settled((token) => ({ token, outcome: "completed" }))],
    ["failed one for good", settled((token) => ({ token, outcome: "failed", error: BOOM }))],
    ["is to try one later", settled((token) => ({ token, outcome: "failed", error: BOOM, retryMs: 1_000 }))],
    ["gave one back for later", settled((token) => ({ token, outcome: "released", delayMs: 1_000 }))],
    ["renewed what it holds", (running: readonly string[]) => ({ running })],
    [
      "ended all",
      (tokens: readonly string[]) => ({ settle: tokens.map((token) => ({ token, outcome: "completed" as const })) }),
    ],
  ])("need not be written at once where it only %s: what it listed too many is not there", async (_, more) => {
    expect(await scene(more)).toBe(true);
  });

  it.each([
    ["claimed more", (running: readonly string[]) => ({ running, claim: { limit: 1, queues: [{ queue: "mail" }] } })],
    ["gave a job back in its place", settled((token) => ({ token, outcome: "released", delayMs: 0 }))],
    ["forgot a job, which then stands there again", (tokens: readonly string[]) => ({ running: tokens.slice(1) })],
    [
      "told of progress",
      (running: readonly string[]) => ({ running, progress: [{ token: running[0] as string, value: 1 }] }),
    ],
  ])("is written where it %s: after a crash that would be wrong, or lost", async (_, more) => {
    expect(await scene(more)).toBe(false);
  });

  it.each(["time", "lock"] as const)(
    "and of no other: one of liveness %s may send its exchange again",
    async (liveness) => {
      expect(
        await scene(
          settled((token) => ({ token, outcome: "completed" })),
          liveness,
        ),
      ).toBe(false);
    },
  );
});
