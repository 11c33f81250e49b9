import { acceptedFor } from "./accepted.ts";
import { growthOf, slopesOf } from "./classify.ts";
import type { Cost } from "./counting-store.ts";
import { type Pair, SIZES } from "./measure.ts";
import { POPULATIONS } from "./populations.ts";

const number = (value: number): string => value.toLocaleString("en");
const figure = (cost: Cost | undefined): string => (cost ? `${number(cost.read)} / ${number(cost.written)}` : "—");
const table = (rows: readonly (readonly string[])[]): string =>
  rows.map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** The section of docs/performance.md: first the pairs that grow, then those that do not, one row per verb. */
export function growthTable(pairs: readonly Pair[]): string {
  const growing = pairs.filter((pair) => growthOf(pair) !== "constant");
  const constant = pairs.filter((pair) => growthOf(pair) === "constant");
  return [
    `${number(pairs.length)} pairs of a verb and a population: ${number(constant.length)} are constant, ${number(growing.length)} are not.`,
    "#### Not constant: records read / written per call",
    growingTable(growing),
    "#### Constant: records per call",
    constantTable(constant),
    "",
  ].join("\n\n");
}

function growingTable(pairs: readonly Pair[]): string {
  const reasons = [...new Set(pairs.map((pair) => acceptedFor(pair)?.why ?? "not accepted"))];
  const rows = pairs.map((pair) => [
    pair.population,
    pair.verb,
    ...SIZES.map((size) => figure(pair.costs.get(size))),
    growthText(pair),
    `${reasons.indexOf(acceptedFor(pair)?.why ?? "not accepted") + 1}`,
  ]);
  const head = ["beside", "verb", ...SIZES.map(number), "growth", "why"];
  const notes = reasons.map((why, index) => `${index + 1}. ${why.replace(" Bound: ", "\n   Bound: ")}.`);
  return `${table([head, head.map((_, index) => (index > 1 && index < 6 ? "---:" : "---")), ...rows])}\n\n${notes.join("\n")}`;
}

function growthText(pair: Pair): string {
  const one = POPULATIONS.find(({ name }) => name === pair.population)?.one;
  if (growthOf(pair) !== "grows") return growthOf(pair);
  const [before, last] = [...pair.costs.values()].slice(-2).map(({ read, written }) => read + written);
  if (before !== undefined && before === last) return `at most ${number(last)}`;
  return `${number(Number((slopesOf(pair).at(-1) ?? 0).toPrecision(2)))} per ${one}`;
}

function constantTable(pairs: readonly Pair[]): string {
  const verbs = [...new Set(pairs.map(({ verb }) => verb))];
  const rows = verbs.map((verb) => {
    const mine = pairs.filter((pair) => pair.verb === verb);
    const costs = mine.flatMap((pair) => [...pair.costs.values()]);
    const beside = new Set(mine.map(({ population }) => population));
    const others = POPULATIONS.filter(({ name }) => !beside.has(name)).map(({ name }) => name);
    return [
      verb,
      span(costs.map(({ read }) => read)),
      span(costs.map(({ written }) => written)),
      others.length === 0 ? "each population" : `each but ${others.join(", ")}`,
    ];
  });
  return table([["verb", "read", "written", "beside"], ["---", "---:", "---:", "---"], ...rows]);
}

function span(values: readonly number[]): string {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? number(least) : `${number(least)}–${number(most)}`;
}
