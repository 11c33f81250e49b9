// A process of its own that prints how many bytes one job takes from the heap, first to last: `node allocations.ts NAME`.
// The young generation is larger than all that is allocated, so that nothing is collected and the heap's growth is the sum.
import { CONTESTANTS } from "./contestants.ts";

const JOBS = 10_000;
const CONCURRENCY = 100;

const run = CONTESTANTS[process.argv[2] ?? ""];
if (!run || !globalThis.gc) throw new Error("node --expose-gc --max-semi-space-size=MIB allocations.ts CONTESTANT");
// Compiled first: code and its feedback are on the heap too.
await run(JOBS, CONCURRENCY);
globalThis.gc();
const before = process.memoryUsage().heapUsed;
await run(JOBS, CONCURRENCY);
console.log((process.memoryUsage().heapUsed - before) / JOBS);
