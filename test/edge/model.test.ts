import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { everything } from "@quayside/core";
import { StoreDriver } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { afterEach, it } from "vitest";
import { modelProperty } from "../model/property.ts";
import { recordsIn } from "./in-object.ts";

afterEach(reset);

const RUNS = 100;

it(`${RUNS} random sequences on a Durable Object's store do as the model does`, { timeout: 240_000 }, async () => {
  await modelProperty(
    async () => {
      const clock = createManualClock();
      const records = await recordsIn(env.SMOKE.get(env.SMOKE.newUniqueId()));
      const driver = () => new StoreDriver(records.open(), { plugins: everything(), clock });
      return {
        driver: driver(),
        clock,
        another: async () => driver(),
        advance: (ms) => clock.advance(ms),
        jump: async (ms) => clock.jump(ms),
        transact: (start) => records.open().transact(start),
        close: async () => {},
      };
    },
    { runs: RUNS },
  );
});
