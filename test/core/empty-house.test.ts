import { memoryDriver } from "@quayside/core";
import { MemoryStore } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, inject, it } from "vitest";
import { emptyHouse } from "../support/empty-house.ts";

emptyHouse(
  { describe, expect, it },
  async () => {
    const clock = createManualClock();
    const store = new MemoryStore();
    const driver = () => memoryDriver({ clock, store });
    return {
      driver: driver(),
      clock,
      another: async () => driver(),
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => store.transact(start),
      close: () => store.close(),
    };
  },
  { count: inject("hostile").nightly ? 10_000 : 1_000 },
);
