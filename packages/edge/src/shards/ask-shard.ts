import { QuaysideError } from "@quayside/core";
import type { EnqueueReceipt } from "@quayside/core/engine";
import type { ShardVerbs } from "../rpc/queue-rpc.ts";
import type { Layout } from "./layout.ts";
import type { ShardSettings } from "./shard-in-store.ts";
import type { ShardPort } from "./shard-port.ts";

/** Maximum number of changes of the layout that one call follows. A layout changes only with a deployment. */
export const LAYOUTS_MOST = 3;

/** The layout of a split queue (its number of shards), and the drivers of its shards. */
export interface ShardAsker {
  readonly layout: Layout;
  readonly shard: (index: number) => ShardPort;
}

/**
 * Adds units to a shard. If the shard has stored another layout than the caller's, reconciles the two.
 *
 * @returns the shard's receipts, or the new number of shards if the layout has changed.
 * @throws {QuaysideError} `invalid_option` if the shard's number of shards is neither the layout's `count` nor its
 * `previous`.
 */
export async function askShard(
  options: ShardAsker,
  first: ShardVerbs["add"]["ask"],
): Promise<readonly EnqueueReceipt[] | number> {
  const { layout, shard } = options;
  const { shard: index } = first;
  let ask = first;
  for (;;) {
    const answer = await shard(index).shard("add", ask);
    if ("count" in answer) return answer.count;
    if ("other" in answer) {
      // The first shard gets every layout change. A shard to which no job was added since may have missed it.
      const { count } =
        index === 0 ? { count: answer.other } : await shard(0).shard("settings", { queue: answer.queue });
      if (count !== layout.count || ask.layout.previous === answer.other)
        throw layout.refused(answer.queue, answer.other);
      ask = { ...ask, layout: { ...ask.layout, previous: answer.other } };
    } else if ("wants" in answer) {
      const given = await settingsOf(options, answer.wants);
      if (typeof given === "number") return given;
      ask = { ...ask, settings: { ...ask.settings, ...given } };
    } else {
      if (answer.told && index > 0) {
        // The jobs are stored, whether or not this call succeeds.
        const first = { shard: 0, jobs: [], queues: answer.told, layout: layout.asSent };
        await askShard(options, first).catch(() => {});
      }
      return answer.receipts;
    }
  }
}

/**
 * Returns the settings of queues that are new to a shard, read from the first shard.
 *
 * @returns the new number of shards, if the first shard has stored a newer layout.
 */
async function settingsOf(
  { layout, shard }: ShardAsker,
  queues: readonly string[],
): Promise<Readonly<Record<string, ShardSettings>> | number> {
  const settings: Record<string, ShardSettings> = {};
  for (const queue of queues) {
    const { count, previous, ...given } = await shard(0).shard("settings", { queue });
    const newer = count === undefined ? undefined : layout.newerOf(queue, { count, ...(previous && { previous }) });
    if (newer !== undefined) return newer;
    settings[queue] = layout.reach > 1 ? checked(queue, given) : given;
  }
  return settings;
}

/** Settings that would have to hold over all shards, so that a split queue cannot have them. */
export const LIMITED = ["rateLimit", "maxActive", "maxWaiting"] as const;

/**
 * Checks the settings that a shard copies, and returns them.
 *
 * @throws {QuaysideError} `invalid_option` if the queue has limits that would have to hold over all shards.
 */
function checked(queue: string, settings: ShardSettings): ShardSettings {
  const option = LIMITED.find((name) => settings[name] !== undefined);
  if (option === undefined) return settings;
  throw new QuaysideError(
    "invalid_option",
    `Queue ${queue} has a ${option}, which cannot hold over several shards. Lift it before the queue is split.`,
    { option, queue },
  );
}
