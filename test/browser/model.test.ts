import { it } from "vitest";
import { server } from "vitest/browser";
import { modelProperty } from "../model/property.ts";
import { openWith } from "./support/open-driver.ts";

/** The rules are the same in all engines, so one of them does most of it. */
const RUNS = server.browser === "chromium" ? 60 : 15;

it(`${RUNS} random sequences on IndexedDB do as the model does`, { timeout: 240_000 }, async () => {
  await modelProperty(openWith({}), { runs: RUNS });
});
