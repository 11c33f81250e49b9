// Measures an older checkout and this one by turns, on one machine:
//
//   pnpm bench:turns ../old [../other …] [--parts core,browser,edge] [--turns 5] [--rounds 3] [--only TEXT] [--json FILE]
//
//   ../old     a checkout of this repository with its dependencies installed
//   --turns    processes per checkout and part; each turn has another order of the checkouts
//   --rounds   runs of a case per process, after one that warms up; the median counts
//   --only     only cases whose title contains the text
//
// Prints for each case the median of the turns of each checkout, their ratio (over 1: this checkout is faster) and whether
// it is at least 0.95. Only Quayside's own contestants run.
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { FROM_SOURCES } from "../scripts/sources.mjs";

const LEAST = 0.95;
const MARK = "@measured ";
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    parts: { type: "string", default: "core,browser,edge" },
    turns: { type: "string", default: "5" },
    rounds: { type: "string", default: "3" },
    only: { type: "string", default: "" },
    json: { type: "string" },
    // For the processes that this script starts: the part to measure in the checkout of the working directory.
    measure: { type: "string" },
  },
});
const rounds = Number(values.rounds);

/** @param {readonly number[]} numbers */
function medianOf(numbers) {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Measures one part of the checkout in the working directory. @param {string} part */
async function measure(part) {
  const { cases } = await import(pathToFileURL(resolve(`bench/${part}/part.ts`)).href);
  for await (const { title, unit, contestants, rounds: own } of cases()) {
    if (!title.includes(values.only)) continue;
    for (const { name, run } of contestants.filter((one) => one.name.startsWith("Quayside"))) {
      const figures = [];
      // A case that asks for one round counts what does not change.
      for (let round = own === 1 ? 0 : -1; round < (own === 1 ? 1 : rounds); round++) {
        const figure = await run();
        if (round >= 0) figures.push(figure);
      }
      const of = name === "Quayside" ? title : `${title}: ${name}`;
      console.log(MARK + JSON.stringify({ title: of, unit, figure: medianOf(figures) }));
    }
  }
}

/**
 * @param {string} checkout
 * @param {string} part
 * @returns {Promise<readonly { title: string, unit: string, figure: number }[]>}
 */
async function turn(checkout, part) {
  const given = ["--measure", part, "--rounds", values.rounds, "--only", values.only];
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...given], {
    cwd: checkout,
    env: { ...process.env, ...FROM_SOURCES },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const measured = [];
  const ended = new Promise((done) => child.on("close", done));
  for await (const line of createInterface({ input: child.stdout }))
    if (line.startsWith(MARK)) measured.push(JSON.parse(line.slice(MARK.length)));
  const code = await ended;
  if (code !== 0) throw new Error(`${checkout}: ${part} ended with ${code}.`);
  return measured;
}

async function compare() {
  const here = fileURLToPath(new URL("../", import.meta.url));
  const checkouts = [...positionals.map((path) => resolve(path)), resolve(here)];
  if (checkouts.length < 2) throw new Error("Name a checkout to compare this one with: pnpm bench:turns ../old");
  const results = [];
  for (const part of values.parts.split(",")) {
    /** By the title of a case: its unit, and its figures per checkout. */
    const cases = new Map();
    for (let count = 0; count < Number(values.turns); count++) {
      for (const checkout of count % 2 === 0 ? checkouts : checkouts.toReversed()) {
        console.error(`turn ${count + 1} of ${values.turns}: ${part} of ${checkout}`);
        for (const { title, unit, figure } of await turn(checkout, part)) {
          const one = cases.get(title) ?? { part, title, unit, figures: checkouts.map(() => []) };
          cases.set(title, one);
          one.figures[checkouts.indexOf(checkout)].push(figure);
        }
      }
    }
    results.push(...cases.values());
    if (values.json) writeFileSync(values.json, `${JSON.stringify({ checkouts, results }, null, 2)}\n`);
    print(part, checkouts, [...cases.values()]);
  }
}

/**
 * @param {string} part
 * @param {readonly string[]} checkouts
 * @param {readonly { title: string, unit: string, figures: readonly (readonly number[])[] }[]} cases
 */
function print(part, checkouts, cases) {
  const olds = checkouts.slice(0, -1).map((path) => basename(path));
  console.log(
    `\n### ${part}\n\n| case | unit | ${[...olds, "this"].join(" | ")} | ${olds.map((name) => `this / ${name}`).join(" | ")} |`,
  );
  console.log(`|${" --- |".repeat(2 + checkouts.length + olds.length)}`);
  for (const { title, unit, figures } of cases) {
    const medians = figures.map((of) => (of.length > 0 ? medianOf(of) : Number.NaN));
    const now = medians.at(-1);
    const ratios = medians.slice(0, -1).map((old) => (unit === "jobs/s" ? now / old : old / now));
    const shown = ratios.map((ratio) => `${ratio.toFixed(2)}${ratio < LEAST ? " (under 0.95)" : ""}`);
    const figure = (/** @type {number} */ number) =>
      number < 1_000 ? number.toPrecision(3) : Math.round(number).toLocaleString("en-US");
    console.log(`| ${title} | ${unit} | ${medians.map(figure).join(" | ")} | ${shown.join(" | ")} |`);
  }
}

if (values.measure) {
  await measure(values.measure);
  // Servers and browsers of a part may keep the process alive.
  process.exit(0);
} else await compare();
