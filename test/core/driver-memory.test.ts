import { MemoryStore, StoreDriver } from "@quayside/core";
import { createManualClock, driverConformance } from "@quayside/core/testing";
import { describe, expect, it } from "vitest";

describe("driver conformance on memory", () => {
  const cases = driverConformance({ describe, it, expect }, async () => {
    const clock = createManualClock();
    const store = new MemoryStore();
    const driver = () => new StoreDriver(store.connect(), { clock });
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
  console.info(`driver conformance on memory: ${cases} cases`);
});
