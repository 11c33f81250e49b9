import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Case } from "../lib/case.ts";

const JOBS = 200;

const folder = fileURLToPath(new URL(".", import.meta.url));
const tsc = fileURLToPath(new URL("../../node_modules/.bin/tsc", import.meta.url));
const base = fileURLToPath(new URL("../../tsconfig.base.json", import.meta.url));

/** What the compiler says that it did: `--extendedDiagnostics`. */
interface Diagnostics {
  readonly instantiations: number;
  readonly checkMs: number;
}

const each = (line: (index: number) => string) => Array.from({ length: JOBS }, (_, index) => line(index)).join("\n");

/** The use of a queue whose map has 200 jobs: each added once and handled once. */
const use = (jobs: number) => `
import { memoryDriver, Queue } from "@quayside/core";
export interface Jobs {
${each((index) => `  "job-${index}": { readonly id: string; readonly count${index}: number };`)}
}
export const queue = new Queue<Jobs>("bench", memoryDriver());
${Array.from({ length: jobs }, (_, index) => `queue.on("job:job-${index}", ({ count${index} }) => { count${index}.toFixed(); });\nvoid queue.addJob("job-${index}", { id: "a", count${index}: 1 }, { delay: "5m" });`).join("\n")}
`;

/** The same with definitions that carry schemas, types inferred. */
const inferred = (jobs: number) => `
import { defineJobs, memoryDriver, Queue } from "@quayside/core";
import { z } from "zod";
export const jobs = defineJobs({
${each((index) => `  "job-${index}": { input: z.object({ id: z.string(), count${index}: z.number() }), maxAttempts: 5 },`)}
});
export const queue = new Queue("bench", memoryDriver(), { jobs });
${Array.from({ length: jobs }, (_, index) => `queue.on("job:job-${index}", ({ count${index} }) => { count${index}.toFixed(); });\nvoid queue.addJob("job-${index}", { id: "a", count${index}: 1 });`).join("\n")}
`;

/** Checks a file and answers what that took. */
async function diagnose(source: string): Promise<Diagnostics> {
  // Beside this file: imports are looked up from there.
  const place = mkdtempSync(join(folder, "check-"));
  try {
    writeFileSync(join(place, "use.ts"), source);
    writeFileSync(
      join(place, "tsconfig.json"),
      JSON.stringify({ extends: base, compilerOptions: { types: ["node"] }, files: ["use.ts"] }),
    );
    const { stdout } = await promisify(execFile)(tsc, ["-p", place, "--extendedDiagnostics"]);
    const read = (name: string) => Number(new RegExp(`${name}:\\s+([\\d.]+)`).exec(stdout)?.[1] ?? Number.NaN);
    return { instantiations: read("Instantiations"), checkMs: read("Check time") * 1_000 };
  } finally {
    rmSync(place, { recursive: true });
  }
}

/** What the use of all jobs costs beyond a file that has the map and uses none of them. */
async function costOf(make: (jobs: number) => string, figure: keyof Diagnostics): Promise<number> {
  const [whole, bare] = [await diagnose(make(JOBS)), await diagnose(make(0))];
  return Math.max(0, whole[figure] - bare[figure]);
}

export async function* cases(): AsyncGenerator<Case> {
  for (const [title, make] of [
    ["a map of 200 payload types, each job added and handled once", use],
    ["200 definitions with schemas, each job added and handled once", inferred],
  ] as const) {
    yield {
      title: `type checking ${title}`,
      unit: "instantiations",
      rounds: 1,
      contestants: [{ name: "Quayside", run: () => costOf(make, "instantiations") }],
    };
    yield {
      title: `time to type check ${title}`,
      unit: "ms",
      contestants: [{ name: "Quayside", run: () => costOf(make, "checkMs") }],
    };
  }
}

export const versions = async (): Promise<Record<string, string>> => {
  const { stdout } = await promisify(execFile)(tsc, ["--version"]);
  return { TypeScript: stdout.replace("Version", "").trim() };
};
