import type { Cost } from "./counting-store.ts";
import type { Pair } from "./measure.ts";

/** How a cost grows with a population. */
export type Growth = "constant" | "logarithmic" | "grows";

/** Records by which a constant cost may differ: the last page of a read, a group that is checked. */
const SLACK = 5;
/** Records that each tenfold population may add to a logarithmic cost. */
const PER_TENFOLD = 10;

/** Returns how the records that a verb reads and writes grow over the measured sizes. */
export function growthOf({ costs }: Pair): Growth {
  const sizes = [...costs.keys()];
  const added = Math.max(differenceOf(costs, "read"), differenceOf(costs, "written"));
  if (added <= SLACK) return "constant";
  const tenfolds = Math.log10(Math.max(...sizes) / Math.min(...sizes));
  return added <= PER_TENFOLD * tenfolds ? "logarithmic" : "grows";
}

function differenceOf(costs: Pair["costs"], part: keyof Cost): number {
  const all = [...costs.values()].map((cost) => cost[part]);
  return Math.max(...all) - (all[0] ?? 0);
}

/** Records that a pair reads and writes at each further size, per record that was added to the population. */
export function slopesOf({ costs }: Pair): number[] {
  const [[size, first] = [0, { read: 0, written: 0 }], ...rest] = costs;
  return rest.map(([larger, { read, written }]) => (read + written - first.read - first.written) / (larger - size));
}
