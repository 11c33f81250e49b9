import { readFileSync } from "node:fs";

/** What one object takes for what it does, in ms; from what was measured (`bench/results/edge.json`). */
export interface ServiceTimes {
  /** A request with jobs: for itself, and for each job. */
  readonly addMs: number;
  readonly addJobMs: number;
  /** A claim with the settlement of the one before: for itself, the sync to disk included, and for each job. */
  readonly claimMs: number;
  readonly claimJobMs: number;
  /** What a request takes at least: Cloudflare's soft limit of 1,000 requests a second for one object. */
  readonly requestMs: number;
}

interface Kept {
  readonly date: string;
  readonly machine: string;
  readonly results: readonly {
    readonly title: string;
    readonly figures: readonly { readonly name: string; readonly median: number }[];
  }[];
}

/** Prices of Durable Objects, in dollars: rows, requests and seconds of an object that is awake (128 MB). */
export const PRICES = {
  rowWritten: 1 / 1e6,
  rowRead: 0.001 / 1e6,
  request: 0.15 / 1e6,
  objectSecond: (12.5 / 1e6) * 0.128,
} as const;

export const REQUESTS_PER_SECOND = 1_000;
/** Rows read for a job that is added in a batch, worked and gone. */
export const ROWS_READ = 4.2;

export function readFigures(): { readonly times: ServiceTimes; readonly measured: string } {
  const { date, machine, results } = JSON.parse(
    readFileSync(new URL("../results/edge.json", import.meta.url), "utf8"),
  ) as Kept;
  /** Ms for each batch of this case, of which the figure is jobs a second. */
  const batchMs = (title: string, size: number): number => {
    const figure = results.find((result) => result.title === title)?.figures.find(({ name }) => name === "Quayside");
    if (!figure) throw new Error(`bench/results/edge.json has no case ${JSON.stringify(title)}.`);
    return (size / figure.median) * 1_000;
  };
  const one = batchMs("add one by one, each awaited, inside the object", 1);
  const hundred = batchMs("add 100 at a time, inside the object", 100);
  const ten = batchMs("work 5,000 no-op jobs that wait in an object, at the default of 10 at a time", 10);
  const thousand = batchMs("work 20,000 no-op jobs that wait in an object, 1,000 at a time", 1_000);
  const addJobMs = (hundred - one) / 99;
  const claimJobMs = (thousand - ten) / 990;
  return {
    measured: `${date}, ${machine}`,
    times: {
      addJobMs,
      addMs: one - addJobMs,
      claimJobMs,
      claimMs: ten - 10 * claimJobMs,
      requestMs: 1_000 / REQUESTS_PER_SECOND,
    },
  };
}
