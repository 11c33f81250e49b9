import { MemoryStore, StoreDriver } from "@quayside/core/engine";
import { createManualClock, driverConformance, type OpenDriver, workerConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { officeHours } from "../plugins/office-hours.ts";
import { officeHoursCases, withOfficeHours } from "../plugins/office-hours-cases.ts";

const open: OpenDriver = async () => {
  const clock = createManualClock();
  const store = new MemoryStore();
  const driver = () => new StoreDriver(store.connect(), { plugins: withOfficeHours(), clock });
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

describe("a plugin from outside, on memory", () => {
  const runner = { describe, it, expect };
  officeHoursCases(runner, open);
  const cases = driverConformance(runner, open) + workerConformance(runner, open);
  console.info(`a plugin from outside, on memory: ${cases} cases of the kit`);
});

it("office hours refuse times that are none", () => {
  for (const time of ["9", "24:00", "09:60", "", "nine"])
    expect(() => officeHours({ from: time, to: "17:00" })).toThrow(/A time is written as/);
});
