import type { Run } from "../protocol.ts";
import type { Contestant, OpenQueue } from "./contestant.ts";

let made = 0;
/** Of a database that no run before had. */
const freshName = (): string => `bench-${++made}`;

type Measured<Kind extends Run["measure"]> = Extract<Run, { measure: Kind }>;

/** Makes one run: the figure, in the unit of its case. */
export async function measure(contestant: Contestant, run: Run): Promise<number> {
  switch (run.measure) {
    case "addOneByOne":
    case "addAtOnce":
    case "addBulk":
    case "work": {
      const queue = await contestant.open(freshName());
      if (run.measure === "work") await fill(queue, run.jobs);
      const ms = await timed(() => exercise(queue, run));
      await queue.close();
      return (run.jobs / ms) * 1_000;
    }
    case "pickUp":
      return pickUp(contestant, run);
    case "depth":
      return depth(contestant, run);
  }
}

async function exercise(queue: OpenQueue, run: Exclude<Run, Measured<"pickUp" | "depth">>): Promise<unknown> {
  switch (run.measure) {
    case "addOneByOne":
      for (let index = 0; index < run.jobs; index++) await queue.add();
      return;
    case "addAtOnce":
      return addAtOnce(queue, run.jobs);
    case "addBulk":
      return has(queue.addBulk).call(queue, run.jobs);
    case "work":
      return has(queue.work).call(queue, run.jobs, run.concurrency);
  }
}

/** The percentile of the ms from an add to the start of its handler, the worker having nothing to do before each. */
async function pickUp(contestant: Contestant, { adds, percentile, waiting = 0 }: Measured<"pickUp">): Promise<number> {
  const queue = await contestant.open(freshName());
  if (waiting > 0) await has(queue.addLater).call(queue, waiting);
  const worker = await has(queue.wait).call(queue);
  const all: number[] = [];
  for (let index = 0; index < adds; index++) {
    all.push(await worker.pickUp());
    await turnOfTheEventLoop();
  }
  await worker.stop();
  await queue.close();
  return all.sort((a, b) => a - b)[Math.ceil((percentile / 100) * adds) - 1] as number;
}

const TURNS = 5;

/**
 * What a job costs with many waiting behind it, over what it costs with few. The two take turns, so that whatever the
 * machine does meanwhile it does to both.
 */
async function depth(contestant: Contestant, { shallow, deep, jobs }: Measured<"depth">): Promise<number> {
  const queues = [await contestant.open(freshName()), await contestant.open(freshName())] as const;
  await fill(queues[0], shallow);
  await fill(queues[1], deep);
  const ms: [number[], number[]] = [[], []];
  // The first turn warms up.
  for (let turn = -1; turn < TURNS; turn++) {
    for (const index of turn % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) {
      const queue = queues[index];
      const took = await timed(() => has(queue.work).call(queue, jobs, 50));
      if (turn >= 0) ms[index].push(took);
      // As deep again as it was.
      await fill(queue, jobs);
    }
  }
  for (const queue of queues) await queue.close();
  return median(ms[1]) / median(ms[0]);
}

const STEP = 10_000;

async function fill(queue: OpenQueue, jobs: number): Promise<void> {
  if (!queue.addBulk) return void (await addAtOnce(queue, jobs));
  for (let left = jobs; left > 0; left -= STEP) await queue.addBulk(Math.min(STEP, left));
}

async function addAtOnce(queue: OpenQueue, count: number): Promise<unknown> {
  return queue.addAtOnce ? queue.addAtOnce(count) : Promise.all(Array.from({ length: count }, () => queue.add()));
}

async function timed(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}

function has<Method>(method: Method | undefined): Method {
  if (!method) throw new Error("This contestant cannot do that.");
  return method;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number;

function turnOfTheEventLoop(): Promise<void> {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}
