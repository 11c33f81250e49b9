export { type QueueApiOptions, queueApi } from "./api/app.ts";
export { type Authenticate, bearerTokens, type Grant, type Scope, type Tokens } from "./api/auth.ts";
export type { ApiLimits } from "./api/limits.ts";
export type { FieldError, Problem } from "./api/problem.ts";
export { DurableQueue, type DurableQueueOptions, durableQueue, type Usage } from "./durable-queue.ts";
export { type EdgeQueueOptions, edgeQueue } from "./edge-queue.ts";
export {
  type QueueNamespace,
  type QueueRpc,
  queueStub,
  type Reply,
  type SentError,
  type ShardVerbs,
} from "./queue-rpc.ts";
export type { ShardsOption, ShardsOptions } from "./shards/layout.ts";
export { type KeyOf, type RoutedJob, shardOfKey } from "./shards/route.ts";
export type { ShardPort } from "./shards/shard-port.ts";
export { ShardedDriver, type ShardedDriverOptions, shardedDriver } from "./shards.ts";
export { SqlStore } from "./sql-store.ts";
export { StubDriver } from "./stub-driver.ts";
