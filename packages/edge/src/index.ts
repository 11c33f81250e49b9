export { type QueueApiOptions, queueApi } from "./api/app.ts";
export { type Authenticate, bearerTokens, type Grant, type Scope, type Tokens } from "./api/auth.ts";
export type { ApiLimits } from "./api/limits.ts";
export type { FieldError, Problem } from "./api/problem.ts";
export { DurableQueue, type DurableQueueOptions, durableQueue, type Usage } from "./durable-queue.ts";
export { type QueueNamespace, type QueueRpc, queueStub, type Reply, type SentError } from "./queue-rpc.ts";
export { MIGRATIONS, type Migration, migrate } from "./sql-migrations.ts";
export { SqlStore } from "./sql-store.ts";
export { edgeQueue, StubDriver } from "./stub-driver.ts";
