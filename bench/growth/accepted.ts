import { growthOf, slopesOf } from "./classify.ts";
import type { Pair } from "./measure.ts";

/** Growth that is accepted, with its reason and its bound. */
export interface Accepted {
  readonly population: string;
  /** Verbs, by the beginning of their names. Absent: all. */
  readonly verbs?: readonly string[];
  /** Maximum number of records that each further record of the population adds to a call. */
  readonly perRecord: number;
  /** Why it grows, and what bounds it. */
  readonly why: string;
}

const LEASES =
  "Reads the lease of every worker that holds jobs, since a running job keeps its place in line. Bound: one record per such worker";
const DELAYED =
  "Reads the key of every delayed job: time makes them due, and no record changes then. Bound: the delayed jobs of the queue; at most 8,000 keys per transaction";
const RESTART =
  "Counts the keys of the queue once after a restart, or before its first count. Bound: the jobs of the queue, once";
const PASSED =
  "Passes the running jobs at the head of the line, which keep their places. Bound: the running jobs of the queue, at most `maxActive` or the slots of its workers";
const WORKED = "Looks into each queue that the worker names. Bound: the queues of one worker";

const AFTER_RESTART = "counts, after a restart";

/** All growth that is accepted. Remove an entry when nothing grows by it any more; add one only with a bound. */
export const ACCEPTED: readonly Accepted[] = [
  { population: "workers", perRecord: 4, why: LEASES },
  {
    population: "running",
    verbs: ["claim", "settle 10, claim", "nextWake", "idle", "list 20 waiting"],
    perRecord: 2.1,
    why: PASSED,
  },
  {
    population: "queues of the worker",
    verbs: ["claim", "settle 10, claim", "nextWake", "idle"],
    perRecord: 6.1,
    why: WORKED,
  },
  ...["delayed", "recurrences"].map((population) => ({ population, verbs: ["counts"], perRecord: 2.1, why: DELAYED })),
  ...["waiting", "running", "failed, kept", "groups", "one full group", "waiters"].map((population) => ({
    ...{ population, verbs: [AFTER_RESTART], perRecord: 1.1, why: RESTART },
  })),
];

/** Returns the entry under which the growth of a pair is accepted, if there is one. */
export const acceptedFor = ({ verb, population }: Pair): Accepted | undefined =>
  ACCEPTED.find(
    (entry) => entry.population === population && (entry.verbs?.some((name) => verb.startsWith(name)) ?? true),
  );

/** Returns a sentence for each pair that grows and is not accepted, or grows by more than is accepted. */
export function violationsIn(pairs: readonly Pair[]): string[] {
  return pairs.flatMap((pair) => {
    if (growthOf(pair) !== "grows") return [];
    const entry = acceptedFor(pair);
    const slope = Math.max(...slopesOf(pair));
    if (entry && slope <= entry.perRecord) return [];
    const figures = [...pair.costs].map(([size, { read, written }]) => `${size}: ${read} read, ${written} written`);
    const limit = entry ? `${entry.perRecord} per record are accepted` : "no growth is accepted";
    return `${pair.verb} beside ${pair.population}: ${limit}; ${figures.join("; ")}.`;
  });
}

/** Returns the entries by which none of these pairs grows. */
export function unusedIn(pairs: readonly Pair[]): Accepted[] {
  const used = new Set(pairs.filter((pair) => growthOf(pair) === "grows").map(acceptedFor));
  return ACCEPTED.filter((entry) => !used.has(entry));
}
