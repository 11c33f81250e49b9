import { getCell, kind, putCells } from "../engine/cells.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { RateLimit } from "../engine/verbs.ts";

/** Enforces the setting `rateLimit` of a queue (R18): at most `max` jobs start within `perMs` ms, over all workers. */
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

/** Starts of jobs that are counted together: their number, and the times of the first and the last. */
interface Slice {
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/** The counted starts of a queue, oldest first. */
const STARTS = kind<{ readonly slices?: readonly Slice[] | undefined }>("rate");

/** Number of slices per period of the limit. Starts within one slice count until the last of them is one period ago. */
const SLICES = 20;

/** The number of starts that a queue's rate limit allows now, and functions to use them. */
interface Allowance {
  /** Number of jobs that may start now. */
  readonly free: number;
  /** Returns the earliest time at which another job may start after `started` have started now. */
  readonly nextAt: (started: number) => number;
  readonly take: (started: number) => Program<void>;
}

/**
 * Returns how many jobs may start now, from the starts of the last period, of which at most `max` are allowed (R18).
 * The starts are in one record, in slices of a twentieth of a period. After the clock was set back, starts in the
 * future count as now.
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
