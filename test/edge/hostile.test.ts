import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { everything } from "@quayside/core";
import { StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { afterEach, describe } from "vitest";
import { lookInto, Metered } from "../hostile/home.ts";
import { hostileSuite } from "../hostile/suite.ts";
import { recordsIn } from "./in-object.ts";

afterEach(reset);

describe("hostile input on a Durable Object's store", () => {
  hostileSuite({ check: 100, nightly: 1_000 }, async () => {
    const clock = createManualClock();
    const records = await recordsIn(env.SMOKE.get(env.SMOKE.newUniqueId()));
    const meter = new Metered(records.open());
    const driver = () => new StoreDriver(meter, { plugins: everything(), clock });
    return {
      driver: driver(),
      clock,
      meter,
      look: lookInto(records.open(), meter),
      another: async () => driver(),
      advance: (ms) => clock.advance(ms),
      jump: async (ms) => clock.jump(ms),
      transact: (start) => records.open().transact(start),
      close: () => meter.close(),
    };
  });
});
