import { expect, it } from "vitest";

it("core tests run in Node 22.12 or newer", () => {
  const [major] = process.versions.node.split(".").map(Number);
  expect(major).toBeGreaterThanOrEqual(22);
});
