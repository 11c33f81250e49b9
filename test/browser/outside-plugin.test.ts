import { IndexedDbStore, webLockLiveness } from "@quayside/browser";
import { StoreDriver } from "@quayside/core/engine";
import { createManualClock, driverConformance, type OpenDriver, workerConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { officeHoursCases, withOfficeHours } from "../plugins/office-hours-cases.ts";
import { sampled } from "../support/sampled.ts";
import { drop, freshName } from "./support/databases.ts";

const open: OpenDriver = async () => {
  const name = freshName();
  const clock = createManualClock();
  const store = new IndexedDbStore({ name });
  const drivers: StoreDriver[] = [];
  const another = async () => {
    const options = { ...webLockLiveness(name), plugins: withOfficeHours(), clock };
    const driver = new StoreDriver(new IndexedDbStore({ name }), options);
    drivers.push(driver);
    return driver;
  };
  return {
    driver: await another(),
    another,
    clock,
    advance: (ms) => clock.advance(ms),
    jump: async (ms) => clock.jump(ms),
    transact: (start) => store.transact(start),
    close: async () => {
      for (const each of [...drivers, store]) await each.close();
      await drop(name);
    },
  };
};

describe("a plugin from outside, on IndexedDB", () => {
  const runner = { describe, it, expect };
  officeHoursCases(runner, open);
  // Every fourth case: `pnpm nightly` runs all.
  const some = sampled(runner, 4);
  const cases = driverConformance(some, open) + workerConformance(some, open);
  console.info(`a plugin from outside, on IndexedDB: ${cases} cases of the kit, every fourth in the check`);
});
