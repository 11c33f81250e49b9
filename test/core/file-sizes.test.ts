import { expect, it } from "vitest";
import { refusedSizes } from "../../scripts/lint-sizes.mjs";

it("the lint of sizes refuses a file over 300 lines and a median over 120", () => {
  const file = (lines: number) => ({ path: `${lines}.ts`, lines });
  expect(refusedSizes([file(300), file(120), file(119)])).toEqual([]);
  expect(refusedSizes([file(301), file(121), file(10)])).toEqual([
    "301.ts: 301 lines, at most 300. Simplify it, or move one whole idea.",
    "The median is 121 lines, at most 120.",
  ]);
});
