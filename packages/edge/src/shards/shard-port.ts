import type { Driver } from "@quayside/core";
import type { Pages } from "@quayside/core/engine";
import type { ShardVerbs } from "../rpc/queue-rpc.ts";

/** The driver of one shard, with the verbs that exist only on shards. */
export interface ShardPort extends Driver, Pages {
  shard<Verb extends keyof ShardVerbs>(verb: Verb, ask: ShardVerbs[Verb]["ask"]): Promise<ShardVerbs[Verb]["answer"]>;
  /** Adds a queue whose changes are reported to the listeners of `watch`. */
  follow(queue: string): void;
  /** Returns a number that changes with the queue's changes in this shard: see `ChangeFeed.heard`. */
  heard(queue: string): number | undefined;
  /** Counts a change of the queue that the caller has made: see `ChangeFeed.touch`. */
  touch(queue: string): void;
}
