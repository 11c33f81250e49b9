export { type QueueApiOptions, queueApi } from "./api/app.ts";
export {
  type Authenticate,
  anyOf,
  bearerTokens,
  type Grant,
  type QuotaOption,
  type Scope,
  type StaticGrant,
  type Tokens,
} from "./api/auth.ts";
export { type JwtClaims, type JwtOptions, jwtTokens } from "./api/jwt.ts";
export type { JwtAlgorithm, JwtKey, JwtKeys } from "./api/jwt-keys.ts";
export { API_LIMITS, type ApiLimits } from "./api/limits.ts";
export { type OpenApiOptions, openApiDocument } from "./api/openapi.ts";
export type { OptionCaps } from "./api/option-caps.ts";
export type { FieldError, Problem } from "./api/problem.ts";
export type { RateLimiter } from "./api/rate-limit.ts";
export type {
  ClearParameters,
  ExchangeBody,
  JobBody,
  ListParameters,
  RetryParameters,
  ScheduleBody,
  SettingsBody,
  UpdateBody,
} from "./api/request-schemas.ts";
export type { RouteInfo } from "./api/route.ts";
export { API_ROUTES } from "./api/routes.ts";
export type { OnceOptions } from "./bridges/bridge-idempotency.ts";
export { fromQueueBatch, type QueueBatchOptions, type QueueBatchResult } from "./bridges/queue-batch.ts";
export { fromScheduled } from "./bridges/scheduled.ts";
export type { ConsumerBinding, Dispatch } from "./dispatch/dispatch.ts";
export { type JobConsumerEntrypoint, type JobConsumerOptions, jobConsumer } from "./dispatch/job-consumer.ts";
export type { JobTarget } from "./dispatch/job-target.ts";
export {
  type DefinedQueuesOptions,
  type DurableQueue,
  type DurableQueueClass,
  type DurableQueueOptions,
  durableQueue,
  type JobsOfQueues,
  type Usage,
} from "./object/durable-queue.ts";
export { type EdgeQueueOptions, edgeQueue } from "./object/edge-queue.ts";
export { type EmbeddedQueue, type EmbedQueueOptions, embeddedQueues, embedQueue } from "./object/embed-queue.ts";
export type { AlarmHandler, AlarmInfo } from "./object/user-alarm.ts";
export {
  type QueueCall,
  type QueueNamespace,
  type QueueRpc,
  queueStub,
  type Reply,
  type SentError,
  type ShardVerbs,
} from "./rpc/queue-rpc.ts";
export { StubDriver } from "./rpc/stub-driver.ts";
export { type KeyOf, shardOfKey } from "./shards/route.ts";
export type { ShardPort } from "./shards/shard-port.ts";
export { type ShardedDriver, type ShardedDriverOptions, shardedDriver } from "./shards/sharded-driver.ts";
