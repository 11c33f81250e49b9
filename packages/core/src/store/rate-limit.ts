import { getCell, kind, putCells } from "./cells.ts";
import type { Bucket, Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { RateLimit } from "./verbs.ts";

/** What a bucket holds now. Time that runs backwards, or leaps, counts as none, or as one period at most (R18). */
function refill(bucket: Bucket | undefined, { max, perMs }: RateLimit, now: number): number {
  if (!bucket) return max;
  const elapsed = Math.min(Math.max(0, now - bucket.at), perMs);
  return Math.min(max, bucket.tokens + (elapsed * max) / perMs);
}

/** Ms until the bucket holds a whole token. */
export const untilToken = (tokens: number, { max, perMs }: RateLimit): number =>
  Math.ceil(((1 - tokens) * perMs) / max);

/** The instant at which a queue's bucket holds a whole token: now, if it does. */
export function* nextTokenAt(turn: Turn, queue: string, limit: RateLimit): Program<number> {
  const tokens = refill(yield* getCell(kind("rate"), queue), limit, turn.now);
  return turn.now + Math.max(0, untilToken(tokens, limit));
}

/** How many claims the queue's limit allows now, and when the next one after that. */
export function* allowance(
  turn: Turn,
  queue: string,
  limit: RateLimit,
): Program<{ readonly tokens: number; readonly take: (count: number) => Program<void> }> {
  const bucket = yield* getCell(kind("rate"), queue);
  const tokens = refill(bucket, limit, turn.now);
  return {
    tokens,
    *take(count) {
      // A bucket from the future, after the clock was set back, begins to fill from now on.
      if (count > 0 || (bucket && bucket.at > turn.now))
        yield* putCells(kind("rate"), [[queue, { tokens: tokens - count, at: turn.now }]]);
    },
  };
}
