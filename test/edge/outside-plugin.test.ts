import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { StoreDriver } from "@quayside/core/engine";
import { createManualClock, driverConformance, type OpenDriver, workerConformance } from "@quayside/testing";
import { afterEach, describe } from "vitest";
import { officeHoursCases, withOfficeHours } from "../plugins/office-hours-cases.ts";
import { sampled } from "../support/sampled.ts";
import { recordsIn } from "./in-object.ts";
import { runner } from "./runner.ts";

afterEach(reset);

const open: OpenDriver = async () => {
  const clock = createManualClock();
  const records = await recordsIn(env.SMOKE.get(env.SMOKE.newUniqueId()));
  const drivers: StoreDriver[] = [];
  const another = async () => {
    const driver = new StoreDriver(records.open(), { plugins: withOfficeHours(), clock });
    drivers.push(driver);
    return driver;
  };
  return {
    driver: await another(),
    another,
    clock,
    advance: (ms) => clock.advance(ms),
    jump: async (ms) => clock.jump(ms),
    transact: (start) => records.open().transact(start),
    close: async () => {
      for (const driver of drivers) await driver.close();
    },
  };
};

describe("a plugin from outside, on a Durable Object's store", () => {
  officeHoursCases(runner, open);
  // Every fourth case: `pnpm nightly` runs all.
  const some = sampled(runner, 4);
  const cases = driverConformance(some, open) + workerConformance(some, open);
  console.info(`a plugin from outside, on a Durable Object: ${cases} cases of the kit, every fourth in the check`);
});
