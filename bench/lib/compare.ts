import {
  type Case,
  type Contestant,
  type Figure,
  type Goal,
  type GoalResult,
  type Result,
  timesAsGood,
} from "./case.ts";

const ROUNDS = 5;

/**
 * Measures the contestants of a case in turns, a warm-up round first: whatever the machine does meanwhile, it does to
 * all of them. Every other round goes backwards, so that none always runs after the same one.
 */
export async function compare(measured: Case, rounds = ROUNDS): Promise<Result> {
  const samples = new Map<Contestant, number[]>(measured.contestants.map((contestant) => [contestant, []]));
  const counted = measured.rounds ?? rounds;
  for (let round = counted > 1 ? -1 : 0; round < counted; round++) {
    const order = round % 2 === 0 ? measured.contestants : measured.contestants.toReversed();
    for (const contestant of order) {
      const sample = await contestant.run();
      if (!(sample >= 0)) throw new Error(`${measured.title}: ${contestant.name} measured ${sample}.`);
      if (round >= 0) samples.get(contestant)?.push(sample);
    }
  }
  const figures = [...samples].map(([{ name }, values]) => summarize(name, values));
  return {
    title: measured.title,
    unit: measured.unit,
    rounds: counted,
    ...(measured.parts && { parts: measured.parts }),
    figures,
    goals: (measured.goals ?? []).map((goal) => judge(measured, figures, goal)),
  };
}

function summarize(name: string, values: readonly number[]): Figure {
  return { name, median: medianOf(values), min: Math.min(...values), max: Math.max(...values) };
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number) => sorted[index] as number;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? at(middle) : (at(middle - 1) + at(middle)) / 2;
}

function judge({ title, unit }: Case, figures: readonly Figure[], goal: Goal): GoalResult {
  const [ours] = figures;
  if (!ours) throw new Error(`${title}: nothing was measured.`);
  if ("atMost" in goal) {
    return { goal: `at most ${goal.atMost} ${unit}`, reached: ours.median, met: ours.median <= goal.atMost };
  }
  const other = figures.find(({ name }) => name === goal.than);
  if (!other) throw new Error(`${title}: there is no contestant ${goal.than}.`);
  const reached = timesAsGood(unit, ours.median, other.median);
  return { goal: `at least ${goal.times} × ${goal.than}`, reached, met: reached >= goal.times };
}
