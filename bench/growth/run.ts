// The growth table: `pnpm growth [--write] [--most N]`.
//
//   --write  write the table into docs/performance.md
//   --most   largest population (100,000); less cannot be written
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { requireSources } from "../../scripts/sources.mjs";
import { between } from "../lib/between.ts";
import { unusedIn, violationsIn } from "./accepted.ts";
import { measure, SIZES } from "./measure.ts";
import { growthTable } from "./table.ts";

requireSources(import.meta);
const { values } = parseArgs({
  options: { write: { type: "boolean", default: false }, most: { type: "string", default: `${Math.max(...SIZES)}` } },
});
const sizes = SIZES.filter((size) => size <= Number(values.most));
if (sizes.length < 2) throw new Error(`--most is ${values.most}: growth shows over two sizes, 1000 or more.`);
if (values.write && sizes.length < SIZES.length) throw new Error("--write measures all sizes: leave out --most.");

const pairs = await measure(sizes, undefined, console.error);
const table = growthTable(pairs);
console.log(table);
for (const violation of violationsIn(pairs)) console.error(violation);
for (const { population, why } of unusedIn(pairs))
  console.error(`Nothing grows any more beside ${population}: ${why}.`);
if (values.write) {
  const page = new URL("../../docs/performance.md", import.meta.url);
  writeFileSync(page, between(readFileSync(page, "utf8"), "growth", table));
}
process.exitCode = violationsIn(pairs).length > 0 ? 1 : 0;
