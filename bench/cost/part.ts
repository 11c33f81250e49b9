import { BenchObject, type Kind } from "../edge/objects.ts";
import type { Rows } from "../edge/worker/contestant.ts";
import { startWorkerd, type Workerd } from "../edge/workerd.ts";
import type { Case } from "../lib/case.ts";
import { versionsOf } from "../lib/versions.ts";
import { HOUR_FIGURES, hourTitle, type Spent } from "./hours-table.ts";
import { FIGURES, SCENARIOS } from "./table.ts";

let workerd: Workerd | undefined;

/** Counted, not timed: the same in every run. docs/cost.md is made of it. */
export async function* cases(): AsyncGenerator<Case> {
  workerd = await startWorkerd();
  try {
    const { url } = workerd;
    for (const [title, { jobs }] of Object.entries(SCENARIOS)) {
      const measured = new Map<string, Cost>();
      for (const [name, measure] of Object.entries(MEASURES[title as keyof typeof SCENARIOS])) {
        const { rows, calls } = await measure(url);
        measured.set(name, costOf(rows, calls, jobs));
      }
      for (const figure of FIGURES) {
        yield {
          title: `${title}: ${figure}`,
          unit: figure === "requests" ? "requests/job" : "rows/job",
          rounds: 1,
          contestants: [...measured].map(([name, cost]) => ({ name, run: () => cost[figure] })),
        };
      }
    }
    for (const title of (await (await fetch(`${url}/hours`)).json()) as readonly string[]) {
      const spent = await spentIn(url, title);
      for (const [figure, of] of Object.entries(HOUR_FIGURES)) {
        const contestants = [{ name: QUAYSIDE, run: () => of(spent) }];
        yield { title: hourTitle(title, figure), unit: "an hour", rounds: 1, contestants };
      }
    }
  } finally {
    await workerd.close();
  }
}

async function spentIn(url: string, title: string): Promise<Spent> {
  const response = await fetch(`${url}/hour?case=${encodeURIComponent(title)}`, { method: "POST" });
  if (!response.ok) throw new Error(`${title}: ${await response.text()}`);
  return (await response.json()) as Spent;
}

export const versions = (): Record<string, string> => ({ workerd: workerd?.version ?? "", ...versionsOf("agents") });

type Cost = Readonly<Record<(typeof FIGURES)[number], number>>;

/**
 * Each alarm that is set rings once at most, which is a request as each call is. Of the Agents SDK only the calls are
 * counted: it sets its alarm again and again before it rings.
 */
const costOf = ({ written, read, alarms = 0 }: Rows, calls: number, jobs: number): Cost => ({
  "rows written": written / jobs,
  "rows read": read / jobs,
  requests: (calls + alarms) / jobs,
});

interface Measured {
  readonly rows: Rows;
  /** Calls of the object from outside. */
  readonly calls: number;
}
type Measure = (url: string) => Promise<Measured>;

const QUAYSIDE = "Quayside";
const AGENTS = "Agents SDK";

/** Asks a fresh object, after what `prepare` did with it. */
const ask =
  (
    kind: Kind,
    method: string,
    args: readonly number[],
    calls: number,
    prepare: (object: BenchObject) => Promise<unknown> = async () => {},
  ): Measure =>
  async (url) => {
    const object = await BenchObject.open(url, kind);
    await prepare(object);
    return { rows: await object.inside<Rows>(method, ...args), calls };
  };

/** One job has run already: the alarm stands that it set. */
const warm = (object: BenchObject) => object.inside("rows", 1, 1);

const MEASURES: Readonly<Record<keyof typeof SCENARIOS, Readonly<Record<string, Measure>>>> = {
  "added in batches of 100, worked in the object": {
    [QUAYSIDE]: ask("WIDE_QUEUE", "rows", [1_000, 100], 10),
  },
  "added in batches of 100, worked from elsewhere 100 at a time": {
    // Each batch is added by one call, and settled by the one that claims the next.
    [QUAYSIDE]: ask("KEEP_QUEUE", "rowsElsewhere", [1_000], 10 + 11),
  },
  "alone, soon after another": {
    [QUAYSIDE]: ask("WORK_QUEUE", "rows", [1, 1], 1, warm),
    [AGENTS]: ask("AGENT_QUEUE", "rows", [1], 1, warm),
  },
  "alone, in an object that is awake": {
    [QUAYSIDE]: ask("WORK_QUEUE", "rows", [1, 1], 1),
    [AGENTS]: ask("AGENT_QUEUE", "rows", [1], 1),
  },
  "alone, in an object that was asleep": {
    [QUAYSIDE]: async (url) => {
      const object = await BenchObject.open(url, "WORK_QUEUE");
      await warm(object);
      // It says nothing any more: the call ends with the object.
      await object.inside("sleep").catch(() => {});
      await object.inside("rows", 1, 1);
      return { rows: await object.inside<Rows>("sinceStart"), calls: 1 };
    },
  },
  "delayed, alone": {
    [QUAYSIDE]: ask("WORK_QUEUE", "rowsDelayed", [1], 1),
    [AGENTS]: ask("AGENT_QUEUE", "rowsDelayed", [1], 1),
  },
  "delayed, 100 of them due at once": {
    [QUAYSIDE]: ask("WIDE_QUEUE", "rowsDelayed", [100], 1),
    [AGENTS]: ask("AGENT_QUEUE", "rowsDelayed", [100], 100),
  },
  "in batches of 100, the last 100 results kept": {
    [QUAYSIDE]: ask("WIDE_QUEUE", "rows", [1_000, 100], 10, (object) => object.inside("keep", 100)),
  },
  "alone, tried twice": {
    [QUAYSIDE]: ask("WORK_QUEUE", "rowsRetried", [1], 1),
  },
  "in batches of 100, each tried twice": {
    [QUAYSIDE]: ask("WIDE_QUEUE", "rowsRetried", [100], 1),
  },
};
