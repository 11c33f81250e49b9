import { describe, expect, inject, it } from "vitest";
import { unusedIn, violationsIn } from "../../bench/growth/accepted.ts";
import { growthOf } from "../../bench/growth/classify.ts";
import { measure, type Pair, SIZES } from "../../bench/growth/measure.ts";
import { POPULATIONS } from "../../bench/growth/populations.ts";

const { nightly } = inject("hostile");
/** Populations that the check also measures at 10,000: the quickest to make. */
const TO_10_000: readonly string[] = ["waiting", "delayed", "failed, kept", "queues", "dedupe keys"];

/** All pairs at all sizes in `pnpm nightly`; in the check, all pairs at 100 and 1,000, some at 10,000. */
const sizesFor = (population: string): readonly number[] =>
  SIZES.filter((size) => nightly || size <= (TO_10_000.includes(population) ? 10_000 : 1_000));

describe("R42: what each verb reads and writes", () => {
  it.each(POPULATIONS.map(({ name }) => name))(
    "beside %s is constant or accepted",
    async (population) => {
      const pairs = await measure(sizesFor(population), [population]);
      expect(violationsIn(pairs)).toEqual([]);
      if (nightly) expect(unusedIn(pairs).filter((entry) => entry.population === population)).toEqual([]);
    },
    300_000,
  );

  it("is classified by its growth from the smallest size on", () => {
    const pair = (...reads: number[]): Pair => ({
      ...{ verb: "any", population: "any" },
      costs: new Map(reads.map((read, index) => [SIZES[index] as number, { read, written: 0 }])),
    });
    expect(growthOf(pair(7, 7, 12, 7))).toBe("constant");
    expect(growthOf(pair(7, 17, 27, 37))).toBe("logarithmic");
    expect(growthOf(pair(7, 107))).toBe("grows");
    expect(violationsIn([pair(7, 107)])).toHaveLength(1);
  });
});
