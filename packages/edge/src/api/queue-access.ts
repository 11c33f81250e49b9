import { systemClock } from "@quayside/core";
import { changeStream } from "../change-stream.ts";
import { type QueueNamespace, queueStub } from "../queue-rpc.ts";
import { Layout, type ShardsOption } from "../shards/layout.ts";
import { checkSplittable } from "../shards/names.ts";
import { type ShardedDriver, shardedDriver } from "../shards.ts";
import { StubDriver } from "../stub-driver.ts";

export type QueueDriver = StubDriver | ShardedDriver;

/** How the API gets at the object of a queue, or at the objects over which it is split. */
export interface QueueAccess<Env extends object> {
  driver(env: Env, queue: string): QueueDriver;
  /** Changes of the queue as server-sent events. */
  events(env: Env, queue: string): Promise<ReadableStream<Uint8Array>>;
}

/** @throws {QuaysideError} `invalid_option` for `shards` that cannot be. */
export function queueAccess<Env extends object>(
  object: (env: Env) => QueueNamespace,
  shards: Readonly<Record<string, ShardsOption>> = {},
): QueueAccess<Env> {
  for (const [queue, option] of Object.entries(shards)) {
    checkSplittable(queue);
    new Layout(option);
  }
  const split = (queue: string) => (Object.hasOwn(shards, queue) ? shards[queue] : undefined);
  return {
    driver(env, queue) {
      const option = split(queue);
      return option === undefined
        ? new StubDriver(() => queueStub(object(env), queue))
        : shardedDriver(object(env), queue, { shards: option, memos: true });
    },
    async events(env, queue) {
      const option = split(queue);
      if (option === undefined) return queueStub(object(env), queue).events(queue);
      const driver = shardedDriver(object(env), queue, { shards: option });
      return changeStream((listener) => driver.watch(listener), systemClock, queue);
    },
  };
}
