// The soak: `pnpm soak [--minutes N] [--jobs N] [--home NAME …] [--seed N]`.
//
//   --minutes  how long faults go on in each home, in minutes of real time (2). The homes run side by side.
//   --jobs     jobs to add in each home; with it and without --minutes the soak goes on until all of them are added
//   --home     memory, shards (a split queue), object (workerd, on disk), indexeddb (Chromium); may be repeated; absent: all
//   --seed     a whole number; absent: a random one, which is printed
//
// Producers, workers and operators work one queue in each home while processes are killed, calls are refused, answers are
// lost, storage is full and the clock jumps by a year. A ledger outside the engine then says whether anything was lost,
// stuck, or repeated without a cause. The process exits with 1 if so.
import { parseArgs } from "node:util";
import { requireSources } from "../../scripts/sources.mjs";
import type { Verdict } from "./ledger.ts";

export interface SoakOptions {
  /** How many jobs to add, if time allows. */
  readonly jobs: number;
  /** Whether faults and adds may go on. */
  readonly until: () => boolean;
  readonly seed: number;
}

export interface SoakResult extends Verdict {
  readonly home: string;
}

requireSources(import.meta);

const HOMES: Record<string, () => Promise<(options: SoakOptions) => Promise<SoakResult>>> = {
  memory: async () => (await import("./memory.ts")).soakMemory,
  shards: async () => (await import("./shards.ts")).soakShards,
  object: async () => (await import("./object.ts")).soakObject,
  indexeddb: async () => (await import("./indexed-db.ts")).soakIndexedDb,
};

/** More than two minutes of any home add. */
const UNBOUNDED_JOBS = 50_000_000;

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    jobs: { type: "string" },
    home: { type: "string", multiple: true },
    seed: { type: "string" },
  },
});

function positive(text: string, name: string): number {
  const number = Number(text);
  if (!(number > 0)) throw new Error(`--${name} is ${text}, not a number above 0.`);
  return number;
}

const names = values.home ?? Object.keys(HOMES);
for (const name of names)
  if (!(name in HOMES)) throw new Error(`There is no home ${name}; the homes are ${Object.keys(HOMES).join(", ")}.`);
const jobs = values.jobs === undefined ? UNBOUNDED_JOBS : Math.ceil(positive(values.jobs, "jobs"));
const minutes = values.minutes ?? (values.jobs === undefined ? "2" : undefined);
const limitMs = minutes === undefined ? Number.POSITIVE_INFINITY : positive(minutes, "minutes") * 60_000;
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);

// A rejection that nobody handles is a fault of the engine: it ends this process, as it ends a user's.
console.log(`soak: ${names.join(", ")}, seed ${seed}`);
const startedAt = performance.now();
const until = () => performance.now() - startedAt < limitMs;
const results = await Promise.all(
  names.map(async (name): Promise<SoakResult> => {
    const soak = await (HOMES[name] as (typeof HOMES)[string])();
    const result = await soak({ jobs, until, seed });
    print(result);
    return result;
  }),
);
const failed = results.filter(({ violations }) => violations.length > 0).length;
console.log(`${results.length - failed} passed, ${failed} failed`);
process.exit(failed > 0 ? 1 : 0);

function print(result: SoakResult): void {
  const { home, added, done, failed, cancelled, lost, runs, repeats, disturbed, recurrences, violations } = result;
  const causes = Object.entries(disturbed).map(([cause, count]) => `${count} × ${cause}`);
  console.log(
    `${home}: ${added} acknowledged, ${done} done, ${failed} failed as they should, ${cancelled} cancelled, ${lost} lost; ` +
      `${runs} runs, ${repeats} repeats beside ${causes.join(", ") || "no disturbance"}; ` +
      `${recurrences} occurrences; ${((performance.now() - startedAt) / 1_000).toFixed(1)} s`,
  );
  for (const violation of violations) console.log(`${home}: VIOLATION ${violation}`);
}
