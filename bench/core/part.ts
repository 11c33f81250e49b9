import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Case, Contestant } from "../lib/case.ts";
import { medianOf } from "../lib/compare.ts";
import { versionsOf } from "../lib/versions.ts";
import { type AddAndWork, CONTESTANTS } from "./contestants.ts";
import { DeepQueue, WORKED } from "./depth.ts";
import { whereTimeGoes } from "./profile.ts";

const JOBS = 100_000;
/** A turn takes a few ms, and a collection of a million jobs' garbage falls into one or the other. */
const DEPTH_TURNS = 15;

async function jobsPerSecond(run: AddAndWork, concurrency: number): Promise<number> {
  const start = performance.now();
  await run(JOBS, concurrency);
  return (JOBS / (performance.now() - start)) * 1_000;
}

/** Counted in a process of its own, whose young generation nothing fills. */
async function bytesPerJob(name: string): Promise<number> {
  const script = fileURLToPath(new URL("allocations.ts", import.meta.url));
  const flags = ["--expose-gc", "--max-semi-space-size=2048", "--min-semi-space-size=2048"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, script, name]);
  return Number(stdout);
}

const everyone = (run: (name: string, contestant: AddAndWork) => Promise<number>): Contestant[] =>
  Object.entries(CONTESTANTS).map(([name, contestant]) => ({ name, run: () => run(name, contestant) }));

export async function* cases(): AsyncGenerator<Case> {
  yield {
    title: "add and work 100,000 no-op jobs, 100 at a time, in memory",
    unit: "jobs/s",
    contestants: everyone((_, run) => jobsPerSecond(run, 100)),
    goals: [{ than: "p-queue", times: 1 }],
  };
  yield {
    title: "add and work 100,000 no-op jobs, one at a time, in memory",
    unit: "jobs/s",
    contestants: everyone((_, run) => jobsPerSecond(run, 1)),
  };
  yield whereTimeGoes();
  yield* depth();
  yield {
    title: "what one job allocates, added and worked 100 at a time",
    unit: "bytes/job",
    contestants: everyone(bytesPerJob),
  };
}

/** One contestant: what a job costs behind a long queue is held against what it costs behind a short one, turn by turn. */
async function* depth(): AsyncGenerator<Case> {
  const shallow = await DeepQueue.fill(1_000 + WORKED);
  const deep = await DeepQueue.fill(1_000_000);
  yield {
    title: "claim and settle with 1,000,000 jobs waiting, against 1,000, in memory",
    unit: "ratio",
    contestants: [
      {
        name: "Quayside",
        run: async () => {
          const ms: Record<"shallow" | "deep", number[]> = { shallow: [], deep: [] };
          for (let turn = 0; turn < DEPTH_TURNS; turn++) {
            ms.shallow.push(await shallow.msPerJob());
            ms.deep.push(await deep.msPerJob());
          }
          return medianOf(ms.deep) / medianOf(ms.shallow);
        },
      },
    ],
    goals: [{ atMost: 1.3 }],
  };
}

export const versions = (): Record<string, string> => versionsOf("p-queue", "fastq");
