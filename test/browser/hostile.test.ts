import { IndexedDbStore } from "@quayside/browser";
import { everything } from "@quayside/core";
import { StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe } from "vitest";
import { server } from "vitest/browser";
import { lookInto, Metered } from "../hostile/home.ts";
import { hostileSuite } from "../hostile/suite.ts";
import { drop, freshName } from "./support/databases.ts";

// The rules are the same in all engines, so one of them does it.
describe.runIf(server.browser === "chromium")("hostile input on IndexedDB", () => {
  hostileSuite({ check: 100, nightly: 1_000 }, async () => {
    const name = freshName();
    const clock = createManualClock();
    const store = new IndexedDbStore({ name });
    const meter = new Metered(store);
    const driver = () => new StoreDriver(meter, { plugins: everything(), clock });
    return {
      driver: driver(),
      clock,
      meter,
      look: lookInto(store, meter),
      another: async () => driver(),
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => store.transact(start),
      close: async () => {
        await store.close();
        await drop(name);
      },
    };
  });
});
