// Heap used after a tenth of the jobs of one case, and after all: `node --expose-gc heap.ts JOBS CASE…`. Prints JSON.
import { HEAP_CASES, openPlace, SIZE } from "./heap-cases.ts";

const [jobs = "", ...names] = process.argv.slice(2);
const rounds = Math.ceil(Number(jobs) / SIZE);
const collect = globalThis.gc;
if (!collect || !(rounds >= 10))
  throw new Error(`node --expose-gc heap.ts JOBS CASE…, with ${10 * SIZE} jobs or more.`);

/** Bytes in use, after callbacks that have no more work have run. */
async function heapUsed(): Promise<number> {
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect?.();
  }
  return process.memoryUsage().heapUsed;
}

for (const name of names) {
  const run = HEAP_CASES[name];
  if (!run) throw new Error(`There is no case ${name}; the cases are ${Object.keys(HEAP_CASES).join(", ")}.`);
  const place = await openPlace();
  let first = 0;
  for (let round = 0; round < rounds; round++) {
    await run(place, round * SIZE);
    if (round + 1 === Math.ceil(rounds / 10)) first = await heapUsed();
  }
  const last = await heapUsed();
  console.log(JSON.stringify({ name, jobs: rounds * SIZE, first, last }));
  await place.driver.close();
}
