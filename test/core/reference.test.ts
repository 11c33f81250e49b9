import { expect, it } from "vitest";
import { staleReference } from "../../scripts/reference.mjs";

it("the reference documents every export of every entry, and its pages are up to date", () => {
  expect(staleReference()).toEqual([]);
}, 60_000);
