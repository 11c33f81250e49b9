import { type IndexedDbDriverOptions, IndexedDbStore, indexedDbDriver } from "@quayside/browser";
import { createManualClock, driverConformance, type OpenDriver, workerConformance } from "@quayside/core/testing";
import { describe, expect, it } from "vitest";
import { drop, freshName } from "./support/databases.ts";

const openWith =
  (options: Omit<IndexedDbDriverOptions, "name" | "clock">): OpenDriver =>
  async () => {
    const name = freshName();
    const clock = createManualClock();
    const store = new IndexedDbStore({ name });
    const closers = [() => store.close()];
    const another = async () => {
      const driver = indexedDbDriver({ name, clock, ...options });
      closers.push(() => driver.close());
      return driver;
    };
    return {
      driver: await another(),
      another,
      clock,
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => store.transact(start),
      close: async () => {
        for (const close of closers) await close();
        await drop(name);
      },
    };
  };

describe("indexedDbDriver", () => {
  const cases = driverConformance({ describe, it, expect }, openWith({}));
  console.info(`driver conformance on IndexedDB: ${cases} cases`);
});

describe("Worker on indexedDbDriver", () => {
  const cases = workerConformance({ describe, it, expect }, openWith({}));
  console.info(`worker conformance on IndexedDB: ${cases} cases`);
});
