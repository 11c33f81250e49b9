/** How a figure reads, and which way is better. */
export type Unit =
  | "jobs/s"
  | "ms"
  | "µs/job"
  | "rows/job"
  | "requests/job"
  | "an hour"
  | "bytes/job"
  | "kB"
  | "instantiations"
  | "ratio";

/** One thing that is measured, and who is measured at it. */
export interface Case {
  /** Unique in its part; names what one run does. */
  readonly title: string;
  readonly unit: Unit;
  readonly contestants: readonly Contestant[];
  /** What Quayside is to reach. The first contestant is held against each of the others named here. */
  readonly goals?: readonly Goal[];
  /** The contestants are parts of one thing and not held against each other. */
  readonly parts?: true;
  /** Rounds that count. Default: what the command says, else 5. Deterministic figures need 1. */
  readonly rounds?: number;
}

export interface Contestant {
  /** A peer's name, or `raw`: the least that could work. */
  readonly name: string;
  /** One run: the figure, in the case's unit. What it needs it prepares itself; only the figure counts. */
  readonly run: () => Promise<number> | number;
}

export type Goal =
  /** The first contestant is to be at least so many times as good as `than`: its speed over the other's. */
  | { readonly than: string; readonly times: number }
  /** The first contestant's figure is to be at most this. */
  | { readonly atMost: number };

export interface Figure {
  readonly name: string;
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export interface Result {
  readonly title: string;
  readonly unit: Unit;
  readonly rounds: number;
  readonly parts?: true;
  readonly figures: readonly Figure[];
  readonly goals: readonly GoalResult[];
}

export interface GoalResult {
  /** "at least 20 × Workbox", "at most 5 ms". */
  readonly goal: string;
  /** What was reached, as the goal counts: a ratio, or the figure. Medians. */
  readonly reached: number;
  readonly met: boolean;
}

/** Of these units less is better. */
const COSTS: ReadonlySet<Unit> = new Set([
  "ms",
  "µs/job",
  "rows/job",
  "requests/job",
  "an hour",
  "bytes/job",
  "kB",
  "instantiations",
  "ratio",
]);

/** How many times as good `a` is as `b`. */
export const timesAsGood = (unit: Unit, a: number, b: number): number => (COSTS.has(unit) ? b / a : a / b);
