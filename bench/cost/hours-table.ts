import { formatNumber, type PartResults } from "../lib/report.ts";
import { PRICES } from "./table.ts";

/** The cost of an hour of an object: `Spent` of test/edge/hour. */
export interface Spent {
  readonly wakes: number;
  readonly rowsWritten: number;
  readonly rowsRead: number;
  readonly awake: number;
}

/** Dollars per second awake: $12.50 per million GB-s, with 128 MB. */
const SECOND = 12.5e-6 / 8;
const HOURS_A_MONTH = 730;

/** The columns of the table, and what an hour's figures are multiplied by for its dollars. */
export const HOUR_FIGURES: Readonly<Record<string, (spent: Spent) => number>> = {
  wakes: ({ wakes }) => wakes,
  "rows written": ({ rowsWritten }) => rowsWritten,
  "rows read": ({ rowsRead }) => rowsRead,
  "seconds awake": ({ awake }) => awake,
};

const DOLLARS = [PRICES.requests / 1e6, PRICES["rows written"] / 1e6, PRICES["rows read"] / 1e6, SECOND];

const PREFIX = "an hour: ";

/** The title of a case that holds one figure of an hour. */
export const hourTitle = (title: string, figure: string): string => `${PREFIX}${title}: ${figure}`;

/** The second table of docs/cost.md. */
export function hoursTable({ results, date, versions }: PartResults): string {
  const byTitle = new Map(results.map(({ title, figures }) => [title, figures[0]?.median ?? 0]));
  const figures = Object.keys(HOUR_FIGURES);
  const ending = `: ${figures[0]}`;
  const titles = [...byTitle.keys()]
    .filter((title) => title.startsWith(PREFIX) && title.endsWith(ending))
    .map((title) => title.slice(PREFIX.length, -ending.length));
  const head = ["an object", ...figures, "$ a month"];
  const rows = titles.map((title) => {
    const values = figures.map((figure) => byTitle.get(hourTitle(title, figure)) ?? 0);
    const dollars = values.reduce((sum, value, index) => sum + value * (DOLLARS[index] ?? 0), 0) * HOURS_A_MONTH;
    return [title, ...values.map(formatNumber), `**$${dollars.toFixed(2)}**`];
  });
  const lines = [head, head.map((_, index) => (index === 0 ? "---" : "---:")), ...rows];
  return `${lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n")}\n\nCounted on ${date}, workerd ${versions["workerd"]}.\n`;
}
