import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { driverConformance, workerConformance } from "@quayside/testing";
import { afterEach, describe } from "vitest";
import { officeHoursCases, withOfficeHours } from "../plugins/office-hours-cases.ts";
import { sampled } from "../support/sampled.ts";
import { driversInObject } from "./in-object.ts";
import { runner } from "./runner.ts";

afterEach(reset);

const open = driversInObject(env.SMOKE, withOfficeHours);

describe("a plugin from outside, on a Durable Object's store", () => {
  officeHoursCases(runner, open);
  // Every fourth case: `pnpm nightly` runs all.
  const some = sampled(runner, 4);
  const cases = driverConformance(some, open) + workerConformance(some, open);
  console.info(`a plugin from outside, on a Durable Object: ${cases} cases of the kit, every fourth in the check`);
});
