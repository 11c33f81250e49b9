import type { Store } from "@quayside/core/engine";
import type { TestRunner } from "./harness.ts";
import { keyCases } from "./store/key-cases.ts";
import { operationCases } from "./store/operation-cases.ts";
import { programCases } from "./store/program-cases.ts";
import { rangeCases } from "./store/range-cases.ts";

/** One empty set of records. Opened afresh for every case. */
export interface StoreUnderTest {
  readonly store: Store;
  /** Another store object on the same records, as another tab would have; the same one where there can be no other. */
  another(): Promise<Store>;
  /** Also after the case has closed a store itself. */
  close(): Promise<void>;
}

/** Declares one case: a sentence about the store, and what shows that it is true. */
export type StoreCase = (sentence: string, run: (store: Store, under: StoreUnderTest) => Promise<void>) => void;

/**
 * The contract of `Store` as tests. The author of a store runs this suite first, then the driver suite.
 *
 * @example
 * import { describe, expect, it } from "vitest";
 *
 * storeConformance({ describe, it, expect }, async () => {
 *   const store = new MyStore();
 *   return { store, another: async () => store, close: () => store.close() };
 * });
 */
export function storeConformance(runner: TestRunner, open: () => Promise<StoreUnderTest>): void {
  const check: StoreCase = (sentence, run) =>
    runner.it(sentence, async () => {
      const under = await open();
      try {
        await run(under.store, under);
      } finally {
        await under.close();
      }
    });

  runner.describe("a program", () => programCases(check, runner.expect));
  runner.describe("an operation", () => operationCases(check, runner.expect));
  runner.describe("keys", () => keyCases(check, runner.expect));
  runner.describe("a range", () => rangeCases(check, runner.expect));
}
