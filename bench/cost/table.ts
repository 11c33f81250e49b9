import type { Result } from "../lib/case.ts";
import { formatNumber, type PartResults } from "../lib/report.ts";

/** Dollars a million, on Cloudflare's paid plan: https://developers.cloudflare.com/durable-objects/platform/pricing/ */
export const PRICES = { "rows written": 1, "rows read": 0.001, requests: 0.15 } as const;

export const FIGURES = ["rows written", "rows read", "requests"] as const;

/**
 * Cloudflare Queues: $0.40 a million operations of up to 64 KB, of which a message takes three (written, read, deleted)
 * and each retry one more (https://developers.cloudflare.com/queues/platform/pricing/). A batch is no cheaper.
 */
const OPERATION = 0.4;

/** What a job costs, from its add to its end; `jobs` are measured at a time. */
export const SCENARIOS = {
  "added in batches of 100, worked in the object": { jobs: 1_000, operations: 3 },
  "added in batches of 100, worked from elsewhere 100 at a time": { jobs: 1_000, operations: 3 },
  "alone, soon after another": { jobs: 1, operations: 3 },
  "alone, in an object that is awake": { jobs: 1, operations: 3 },
  "alone, in an object that was asleep": { jobs: 1, operations: 3 },
  "delayed, alone": { jobs: 1, operations: 3 },
  "delayed, 100 of them due at once": { jobs: 100, operations: 3 },
  "in batches of 100, the last 100 results kept": { jobs: 1_000, operations: undefined },
  "alone, tried twice": { jobs: 1, operations: 4 },
  "in batches of 100, each tried twice": { jobs: 100, operations: 4 },
} as const;

/** The table of docs/cost.md. */
export function costTable({ results, date, versions }: PartResults): string {
  const byTitle = new Map(results.map((result) => [result.title, result]));
  const rows = Object.entries(SCENARIOS).map(([title, { operations }]) => {
    const of = (name: string) => {
      const figures = FIGURES.map((figure) => figureOf(byTitle.get(`${title}: ${figure}`), name));
      if (figures.includes(undefined)) return undefined;
      const dollars = FIGURES.reduce((sum, figure, index) => sum + (figures[index] ?? 0) * PRICES[figure], 0);
      return { figures: figures as number[], dollars };
    };
    const [ours, agents] = [of("Quayside"), of("Agents SDK")];
    if (!ours) throw new Error(`${title}: Quayside was not measured.`);
    return [
      title,
      ...ours.figures.map(formatNumber),
      `**${dollarsText(ours.dollars)}**`,
      operations === undefined ? "—" : dollarsText(operations * OPERATION),
      agents ? `${dollarsText(agents.dollars)} (${formatNumber(agents.figures[0] as number)} rows)` : "—",
    ];
  });
  const head = ["a job", ...FIGURES, "$ a million", "Cloudflare Queues", "Agents SDK"];
  const lines = [head, head.map((_, index) => (index === 0 ? "---" : "---:")), ...rows];
  const ran = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n\nCounted on ${date}, ${ran.join(", ")}.\n`;
}

const figureOf = (result: Result | undefined, name: string): number | undefined =>
  result?.figures.find((figure) => figure.name === name)?.median;

const dollarsText = (dollars: number): string => `$${dollars.toFixed(2)}`;
