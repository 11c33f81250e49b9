import { everything } from "@quayside/core";
import { MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe } from "vitest";
import { lookInto, Metered } from "./home.ts";
import { hostileSuite } from "./suite.ts";

describe("hostile input on memory", () => {
  hostileSuite({ check: 1_000, nightly: 10_000 }, async () => {
    const clock = createManualClock();
    const records = new MemoryStore();
    const meter = new Metered(records);
    const driver = () => new StoreDriver(meter, { plugins: everything(), clock });
    return {
      driver: driver(),
      clock,
      meter,
      look: lookInto(records, meter),
      prompt: true,
      another: async () => driver(),
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => records.transact(start),
      close: () => records.close(),
    };
  });
});
