import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, inject, it } from "vitest";
import { HEAP_CASES } from "../../bench/growth/heap-cases.ts";

const script = fileURLToPath(new URL("../../bench/growth/heap.ts", import.meta.url));
const { nightly } = inject("hostile");
/** Bytes by which the heap may differ: compiled code, and garbage that one collection leaves. */
const SLACK = 1_500_000;
/** Number of jobs, waiters or drivers. Other cases: 1,000,000 jobs. */
const JOBS: Readonly<Record<string, number>> = { waiters: 10_000, drivers: 5_000 };
const CASES = Object.keys(HEAP_CASES);

interface Heap {
  readonly name: string;
  /** Bytes after a tenth of the jobs, and after all. */
  readonly first: number;
  readonly last: number;
}

/** Runs cases in a process of its own, which can collect garbage. */
async function heapsOf(jobs: number, ...names: readonly string[]): Promise<readonly Heap[]> {
  const options = { env: process.env, maxBuffer: 2 ** 20 };
  const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", script, `${jobs}`, ...names], options);
  return stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Heap);
}

describe("R42: the heap after a tenth of the jobs is the heap after all", () => {
  if (nightly)
    it.each(CASES)(
      "%s",
      async (name) => {
        const [heap] = await heapsOf(JOBS[name] ?? 1_000_000, name);
        console.info(JSON.stringify(heap));
        expect((heap?.last ?? 0) - (heap?.first ?? 0)).toBeLessThan(SLACK);
      },
      600_000,
    );
  else
    it("of each capability, 5,000 jobs each", async () => {
      const heaps = await heapsOf(5_000, ...CASES.filter((name) => name !== "drivers"));
      expect(heaps).toHaveLength(CASES.length - 1);
      for (const { name, first, last } of heaps) expect(last - first, name).toBeLessThan(SLACK);
    }, 60_000);
});
