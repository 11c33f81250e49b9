// The benchmark: `pnpm bench [part …] [--write] [--rounds N] [--only TEXT]`.
//
//   part       core browser edge cost size types; absent: all of them
//   --write    keep the results in bench/results, and write docs/performance.md and docs/cost.md anew from all that are kept
//   --rounds   rounds that count in each case (5)
//   --only     only cases whose title contains the text; cannot be written
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { requireSources } from "../scripts/sources.mjs";
import { hoursTable } from "./cost/hours-table.ts";
import { costTable } from "./cost/table.ts";
import { between } from "./lib/between.ts";
import type { Case, Result } from "./lib/case.ts";
import { compare } from "./lib/compare.ts";
import { caseTable, goalTable, type PartResults, partSection } from "./lib/report.ts";

/** What a part's module exports. */
export interface Part {
  /** Prepares what all cases need and yields the cases; closing the generator cleans up. */
  readonly cases: () => AsyncGenerator<Case>;
  readonly versions: () => Promise<Record<string, string>> | Record<string, string>;
  /** After the cases: what could not be measured here, and why. */
  readonly notRun?: () => readonly string[];
}

const PARTS: Record<string, () => Promise<Part>> = {
  core: () => import("./core/part.ts"),
  browser: () => import("./browser/part.ts"),
  edge: () => import("./edge/part.ts"),
  cost: () => import("./cost/part.ts"),
  size: () => import("./size/part.ts"),
  types: () => import("./types/part.ts"),
};

requireSources(import.meta);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    write: { type: "boolean", default: false },
    rounds: { type: "string", default: "5" },
    only: { type: "string" },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`--rounds is ${values.rounds}, not a whole number of 1 or more.`);
if (values.write && (values.only !== undefined || rounds < 5)) {
  throw new Error("--write keeps whole parts of at least 5 rounds: leave out --only, and --rounds under 5.");
}
for (const part of positionals) {
  if (!(part in PARTS)) throw new Error(`There is no part ${part}; the parts are ${Object.keys(PARTS).join(", ")}.`);
}

const results = new URL("results/", import.meta.url);
for (const part of positionals.length > 0 ? positionals : Object.keys(PARTS)) await runPart(part);
if (values.write) writeDocs();

async function runPart(part: string): Promise<void> {
  console.log(`\n### ${part}\n`);
  const { cases, versions, notRun } = await (PARTS[part] as () => Promise<Part>)();
  const measured: Result[] = [];
  for await (const next of cases()) {
    if (values.only !== undefined && !next.title.includes(values.only)) continue;
    const result = await compare(next, rounds);
    measured.push(result);
    console.log(caseTable(result));
  }
  const kept: PartResults = {
    part,
    machine: `${availableParallelism()} cores of ${cpus()[0]?.model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, ${process.platform}`,
    date: new Date().toISOString().slice(0, 10),
    versions: { Node: process.versions.node, ...(await versions()) },
    results: measured,
    notRun: notRun?.() ?? [],
  };
  for (const why of kept.notRun) console.log(`Not run: ${why}`);
  if (values.write) writeFileSync(new URL(`${part}.json`, results), `${JSON.stringify(kept, null, 2)}\n`);
}

function writeDocs(): void {
  const kept = new Set(readdirSync(results));
  const parts = Object.keys(PARTS)
    .filter((part) => kept.has(`${part}.json`))
    .map((part) => JSON.parse(readFileSync(new URL(`${part}.json`, results), "utf8")) as PartResults);
  const cost = parts.find(({ part }) => part === "cost");
  const others = parts.filter((part) => part !== cost);
  writePage("performance.md", { goals: `${goalTable(others)}\n`, results: others.map(partSection).join("\n") });
  if (cost) writePage("cost.md", { cost: costTable(cost), wakes: hoursTable(cost) });
}

/** What stands between the marks of a page is written anew; the rest is prose, and stays. */
function writePage(name: string, marked: Readonly<Record<string, string>>): void {
  const page = new URL(`../docs/${name}`, import.meta.url);
  let text = readFileSync(page, "utf8");
  for (const [mark, content] of Object.entries(marked)) {
    text = between(text, mark, `${content}\n`);
  }
  writeFileSync(page, text);
  console.log(`Wrote docs/${name}.`);
}
