import { workerConformance } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { openWith } from "./support/open-driver.ts";

describe("Worker on indexedDbDriver", () => {
  const cases = workerConformance({ describe, it, expect }, openWith({}));
  console.info(`worker conformance on IndexedDB: ${cases} cases`);
});
