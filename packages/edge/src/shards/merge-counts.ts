import type { JobCounts } from "@quayside/core";
import type { ShardStanding } from "./shard-in-store.ts";

/**
 * Adds up the counts of all shards of a queue.
 *
 * @param settingsOf reads the queue's settings in a shard.
 */
export async function mergeCounts(
  all: readonly JobCounts[],
  settingsOf: (shard: number) => Promise<ShardStanding>,
): Promise<JobCounts> {
  const isPaused = async (index: number) =>
    all[index]?.paused === true ||
    // The queue has no layout in this shard yet; it will copy the paused state from the first shard.
    (index > 0 && (await settingsOf(index)).count === undefined);
  const paused = all[0]?.paused === true || all.every((one) => one.paused);
  const sum = (state: Exclude<keyof JobCounts, "paused" | "partial">) =>
    all.reduce((count, one) => count + one[state], 0);
  return {
    waiting: sum("waiting"),
    delayed: sum("delayed"),
    active: sum("active"),
    completed: sum("completed"),
    failed: sum("failed"),
    cancelled: sum("cancelled"),
    paused: paused && (await Promise.all(all.map((_, index) => isPaused(index)))).every(Boolean),
  };
}
