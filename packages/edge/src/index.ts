export { type QueueApiOptions, queueApi } from "./api/app.ts";
export { type Authenticate, bearerTokens, type Grant, type Scope, type Tokens } from "./api/auth.ts";
export type { ApiLimits } from "./api/limits.ts";
export type { FieldError, Problem } from "./api/problem.ts";
export { DurableQueue, type DurableQueueOptions, durableQueue, type Usage } from "./durable-queue.ts";
export { EmbeddedQueue, type EmbedQueueOptions, embeddedQueues, embedQueue } from "./embed-queue.ts";
export {
  type QueueCall,
  type QueueNamespace,
  type QueueRpc,
  queueStub,
  type Reply,
  type SentError,
} from "./queue-rpc.ts";
export { SqlStore } from "./sql-store.ts";
export { type EdgeQueueOptions, edgeQueue, StubDriver } from "./stub-driver.ts";
export type { AlarmHandler, AlarmInfo } from "./user-alarm.ts";
