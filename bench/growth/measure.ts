import type { Cost } from "./counting-store.ts";
import { POPULATIONS } from "./populations.ts";
import { QUEUE, Scene } from "./scene.ts";
import { furnish, SELF, VERBS } from "./verbs.ts";

/** Number of records of a population. */
export const SIZES = [100, 1_000, 10_000, 100_000] as const;

/** The cost of one verb beside one population, at each size measured. */
export interface Pair {
  readonly verb: string;
  readonly population: string;
  readonly costs: ReadonlyMap<number, Cost>;
}

const KEEP_ALL = { completed: 1_000_000, failed: 1_000_000, cancelled: 1_000_000 };

/** Measures all verbs beside each population at these sizes. One scene per population and size serves all verbs. */
export async function measure(
  sizes: readonly number[] = SIZES,
  populations: readonly string[] = POPULATIONS.map(({ name }) => name),
  report: (line: string) => void = () => {},
): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for (const { name, fill, claimable } of POPULATIONS) {
    if (!populations.includes(name)) continue;
    const costs = new Map(Object.keys(VERBS).map((verb) => [verb, new Map<number, Cost>()]));
    for (const size of sizes) {
      const began = performance.now();
      const scene = new Scene();
      scene.claimable = claimable ?? false;
      await scene.command({ type: "configure", queue: QUEUE, keep: KEEP_ALL });
      await fill(scene, size);
      await furnish(scene);
      const filled = performance.now();
      for (const [verb, prepare] of Object.entries(VERBS)) {
        costs.get(verb)?.set(size, await scene.costOf(await prepare(scene)));
        await scene.finish(SELF);
      }
      report(
        `${name}, ${size}: filled in ${Math.round(filled - began)} ms, measured in ${Math.round(performance.now() - filled)} ms`,
      );
      await scene.driver.close();
    }
    for (const [verb, measured] of costs) pairs.push({ verb, population: name, costs: measured });
  }
  return pairs;
}
