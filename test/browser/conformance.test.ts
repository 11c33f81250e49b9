import { driverConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { openWith } from "./support/open-driver.ts";

describe("indexedDbDriver", () => {
  const cases = driverConformance({ describe, it, expect }, openWith({}));
  console.info(`driver conformance on IndexedDB: ${cases} cases`);
});
