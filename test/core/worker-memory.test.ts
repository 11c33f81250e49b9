import { everything } from "@quayside/core";
import { MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock, workerConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";

describe("Worker on memory", () => {
  const cases = workerConformance({ describe, it, expect }, async () => {
    const clock = createManualClock();
    const store = new MemoryStore();
    const driver = () => new StoreDriver(store.connect(), { plugins: everything(), clock });
    return {
      driver: driver(),
      clock,
      another: async () => driver(),
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => store.transact(start),
      close: () => store.close(),
    };
  });
  console.info(`worker conformance on memory: ${cases} cases`);
});
