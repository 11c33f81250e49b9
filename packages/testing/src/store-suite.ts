import type { Store } from "@quayside/core/engine";
import type { TestRunner } from "./harness.ts";
import { keyCases } from "./store/key-cases.ts";
import { operationCases } from "./store/operation-cases.ts";
import { programCases } from "./store/program-cases.ts";
import { rangeCases } from "./store/range-cases.ts";

/** The store of one case, on empty records. Created for every case. */
export interface StoreUnderTest {
  readonly store: Store;
  /**
   * Returns another store on the same records, as a second tab would have, or the same store if there can be no other.
   */
  another(): Promise<Store>;
  /** Closes the store, also if the case has already closed it. */
  close(): Promise<void>;
}

/** Declares one case: a sentence about the store, and its test. */
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
