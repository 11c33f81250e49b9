import { QuaysideError } from "@quayside/core";

/** Shards of one queue, at most: each is asked where a queue is looked at as a whole. */
export const SHARDS_LIMIT = 1_000;

/**
 * The name of a shard's object. The first bears the queue's own name, so that a queue in one piece is the first shard of
 * the queue that it grows into. A queue named like another's shard (`mail#1`) shares an object with it, and nothing else:
 * an object may hold several queues.
 */
export const shardName = (queue: string, shard: number): string => (shard === 0 ? queue : `${queue}#${shard}`);

/** Which shard of its queue the object of this name is. */
export function shardOfName(name: string | undefined): number {
  const shard = Number(/#([1-9]\d{0,2})$/.exec(name ?? "")?.[1] ?? 0);
  return shard < SHARDS_LIMIT ? shard : 0;
}

/** @throws {QuaysideError} `invalid_option` for a queue whose own name says that it is a shard. */
export function checkSplittable(queue: string): void {
  if (shardOfName(queue) === 0) return;
  throw new QuaysideError(
    "invalid_option",
    `Queue ${JSON.stringify(queue)} cannot be split: a name that ends in # and a number is that of a shard.`,
    { option: "shards", queue },
  );
}
