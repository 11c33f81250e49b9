import { QuaysideError } from "@quayside/core";

/** Maximum number of shards of a queue, because a call about the whole queue asks all of them. */
export const SHARDS_LIMIT = 1_000;

/**
 * Returns the name of a shard's object. The first shard's object has the queue's name, so an unsplit queue is the first
 * shard when it is split. A queue named like a shard (`mail#1`) shares the object with the shard but no jobs, because
 * an object can hold several queues.
 */
export const shardName = (queue: string, shard: number): string => (shard === 0 ? queue : `${queue}#${shard}`);

/** Returns the number of the shard whose object has this name; 0 for any other name. */
export function shardOfName(name: string | undefined): number {
  const shard = Number(/#([1-9]\d{0,2})$/.exec(name ?? "")?.[1] ?? 0);
  return shard < SHARDS_LIMIT ? shard : 0;
}

/**
 * Checks that a queue in the object of this name can be split. Default name of the object: the queue's.
 *
 * @throws {QuaysideError} `invalid_option` if the name has the form of a shard's.
 */
export function checkSplittable(queue: string): void {
  if (shardOfName(queue) === 0) return;
  throw new QuaysideError(
    "invalid_option",
    `Queue ${JSON.stringify(queue)} cannot be split: a name that ends in # and a number is that of a shard.`,
    { option: "shards", queue },
  );
}

/**
 * Converts the text of a shard's number.
 *
 * @throws {QuaysideError} `invalid_option` if there is no such shard.
 */
export function checkShard(text: string, reach: number): number {
  if (/^\d{1,4}$/.test(text) && Number(text) < reach) return Number(text);
  throw new QuaysideError("invalid_option", `There is no shard ${JSON.stringify(text)}: they are 0 to ${reach - 1}.`, {
    option: "only",
  });
}
