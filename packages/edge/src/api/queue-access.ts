import { QuaysideError, type ShardsOption, systemClock } from "@quayside/core";
import { checkNamespace, type QueueNamespace, queueStub } from "../rpc/queue-rpc.ts";
import { StubDriver } from "../rpc/stub-driver.ts";
import { Layout } from "../shards/layout.ts";
import { checkSplittable } from "../shards/names.ts";
import { type ShardedDriver, shardedDriver } from "../shards/sharded-driver.ts";
import { changeStream } from "../streams/change-stream.ts";

export type QueueDriver = StubDriver | ShardedDriver;

/** Creates the drivers and event streams by which the API reaches the objects of a queue. */
export interface QueueAccess<Env extends object> {
  driver(env: Env, queue: string): QueueDriver;
  /** Opens a stream of the queue's changes as server-sent events. */
  events(env: Env, queue: string): Promise<ReadableStream<Uint8Array>>;
}

/**
 * Creates the access to the queues of a namespace.
 *
 * @throws {QuaysideError} `invalid_option` if `shards` is invalid.
 */
export function queueAccess<Env extends object>(
  object: (env: Env) => QueueNamespace,
  shards: Readonly<Record<string, ShardsOption>> = {},
): QueueAccess<Env> {
  for (const [queue, option] of Object.entries(shards)) {
    checkSplittable(queue);
    new Layout(option);
  }
  const split = (queue: string) => (Object.hasOwn(shards, queue) ? shards[queue] : undefined);
  const namespaceOf = (env: Env) => {
    try {
      return checkNamespace(object(env));
    } catch (cause) {
      // Reported as `internal`: a missing binding is a mistake of the server's operator, not of the caller.
      throw new QuaysideError("internal", "queueApi: object(env) gave no namespace.", {}, cause);
    }
  };
  return {
    driver(env, queue) {
      const option = split(queue);
      return option === undefined
        ? new StubDriver(() => queueStub(namespaceOf(env), queue))
        : shardedDriver(namespaceOf(env), queue, { shards: option, memos: true });
    },
    async events(env, queue) {
      const option = split(queue);
      if (option === undefined) return queueStub(namespaceOf(env), queue).events(queue);
      const driver = shardedDriver(namespaceOf(env), queue, { shards: option });
      return changeStream((listener) => driver.watch(listener), systemClock, queue);
    },
  };
}
