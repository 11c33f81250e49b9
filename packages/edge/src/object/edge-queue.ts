import { type JobMap, Queue, type QueueOptions } from "@quayside/core";
import { checkNamespace, type QueueNamespace, queueStub } from "../rpc/queue-rpc.ts";
import { StubDriver } from "../rpc/stub-driver.ts";
import type { ShardsOption } from "../shards/layout.ts";
import { shardedDriver } from "../shards/sharded-driver.ts";

/** Options of `edgeQueue`. */
export interface EdgeQueueOptions<Jobs extends JobMap> extends QueueOptions<Jobs> {
  /** Name of the object that holds the queue, where it is not that of the queue. Not with `shards`. */
  readonly object?: string;
  /** Over how many objects the queue is split. Absent: it has one. The same wherever the queue is used. */
  readonly shards?: ShardsOption;
}

/**
 * The queue `name` in an object of its own, or in several, to be used from any Worker that has the binding.
 *
 * @throws {QuaysideError} `invalid_option` for `shards` that cannot be, and where the binding is missing.
 * @example
 * const queue = edgeQueue<Jobs>(env.MAIL_QUEUE, "mail");
 * await queue.addJob("email", { to, subject, body });
 */
export function edgeQueue<Jobs extends JobMap = Record<string, unknown>>(
  namespace: QueueNamespace,
  name: string,
  { shards, object = name, ...options }: EdgeQueueOptions<Jobs> = {},
): Queue<Jobs> {
  checkNamespace(namespace);
  const driver =
    shards === undefined
      ? new StubDriver(() => queueStub(namespace, object))
      : shardedDriver(namespace, name, { shards });
  return new Queue<Jobs>(name, driver, options as QueueOptions<Jobs>);
}
