import {
  type JobMap,
  type PassJobs,
  Queue,
  type QueueDefinition,
  type QueueOptions,
  type ShardsOption,
  type UntypedJobs,
} from "@quayside/core";
import { checkNamespace, type QueueNamespace, queueStub } from "../rpc/queue-rpc.ts";
import { StubDriver } from "../rpc/stub-driver.ts";
import { shardedDriver } from "../shards/sharded-driver.ts";

/** Options of `edgeQueue`. */
export interface EdgeQueueOptions<Jobs extends JobMap> extends QueueOptions<Jobs> {
  /**
   * Name of the object that holds the queue; with `shards`, of the first object, from which the names of the others are
   * made. Must be the same wherever the queue is used. Default: the queue's name.
   */
  readonly object?: string | undefined;
  /**
   * Number of objects that the queue is split over. Must be the same wherever the queue is used. Default: one object.
   */
  readonly shards?: ShardsOption | undefined;
}

/**
 * Creates a `Queue` whose jobs are stored in a Durable Object (or several), for any Worker that has the binding.
 *
 * @throws {QuaysideError} `invalid_option` if `shards` is invalid or the binding is missing.
 * @example
 * const queue = edgeQueue(env.MAIL_QUEUE, mail); // mail = defineQueue("mail", { jobs, shards: 4 })
 * await queue.addJob("email", { to, subject, body });
 */
export function edgeQueue<Jobs extends JobMap>(
  namespace: QueueNamespace,
  queue: QueueDefinition<Jobs>,
  options?: Omit<EdgeQueueOptions<Jobs>, "jobs" | "shards">,
): Queue<Jobs>;
export function edgeQueue<Jobs extends JobMap = UntypedJobs>(
  namespace: QueueNamespace,
  name: string,
  options: EdgeQueueOptions<Jobs> & { readonly jobs: Jobs },
): Queue<Jobs>;
export function edgeQueue<Jobs extends JobMap = UntypedJobs>(
  namespace: QueueNamespace & PassJobs<Jobs>,
  name: string,
  options?: EdgeQueueOptions<Jobs>,
): Queue<Jobs>;
export function edgeQueue<Jobs extends JobMap>(
  namespace: QueueNamespace,
  queue: string | QueueDefinition<Jobs>,
  given: EdgeQueueOptions<Jobs> = {},
): Queue<Jobs> {
  checkNamespace(namespace);
  const name = typeof queue === "object" ? queue.name : queue;
  const { shards, object = name, ...options } = typeof queue === "object" ? { ...given, shards: queue.shards } : given;
  const driver =
    shards === undefined
      ? new StubDriver(() => queueStub(namespace, object))
      : shardedDriver(namespace, name, { shards, object });
  return new Queue<Jobs>(queue as string, driver, options as QueueOptions<Jobs> & { readonly jobs: Jobs });
}
