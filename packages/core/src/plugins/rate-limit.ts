import { getCell, kind, putCells } from "../engine/cells.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { RateLimit } from "../engine/verbs.ts";

/** The rate limit of a queue (R18): at most so many jobs start within a time, over all workers. */
export const rateLimit: Plugin = {
  name: "rateLimit",
  settings: ["rateLimit"],
  *claiming({ tx, queue, settings }) {
    if (!settings.rateLimit) return undefined;
    const { free, nextAt, take } = yield* allowance(tx, queue, settings.rateLimit);
    return { capacity: free, nextAt, finish: take };
  },
  *opensAt(tx, queue) {
    const { rateLimit: limit } = yield* tx.settings(queue);
    return limit ? (yield* allowance(tx, queue, limit)).nextAt(0) : tx.now;
  },
};

/** Jobs that a rate limit counts together: when the first and the last of them started. */
interface Slice {
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/** Starts that a rate limit counts, oldest first, by queue. */
const STARTS = kind<{ readonly slices?: readonly Slice[] }>("rate");

/** Starts within this part of a period are counted together, until the last of them is a whole period ago. */
const SLICES = 20;

/** Reads how many jobs a queue's rate limit allows to start now, and counts those that a claim starts. */
interface Allowance {
  /** How many jobs may start now. */
  readonly free: number;
  /** The first instant at which another may start when so many have started now. */
  readonly nextAt: (started: number) => number;
  readonly take: (started: number) => Program<void>;
}

/**
 * At most `max` jobs start in any interval of `per` (R18): what started less than one period ago is counted, in slices of
 * a twentieth, in one record. After the clock was set back, what started "later" counts as started now.
 */
function* allowance(tx: Transaction, queue: string, { max, perMs }: RateLimit): Program<Allowance> {
  const { now } = tx;
  const { slices = [] } = (yield* getCell(STARTS, queue)) ?? {};
  const ahead = slices.some(({ last }) => last > now);
  const recent = slices
    .map(({ first, last, count }) => ({ first: Math.min(first, now), last: Math.min(last, now), count }))
    .filter(({ last }) => last > now - perMs);
  const used = sum(recent);

  function withStarts(started: number): readonly Slice[] {
    if (started === 0) return recent;
    const last = recent[recent.length - 1];
    return last && now - last.first < perMs / SLICES
      ? [...recent.slice(0, -1), { ...last, last: now, count: last.count + started }]
      : [...recent, { first: now, last: now, count: started }];
  }

  return {
    free: Math.max(0, max - used),
    nextAt(started) {
      let over = used + started - max;
      if (over < 0) return now;
      for (const { last, count } of withStarts(started)) {
        over -= count;
        if (over < 0) return last + perMs;
      }
      return now + perMs;
    },
    *take(started) {
      if (started > 0 || ahead) yield* putCells(STARTS, [[queue, { slices: withStarts(started) }]]);
    },
  };
}

const sum = (slices: readonly Slice[]): number => slices.reduce((total, { count }) => total + count, 0);
