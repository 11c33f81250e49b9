import type { Driver } from "@quayside/core";
import type { Pages } from "@quayside/core/engine";
import type { ShardVerbs } from "../rpc/queue-rpc.ts";

/** One shard, as the driver of the whole queue sees it: a driver that answers what only shards are asked. */
export interface ShardPort extends Driver, Pages {
  shard<Verb extends keyof ShardVerbs>(verb: Verb, ask: ShardVerbs[Verb]["ask"]): Promise<ShardVerbs[Verb]["answer"]>;
  /** Tells of this queue too: see `watch`. */
  follow(queue: string): void;
  /** See `ChangeFeed.heard`. */
  heard(queue: string): number | undefined;
  /** See `ChangeFeed.touch`. */
  touch(queue: string): void;
}
