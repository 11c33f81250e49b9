import { IndexedDbStore, indexedDbDriver } from "@quayside/browser";
import { createManualClock } from "@quayside/core/testing";
import { it } from "vitest";
import { server } from "vitest/browser";
import { modelProperty } from "../model/property.ts";
import { drop, freshName } from "./support/databases.ts";

/** The rules are the same in all engines, so one of them does most of it. */
const RUNS = server.browser === "chromium" ? 60 : 15;

it(`${RUNS} random sequences on IndexedDB do as the model does`, { timeout: 240_000 }, async () => {
  await modelProperty(
    async () => {
      const name = freshName();
      const clock = createManualClock();
      const store = new IndexedDbStore({ name });
      const closers = [() => store.close()];
      const another = async () => {
        const driver = indexedDbDriver({ name, clock });
        closers.push(() => driver.close());
        return driver;
      };
      return {
        driver: await another(),
        clock,
        another,
        advance: (ms) => clock.advance(ms),
        jump: async (ms) => clock.jump(ms),
        transact: (start) => store.transact(start),
        close: async () => {
          for (const close of closers) await close();
          await drop(name);
        },
      };
    },
    { runs: RUNS },
  );
});
