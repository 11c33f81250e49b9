export type { WorkerEvents } from "./attempt/worker-events.ts";
export { type MemoryDriverOptions, memoryDriver } from "./drivers/memory-driver.ts";
export { type Clock, systemClock } from "./engine/clock.ts";
export type { Connectivity, Driver } from "./engine/driver.ts";
export type { Plugin } from "./engine/plugin.ts";
export type { ClaimQueue, JobCounts, JobFilter, JobPage, QueueConfig, RateLimit, Schedule } from "./engine/verbs.ts";
export * as DEFAULTS from "./job/defaults.ts";
export { type Duration, toMs } from "./job/duration.ts";
export {
  type DetailsByCode,
  type DetailsOf,
  type ErrorCode,
  type ErrorDetails,
  type HttpCode,
  isA,
  isQuaysideError,
  LeaseLostError,
  QuaysideError,
  type QuaysideErrorOf,
  RetryAfterError,
  StorageFullError,
  type StoredCode,
  type ThrownCode,
  UnrecoverableError,
} from "./job/errors.ts";
export type { FlowIds, FlowJob, FlowNode } from "./job/flow.ts";
export type {
  BackoffFunction,
  ChildOutcome,
  Handler,
  HandlerContext,
  JobRequest,
  Middleware,
  PublishRequest,
} from "./job/handler.ts";
export {
  defineJob,
  defineJobs,
  type JobDefinition,
  type PayloadIssue,
  type StandardSchema,
  type,
} from "./job/job-map.ts";
export type { DedupeOption, JobDefaults, JobOptions } from "./job/job-options.ts";
export type {
  ChildFailure,
  DedupeMode,
  EndState,
  JobId,
  JobRecord,
  JobState,
  Keep,
  Requirement,
} from "./job/job-record.ts";
export type {
  AddArguments,
  DefinedJobs,
  HandledPayloadOf,
  JobHandler,
  JobMap,
  JobName,
  JobOf,
  PassJobs,
  PayloadOf,
  ResultOf,
  TypedDefinition,
  UntypedJobs,
} from "./job/job-types.ts";
export type { Json } from "./job/json.ts";
export type { JsonInput, Jsonify } from "./job/json-types.ts";
export * as LIMITS from "./job/limits.ts";
export type { NextCron, RecurrenceOption } from "./job/next-occurrence.ts";
export type { Backoff, BackoffOption, BackoffRule } from "./job/retry.ts";
export { SealedError, type StoredError } from "./job/stored-error.ts";
export { everything } from "./plugins/all-plugins.ts";
export type { BatchContext, BatchHandler, BatchJob, BatchOptions } from "./queue/batch-handler.ts";
export {
  type DeclaredSchedules,
  type DefineQueueOptions,
  defineQueue,
  type QueueDefinition,
  type RoutedJob,
  type ShardsOption,
  type ShardsOptions,
} from "./queue/define-queue.ts";
export { type AesGcmKeys, type AesKey, aesGcm, type Encryption } from "./queue/encryption.ts";
export type { JobHandlers } from "./queue/handle.ts";
export type { JobBuilder } from "./queue/job-builder.ts";
export {
  type DispatchOptions,
  Job,
  type JobClass,
  type JobClassOptions,
  type JobHooks,
  type JobInstance,
} from "./queue/job-class.ts";
export type { JobToAdd } from "./queue/kernel-queue.ts";
export type { ManagerMetrics } from "./queue/manager-metrics.ts";
export type {
  JobRegistration,
  JobToEnqueue,
  JobToPublish,
  QueueManagerOptions,
  QueueSettings,
} from "./queue/manager-options.ts";
export type { JobMetrics, Percentiles, QueueMetrics } from "./queue/metrics.ts";
export type { ClearOption, ConfigureOption, FilterOption, RetryAllOption } from "./queue/operate.ts";
export { Queue, type QueueListener, type QueueOptions } from "./queue/queue.ts";
export type { QueueConnection } from "./queue/queue-connection.ts";
export type { SharedOptions } from "./queue/queue-context.ts";
export type { QueueControl } from "./queue/queue-control.ts";
export { QueueManager } from "./queue/queue-manager.ts";
export { type AnyQueue, QueueWorker, type WorkedQueue } from "./queue/queue-worker.ts";
export type { RecurringJob, RecurringOptions } from "./queue/recurrences.ts";
export {
  openTelemetry,
  type Telemetry,
  type TelemetrySpan,
  type TelemetrySpanOptions,
  type TelemetryTracer,
} from "./queue/telemetry.ts";
export type { WaitOptions } from "./queue/wait-for.ts";
export type { StopOptions } from "./worker/life-cycle.ts";
export type { RunOptions, WorkerStatus } from "./worker/worker-options.ts";
