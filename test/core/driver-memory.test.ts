import { type MemoryDriverOptions, memoryDriver } from "@quayside/core";
import { MemoryStore, type Registration } from "@quayside/core/engine";
import { createManualClock, driverConformance, type OpenDriver } from "@quayside/testing";
import { describe, expect, it } from "vitest";

const openWith =
  (options: () => MemoryDriverOptions): OpenDriver =>
  async () => {
    const clock = createManualClock();
    const store = new MemoryStore();
    const shared = { clock, store, ...options() };
    const driver = () => memoryDriver(shared);
    return {
      driver: driver(),
      clock,
      another: async () => driver(),
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => store.transact(start),
      close: () => store.close(),
    };
  };

/** What the Web Locks of a browser are to its tabs. */
function locks(): MemoryDriverOptions {
  const held = new Set<string>();
  return {
    async register(worker): Promise<Registration> {
      held.add(worker);
      return { liveness: "lock", leave: () => void held.delete(worker) };
    },
    async deadWorkers(workers) {
      return new Set(
        workers.filter((one) => one.liveness === "lock" && !held.has(one.worker)).map((one) => one.worker),
      );
    },
  };
}

describe("driver conformance on memory", () => {
  const cases = driverConformance(
    { describe, it, expect },
    openWith(() => ({})),
  );
  console.info(`driver conformance on memory: ${cases} cases`);
});

describe("driver conformance on memory, whose workers hold locks", () => {
  driverConformance({ describe, it, expect }, openWith(locks));
});
