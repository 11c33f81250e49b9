import { ENGINES, ensureBrowser } from "../../scripts/find-browsers.mjs";
import type { Engine } from "../../test/support/open-engine.ts";
import type { Case, Contestant, Goal } from "../lib/case.ts";
import { versionsOf } from "../lib/versions.ts";
import { type BenchBrowser, openBench, servePage } from "./bench-page.ts";
import { whereTimeGoes } from "./profile.ts";
import type { ContestantName, Run } from "./protocol.ts";

type Asked = Run extends infer Each ? (Each extends Run ? Omit<Each, "contestant"> : never) : never;

/** Each engine that was measured, as it calls itself. */
const agents: Record<string, string> = {};
const missing: string[] = [];

export async function* cases(): AsyncGenerator<Case> {
  const page = await servePage();
  try {
    for (const engine of ENGINES) {
      if (!(await installed(engine))) continue;
      const browser = await openBench(engine, page.url);
      agents[engine] = browser.agent;
      try {
        if (engine === "chromium") yield* casesIn(browser);
        yield depthIn(engine, browser);
      } finally {
        await browser.close();
      }
      if (engine === "chromium") yield whereTimeGoes(page.url);
    }
  } finally {
    await page.close();
  }
}

async function installed(engine: Engine): Promise<boolean> {
  try {
    await ensureBrowser(engine);
    return true;
  } catch (error) {
    missing.push(`${engine}: ${error instanceof Error ? error.message : error}`);
    return false;
  }
}

const depthIn = (engine: Engine, browser: BenchBrowser): Case => ({
  title: `time to work a job with 100,000 more waiting over the time with 1,000 more, 50 at a time, ${engine}`,
  unit: "ratio",
  contestants: [
    {
      name: "Quayside",
      run: () => browser.run({ contestant: "Quayside", measure: "depth", shallow: 1_000, deep: 100_000, jobs: 1_000 }),
    },
  ],
  goals: [{ atMost: 1.3 }],
});

function* casesIn(browser: BenchBrowser): Generator<Case> {
  /** Who takes part, each with how many jobs if not with so many as Quayside: a rate needs no more than that. */
  const contestants = (
    asked: Asked,
    names: readonly ContestantName[],
    fewer: Partial<Record<ContestantName, number>> = {},
  ): Contestant[] =>
    names.map((name) => ({
      name,
      run: () => {
        const jobs = fewer[name];
        return browser.run({ ...asked, ...(jobs !== undefined && { jobs }), contestant: name } as Run);
      },
    }));
  const goals = (workbox: number, raw: number): Goal[] => [
    { than: "Workbox", times: workbox },
    { than: "raw", times: raw },
  ];

  const everyone = ["Quayside", "Workbox", "TanStack", "Dexie", "raw"] as const;
  yield {
    title: "add 1,000 jobs one by one, each awaited",
    unit: "jobs/s",
    contestants: contestants({ measure: "addOneByOne", jobs: 1_000 }, everyone),
    goals: goals(3, 0.7),
  };
  yield {
    title: "add 1,000 jobs at once, by a call each",
    unit: "jobs/s",
    contestants: contestants({ measure: "addAtOnce", jobs: 1_000 }, everyone),
    goals: goals(20, 0.7),
  };
  yield {
    title: "add 10,000 jobs by one call",
    unit: "jobs/s",
    contestants: contestants({ measure: "addBulk", jobs: 10_000 }, ["Quayside", "Dexie", "raw"]),
  };
  // Workbox and TanStack have one way to work: one at a time, one transaction or more each.
  const fewer = { Workbox: 300, TanStack: 300 };
  yield {
    title: "work 5,000 no-op jobs, 50 at a time",
    unit: "jobs/s",
    contestants: contestants({ measure: "work", jobs: 5_000, concurrency: 50 }, everyone, fewer),
    goals: goals(20, 0.5),
  };
  yield {
    title: "work 300 no-op jobs, one at a time",
    unit: "jobs/s",
    contestants: contestants({ measure: "work", jobs: 300, concurrency: 1 }, everyone),
  };
  const idle = { measure: "pickUp", adds: 200 } as const;
  const pickers = ["Quayside", "TanStack", "Dexie", "raw"] as const;
  yield {
    title: "from add to start of the handler, worker idle in the same tab, p50 of 200",
    unit: "ms",
    contestants: contestants({ ...idle, percentile: 50 }, pickers),
    goals: [{ atMost: 5 }],
  };
  yield {
    title: "from add to start of the handler, worker idle in the same tab, p99 of 200",
    unit: "ms",
    contestants: contestants({ ...idle, percentile: 99 }, pickers),
  };
  yield {
    title: "from add to start of the handler, 100,000 more jobs waiting that are due in an hour, p50 of 200",
    unit: "ms",
    contestants: contestants({ ...idle, percentile: 50, waiting: 100_000 }, ["Quayside"]),
  };
}

export const versions = (): Record<string, string> => ({
  ...agents,
  ...versionsOf("workbox-background-sync", "@tanstack/offline-transactions", "dexie", "idb", "vite"),
});

export const notRun = (): readonly string[] => [
  ...missing,
  "Workbox and TanStack in the bulk add: neither has a call that stores many.",
  "Workbox from add to start of the handler: nothing of it waits for jobs in a page; in a service worker the browser " +
    "chooses when the sync event comes.",
  "The others with 100,000 waiting: they know no job that is due later, and Workbox and TanStack take minutes to store " +
    "so many one by one.",
];
