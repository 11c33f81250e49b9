import { setTimeout as pause } from "node:timers/promises";
import { Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import type { Case, Contestant } from "../lib/case.ts";
import { versionsOf } from "../lib/versions.ts";
import { BullQueue } from "./bullmq.ts";
import { Depths } from "./depths.ts";
import { BenchObject, type Kind, timed } from "./objects.ts";
import { whereTimeGoes } from "./profile.ts";
import { type RedisServer, startRedis } from "./redis.ts";
import { batchesOf, type Payload, type Rows } from "./worker/contestant.ts";
import { startWorkerd, type Workerd } from "./workerd.ts";

const AGENTS = "Agents SDK";
const BULLMQ = "BullMQ, Redis";

/** Jobs that an adder gets in one run. The Agents SDK reads all that waits at each add: it gets few. */
const FEW = 500;

let workerd: Workerd | undefined;
let redis: RedisServer | undefined;

export async function* cases(): AsyncGenerator<Case> {
  workerd = await startWorkerd();
  try {
    redis = await startRedis();
    const { url } = workerd;
    yield* adds(url);
    yield* works(url);
    yield whereTimeGoes();
    yield* rows(url);
    yield* latencies(url);
    yield* depths(url);
  } finally {
    await Promise.all([workerd.close(), redis?.close()]);
  }
}

export function versions(): Record<string, string> {
  return {
    workerd: workerd?.version ?? "",
    ...versionsOf("agents", "bullmq"),
    ...(redis && { Redis: redis.version }),
  };
}

export const notRun = (): readonly string[] => [
  ...(redis ? [] : ["BullMQ: no Redis server was found, and none could be installed."]),
  "The Agents SDK in batches and over HTTP: it takes jobs one by one, and has no HTTP API for them.",
  "The Agents SDK at depth: each of its adds reads all that waits, so that a fill takes the square of the depth.",
  "BullMQ, rows: Redis has none.",
  "BullMQ at a depth of 1,000,000: about a gigabyte of memory, and a minute of this part's few to fill it.",
];

const perSecond = (jobs: number, ms: number) => (jobs / ms) * 1_000;

/** The yardstick from outside, where there is one: Redis in memory, its client in Node. */
const onRedis = (run: (queue: BullQueue) => Promise<number>): Contestant[] =>
  redis
    ? [
        {
          name: BULLMQ,
          run: async () => {
            const queue = await new BullQueue(redis as RedisServer).ready();
            try {
              return await run(queue);
            } finally {
              await queue.close();
            }
          },
        },
      ]
    : [];

const addsOnRedis = (jobs: number, batch: number) =>
  onRedis(async (queue) => perSecond(jobs, await timed(() => queue.add(jobs, batch))));

function inObject(url: string, name: string, kind: Kind, run: (object: BenchObject) => Promise<number>): Contestant {
  return { name, run: async () => run(await BenchObject.open(url, kind)) };
}

async function* adds(url: string): AsyncGenerator<Case> {
  for (const [batch, inside, outside, http] of [
    [1, 5_000, 2_000, 500],
    [100, 20_000, 10_000, 5_000],
    [1_000, 50_000, 20_000, 20_000],
  ] as const) {
    const how = batch === 1 ? "one by one, each awaited" : `${batch.toLocaleString("en-US")} at a time`;
    const agents = (add: (object: BenchObject, method: string) => Promise<unknown>) =>
      batch > 1
        ? []
        : [
            inObject(url, AGENTS, "AGENT_QUEUE", async (object) =>
              perSecond(FEW, await timed(() => add(object, "add"))),
            ),
          ];
    const adder = (name: string, kind: Kind, jobs: number, where: "inside" | "fromWorker") =>
      inObject(url, name, kind, async (object) =>
        perSecond(jobs, await timed(() => object[where]("add", jobs, batch))),
      );
    yield {
      title: `add ${how}, inside the object`,
      unit: "jobs/s",
      contestants: [
        adder("Quayside", "KEEP_QUEUE", inside, "inside"),
        adder("raw", "RAW_QUEUE", inside, "inside"),
        ...agents((object, method) => object.inside(method, FEW, 1)),
        ...addsOnRedis(batch === 1 ? 2_000 : 10_000, batch),
      ],
      ...(batch > 1 && { goals: [{ than: "raw", times: 0.5 }] }),
    };
    yield {
      title: `add ${how}, over RPC from a Worker`,
      unit: "jobs/s",
      contestants: [
        adder("Quayside", "KEEP_QUEUE", outside, "fromWorker"),
        adder("raw", "RAW_QUEUE", outside, "fromWorker"),
        ...agents((object, method) => object.fromWorker(method, FEW, 1)),
        ...addsOnRedis(batch === 1 ? 2_000 : 10_000, batch),
      ],
    };
    yield {
      title: `add ${how}, over HTTP from Node, one connection`,
      unit: "jobs/s",
      contestants: [
        inObject(url, "Quayside", "KEEP_QUEUE", ({ name }) => addOverHttp(url, name, http, batch)),
        inObject(url, "raw", "RAW_QUEUE", ({ name }) => addRawOverHttp(url, name, http, batch)),
        ...addsOnRedis(batch === 1 ? 2_000 : 10_000, batch),
      ],
    };
  }
}

interface Jobs {
  email: Payload;
}

/** One request after the other goes over one connection that is kept. */
async function addOverHttp(url: string, name: string, jobs: number, batch: number): Promise<number> {
  const queue = new Queue<Jobs>(name, httpDriver({ url: `${url}/api`, token: "bench" }));
  const took = await timed(async () => {
    for (const payloads of batchesOf(jobs, batch)) {
      if (batch === 1) await queue.addJob("email", payloads[0] as Payload);
      else await queue.addJobs(payloads.map((payload) => ({ name: "email", payload })));
    }
  });
  return perSecond(jobs, took);
}

async function addRawOverHttp(url: string, name: string, jobs: number, batch: number): Promise<number> {
  const took = await timed(async () => {
    for (const payloads of batchesOf(jobs, batch)) {
      const response = await fetch(`${url}/raw/${name}/jobs`, { method: "POST", body: JSON.stringify(payloads) });
      if (response.status !== 201) throw new Error(`It answered ${response.status}.`);
      await response.json();
    }
  });
  return perSecond(jobs, took);
}

async function* works(url: string): AsyncGenerator<Case> {
  const worker = (name: string, kind: Kind, jobs: number) =>
    inObject(url, name, kind, async (object) => {
      await object.inside("fill", jobs);
      return perSecond(jobs, await timed(() => object.inside("work")));
    });
  const bullmq = (concurrency: number) =>
    onRedis(async (queue) => {
      await queue.add(10_000, 1_000);
      return perSecond(10_000, await queue.work(10_000, concurrency));
    });
  const peers = (concurrency: number) => [
    worker("raw", "RAW_QUEUE", 20_000),
    worker(AGENTS, "AGENT_QUEUE", FEW),
    ...bullmq(concurrency),
  ];
  yield {
    title: "work 20,000 no-op jobs that wait in an object, 1,000 at a time",
    unit: "jobs/s",
    contestants: [worker("Quayside", "WIDEST_QUEUE", 20_000), ...peers(1_000)],
    goals: [{ than: AGENTS, times: 80 }, ...(redis ? [{ than: BULLMQ, times: 5 }] : [])],
  };
  yield {
    title: "work 20,000 no-op jobs that wait in an object, 100 at a time",
    unit: "jobs/s",
    contestants: [worker("Quayside", "WIDE_QUEUE", 20_000), ...peers(100)],
  };
  yield {
    title: "work 5,000 no-op jobs that wait in an object, at the default of 10 at a time",
    unit: "jobs/s",
    contestants: [
      worker("Quayside", "WORK_QUEUE", 5_000),
      worker("Quayside, 200 prefetched", "AHEAD_QUEUE", 5_000),
      worker("raw", "RAW_QUEUE", 5_000),
      worker(AGENTS, "AGENT_QUEUE", FEW),
      ...bullmq(10),
    ],
  };
}

/** Counted, not timed: the same in every run. */
async function* rows(url: string): AsyncGenerator<Case> {
  for (const [title, jobs, batch, most] of [
    ["added in batches of 100, worked and gone", 1_000, 100, 2.1],
    ["added alone, worked and gone, its alarm included", 1, 1, 5],
  ] as const) {
    for (const which of ["written", "read"] as const) {
      const counter = (name: string, kind: Kind) =>
        inObject(url, name, kind, async (object) => {
          const counted = await object.inside<Rows>("rows", jobs, batch);
          return counted[which] / jobs;
        });
      yield {
        title: `rows ${which} for a job ${title}`,
        unit: "rows/job",
        rounds: 1,
        contestants: [
          counter("Quayside", jobs === 1 ? "WORK_QUEUE" : "WIDE_QUEUE"),
          counter("raw", "RAW_QUEUE"),
          counter(AGENTS, "AGENT_QUEUE"),
        ],
        ...(which === "written" && { goals: [{ atMost: most }] }),
      };
    }
  }
}

const SAMPLES = 100;

/**
 * From the request to the handler's start, as Node sees it: the request itself is in all of the figures, and is most of
 * `raw`. The handlers run on for some milliseconds, so that the answer waits for no later write.
 */
async function* latencies(url: string): AsyncGenerator<Case> {
  const sampled = async (sample: (index: number) => Promise<number>) => {
    const took: number[] = [];
    for (let index = 0; index < SAMPLES; index++) {
      await pause(5);
      took.push(await sample(index));
    }
    return took;
  };
  const inside = (name: string, kind: Kind) => ({
    name,
    run: async () => {
      const object = await BenchObject.open(url, kind);
      return sampled(() => timed(() => object.inside("startOne")));
    },
  });
  const overRpc = async () => {
    const object = await BenchObject.open(url, "WORK_QUEUE");
    const before = await object.inside<number>("starts");
    return sampled((index) => timed(() => object.fromWorker("startOne", before + index + 1)));
  };
  const runs: { name: string; run: () => Promise<number[]> }[] = [
    inside("Quayside", "WORK_QUEUE"),
    { name: "Quayside, added over RPC", run: overRpc },
    inside("raw", "RAW_QUEUE"),
    inside(AGENTS, "AGENT_QUEUE"),
  ];
  if (redis) {
    const server = redis;
    runs.push({
      name: BULLMQ,
      run: async () => {
        const queue = await new BullQueue(server).ready();
        const took = await queue.startEach(SAMPLES, pause);
        await queue.close();
        return took;
      },
    });
  }
  // The same samples are ranked twice: the second case measures only what the first has not.
  const kept = new Map<string, number[][]>();
  for (const [percentile, share] of [
    ["p50", 0.5],
    ["p99", 0.99],
  ] as const) {
    yield {
      title: `from add to start in an idle object, the request included, ${percentile}`,
      unit: "ms",
      contestants: runs.map(({ name, run }) => ({
        name,
        run: async () => {
          const queue = kept.get(name) ?? [];
          const samples = (percentile === "p99" && queue.shift()) || (await run());
          if (percentile === "p50") kept.set(name, [...queue, samples]);
          return samples.toSorted((a, b) => a - b)[Math.ceil(SAMPLES * share) - 1] as number;
        },
      })),
    };
  }
}

/** Jobs worked, or added, in one burst. */
const BURST = 500;

interface Worked {
  work(jobs: number): Promise<number>;
  add(jobs: number): Promise<void>;
}

/** What is worked is added again. */
async function workBurst(queue: Worked): Promise<number> {
  const took = await queue.work(BURST);
  await queue.add(BURST);
  return took;
}

/** What each verb is timed by: a burst that leaves the queue as deep as it was. */
const VERBS: readonly (readonly [string, (queue: Awaited<ReturnType<typeof filled>>) => Promise<number>])[] = [
  ["claim 100 jobs", ({ object }) => timed(() => object.inside("claims", 20))],
  [
    "add 100 jobs",
    async (queue) => {
      const took = await timed(() => queue.object.inside("add", BURST, 100));
      await queue.work(BURST);
      return took;
    },
  ],
  ["list the first page", ({ object }) => timed(() => object.inside("firstPages", 50))],
  ["list a page by cursor, in the middle", ({ object }) => timed(() => object.inside("middlePages", 50))],
  ["count", ({ object }) => timed(() => object.inside("countAgain", 500))],
];

async function* depths(url: string): AsyncGenerator<Case> {
  const quayside = new Depths((jobs) => filled(url, "KEEP_QUEUE", jobs));
  const raw = new Depths((jobs) => filled(url, "RAW_QUEUE", jobs));
  const bullmq = new Depths(async (jobs) => {
    const queue = await new BullQueue(redis as RedisServer).ready();
    await queue.add(jobs, 1_000);
    return {
      work: (count: number) => queue.exchanges(count),
      add: (count: number) => queue.add(count, count),
      close: () => queue.close(),
    };
  });
  try {
    for (const [verb, burst] of VERBS) {
      yield {
        title: `time to ${verb} with 100,000 waiting, against 1,000`,
        unit: "ratio",
        contestants: [{ name: "Quayside", run: () => quayside.ratio(100_000, burst) }],
        goals: [{ atMost: 1.5 }],
      };
    }
    for (const depth of [100_000, 1_000_000]) {
      yield {
        title: `time to claim and settle a job with ${depth.toLocaleString("en-US")} waiting, against 1,000`,
        unit: "ratio",
        contestants: [
          { name: "Quayside", run: () => quayside.ratio(depth, workBurst) },
          { name: "raw", run: () => raw.ratio(depth, workBurst) },
          ...(redis && depth === 100_000 ? [{ name: BULLMQ, run: () => bullmq.ratio(depth, workBurst) }] : []),
        ],
        goals: [{ atMost: 1.3 }],
      };
    }
  } finally {
    await bullmq.each((queue) => queue.close());
  }
}

/** An object with so many jobs, added in requests of a bearable length. */
async function filled(url: string, kind: Kind, jobs: number) {
  const object = await BenchObject.open(url, kind);
  for (let left = jobs; left > 0; left -= 50_000) await object.inside("add", Math.min(left, 50_000), 1_000);
  return {
    object,
    work: (count: number) => timed(() => object.inside("exchanges", count)),
    add: (count: number) => object.inside<void>("add", count, count),
  };
}
