// The model of a queue over many objects: `node bench/scale/run.ts [--write] [--seconds N]`.
//
//   --write    write its tables into docs/scale.md
//   --seconds  of load that are simulated (10)
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { between } from "../lib/between.ts";
import { formatNumber } from "../lib/report.ts";
import { readFigures } from "./figures.ts";
import { capacity, PLANNED, plan } from "./plan.ts";
import { KEYS, runQueue, type Scenario } from "./queue.ts";

const SEED = 2026;

const { values } = parseArgs({
  options: { write: { type: "boolean", default: false }, seconds: { type: "string", default: "10" } },
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) throw new Error(`--seconds is ${values.seconds}, not a number above 0.`);
if (values.write && seconds < 10) throw new Error("--write simulates 10 seconds or more.");

const { times, measured } = readFigures();
const RATES = [10_000, 100_000, 1_000_000, 10_000_000];
const HANDLERS = { concurrency: 100, handlerMs: 50 };

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
const percent = (share: number): string => `${formatNumber(share * 100)} %`;
const dollars = (sum: number): string => `$${formatNumber(sum)}`;
const millis = (ms: number): string => (ms >= 1_000 ? `${formatNumber(ms / 1_000)} s` : `${formatNumber(ms)} ms`);

function timesTable(): string {
  const us = (ms: number) => `${formatNumber(ms * 1_000)} µs`;
  const rows = [
    ["a request that adds jobs", us(times.addMs), us(times.addJobMs)],
    ["a claim, with the settlement of the one before", us(times.claimMs), us(times.claimJobMs)],
  ];
  return `${table(["in one object", "for itself", "and for each job"], rows)}\n\nMeasured ${measured}; each request counts as at least ${formatNumber(times.requestMs)} ms.`;
}

function capacityTable(): string {
  const rows = [1, 10, 100].flatMap((batch) =>
    [
      [10, 0],
      [100, 0],
      [10, 50],
      [100, 50],
    ].map(([concurrency = 0, handlerMs = 0]) => {
      const { jobsPerSecond, bound } = capacity(batch, concurrency, handlerMs, times);
      return [
        `${batch}`,
        `${concurrency}`,
        handlerMs === 0 ? "no time" : `${handlerMs} ms`,
        formatNumber(jobsPerSecond),
        formatNumber(jobsPerSecond * 60),
        bound,
      ];
    }),
  );
  return table(
    ["jobs per call", "at once", "a handler takes", "jobs per second", "jobs per minute", "stopped by"],
    rows,
  );
}

/** 10 million jobs per minute are simulated for a shorter time: there are enough of them. */
const span = (jobsPerMinute: number): number => Math.min(seconds, (seconds * 3_000_000) / jobsPerMinute);

const planOf = (jobsPerMinute: number, batch: number) =>
  plan({ jobsPerMinute, batch, ...HANDLERS }, times, { seconds: span(jobsPerMinute), seed: SEED });

function costTable(): string {
  const rows = RATES.flatMap((jobsPerMinute) =>
    [1, 100].map((batch) => {
      const { scenario, rows, requests, duration, rowsPerJob } = planOf(jobsPerMinute, batch);
      const sum = rows + requests + duration;
      return [
        formatNumber(jobsPerMinute),
        `${batch}`,
        `${scenario.shards}`,
        formatNumber(rowsPerJob),
        dollars(rows),
        dollars(requests),
        dollars(duration),
        dollars(sum),
        dollars((sum / (jobsPerMinute * 43_200)) * 1e6),
      ];
    }),
  );
  return table(
    [
      "jobs per minute",
      "jobs per call",
      "shards",
      "rows written per job",
      "rows per month",
      "requests per month",
      "duration per month",
      "in all",
      "a million jobs",
    ],
    rows,
  );
}

function simulationTable(): string {
  const rows = RATES.flatMap((jobsPerMinute) =>
    [1, 100].flatMap((batch) => {
      const { scenario } = planOf(jobsPerMinute, batch);
      // In one object it does not matter what the keys are.
      const exponents = scenario.shards === 1 ? [undefined] : [undefined, 0.8, 1, 1.2];
      return exponents.map((zipf) => {
        const one: Scenario = zipf === undefined ? scenario : { ...scenario, zipf };
        const figures = runQueue(one, times, span(jobsPerMinute), SEED);
        return [
          formatNumber(jobsPerMinute),
          `${batch}`,
          `${scenario.shards}`,
          zipf === undefined ? "none" : `${zipf}`,
          `${formatNumber(figures.hottestShare * scenario.shards)} ×`,
          percent(figures.hottestBusy),
          formatNumber(figures.hottestRequests),
          formatNumber(figures.requestsPerCall),
          millis(figures.p50Ms),
          millis(figures.p99Ms),
          figures.growth < 0.01 ? "no" : `by **${percent(figures.growth)}**`,
        ];
      });
    }),
  );
  return table(
    [
      "jobs per minute",
      "jobs per call",
      "shards",
      "exponent",
      "share of the hottest",
      "its busy time",
      "requests per s",
      "per call",
      "p50",
      "p99",
      "falls behind",
    ],
    rows,
  );
}

const sections: Readonly<Record<string, string>> = {
  times: timesTable(),
  capacity: capacityTable(),
  cost: costTable(),
  simulation: `${table(
    ["what is simulated", ""],
    [
      ["load", `${seconds} s (less at 10,000,000 jobs per minute), producers calling at random instants`],
      ["handlers", `${HANDLERS.concurrency} at once in each object, each ${HANDLERS.handlerMs} ms`],
      ["keys", `${formatNumber(KEYS)}, the k-th chosen in proportion to 1 / k^exponent`],
      ["shards", `so many that each, without keys, does ${percent(PLANNED)} of what it could`],
    ],
  )}\n\n${simulationTable()}`,
};

for (const [name, text] of Object.entries(sections)) console.log(`\n${name}\n\n${text}`);
if (values.write) {
  const page = new URL("../../docs/scale.md", import.meta.url);
  let text = readFileSync(page, "utf8");
  for (const [name, section] of Object.entries(sections)) text = between(text, name, `${section}\n`);
  writeFileSync(page, text);
}
