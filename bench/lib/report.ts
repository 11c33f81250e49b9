import { type Figure, type GoalResult, type Result, timesAsGood, type Unit } from "./case.ts";

/** What one part of the benchmark measured, as it is kept in `results/`. */
export interface PartResults {
  readonly part: string;
  readonly machine: string;
  readonly date: string;
  /** Versions of whatever was measured and of what it ran on. */
  readonly versions: Readonly<Record<string, string>>;
  readonly results: readonly Result[];
  /** What could not be measured here, and why. */
  readonly notRun: readonly string[];
}

/** Three figures that count, no more. */
export function formatNumber(value: number): string {
  if (value === 0) return "0";
  if (value >= 1_000) return Math.round(Number(value.toPrecision(3))).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

const spread = ({ min, max }: Figure) => (min === max ? "" : ` (${formatNumber(min)}–${formatNumber(max)})`);

/** A case as lines of a table: ratios to the first contestant first. */
export function caseTable({ title, unit, rounds, parts, figures, goals }: Result): string {
  const [ours] = figures;
  const ratio = (figure: Figure) =>
    figure === ours || !ours ? "1" : formatNumber(timesAsGood(unit, ours.median, figure.median));
  const row = (figure: Figure) => [
    figure.name,
    ...(parts ? [] : [ratio(figure)]),
    `${formatNumber(figure.median)}${spread(figure)}`,
  ];
  const head = [
    "",
    ...(parts ? [] : ["Quayside is × as good"]),
    `${unit}${rounds > 1 ? `, median of ${rounds} (min–max)` : ""}`,
  ];
  return [
    `#### ${title}`,
    "",
    ...[head, head.map(() => "---"), ...figures.map(row)].map((cells) => `| ${cells.join(" | ")} |`),
    ...(goals.length > 0 ? ["", ...goals.map((goal) => `Goal: ${goalText(goal, unit)}.`)] : []),
    "",
  ].join("\n");
}

const goalText = ({ goal, reached, met }: GoalResult, unit: Unit) =>
  `${goal}; reached ${reachedText(goal, reached, unit)}, ${met ? "met" : "**not met**"}`;

const reachedText = (goal: string, reached: number, unit: Unit) =>
  goal.includes("×") ? `${formatNumber(reached)} ×` : `${formatNumber(reached)} ${unit}`;

/** All goals of all parts in one table. */
export function goalTable(parts: readonly PartResults[]): string {
  const rows = parts.flatMap(({ part, results }) =>
    results.flatMap(({ title, unit, goals }) =>
      goals.map(
        ({ goal, reached, met }) =>
          `| ${part} | ${title} | ${goal} | ${reachedText(goal, reached, unit)} | ${met ? "yes" : "**no**"} |`,
      ),
    ),
  );
  return ["| part | case | goal | reached | met |", "|---|---|---|---|---|", ...rows].join("\n");
}

export function partSection({ part, machine, date, versions, results, notRun }: PartResults): string {
  return [
    `### ${part}`,
    "",
    `${date}, ${machine}.`,
    "",
    ...Object.entries(versions).map(([name, version]) => `- ${name} ${version}`),
    "",
    ...results.map(caseTable),
    ...notRun.map((why) => `Not run: ${why}\n`),
  ].join("\n");
}
