import { everything } from "@quayside/core";
import { MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock, seededRandom } from "@quayside/testing";
import { it } from "vitest";
import { modelProperty } from "./property.ts";

/** `pnpm nightly` sets QUAYSIDE_ALL, and runs five times as many. */
const RUNS = Number(process.env.MODEL_RUNS ?? (process.env.QUAYSIDE_ALL ? 10_000 : 2_000));

it(`${RUNS} random sequences on memory do as the model does`, { timeout: 600_000 }, async () => {
  const seed = process.env.MODEL_SEED === undefined ? {} : { seed: Number(process.env.MODEL_SEED) };
  await modelProperty(
    async () => {
      const clock = createManualClock();
      const store = new MemoryStore();
      let drivers = 0;
      const driver = () =>
        new StoreDriver(store.connect(), { plugins: everything(), clock, random: seededRandom(++drivers) });
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
    { runs: RUNS, ...seed },
  );
});
