export { type Clock, systemClock } from "./driver/clock.ts";
export type { Driver, Enlistment } from "./driver/driver.ts";
export { memoryDriver } from "./driver/memory-driver.ts";
export { StoreDriver, type StoreDriverOptions } from "./driver/store-driver.ts";
export { DEFAULTS } from "./job/defaults.ts";
export { type Duration, toMs } from "./job/duration.ts";
export {
  type ErrorCode,
  type ErrorDetails,
  LeaseLostError,
  QuaysideError,
  RetryAfterError,
  type StoredError,
  toStoredError,
  UnrecoverableError,
} from "./job/errors.ts";
export {
  type DefinedJobs,
  defineJobs,
  type HandledPayloadOf,
  type JobDefinition,
  type JobMap,
  type JobName,
  type PayloadIssue,
  type PayloadOf,
  type StandardSchema,
  validatePayload,
} from "./job/job-map.ts";
export { type Json, toJsonText } from "./job/json.ts";
export type { FlowPart, NewJob } from "./job/new-job.ts";
export {
  type DedupeOption,
  type JobDefaults,
  type JobOptions,
  type ResolvedOptions,
  resolveOptions,
} from "./job/options.ts";
export type {
  ChildFailure,
  Dedupe,
  DedupeMode,
  EndState,
  JobKey,
  JobRecord,
  JobState,
  Keep,
  StoredJob,
  StoredOptions,
} from "./job/record.ts";
export {
  type NextCron,
  nextOccurrence,
  type RecurrenceOption,
  type RecurrenceRule,
  resolveRecurrence,
} from "./job/recurrence.ts";
export type { Backoff, BackoffOption } from "./job/retry.ts";
export { JobBuilder } from "./queue/job-builder.ts";
export { type JobToAdd, Queue, type QueueOptions, type RunOptions } from "./queue/queue.ts";
export { attentionAt } from "./store/inspect.ts";
export { MemoryStore } from "./store/memory-store.ts";
export {
  type Change,
  COLLECTIONS,
  type Collection,
  type Key,
  type KeyPart,
  type Liveness,
  type Operation,
  type Program,
  type Records,
  type Store,
} from "./store/store.ts";
export type {
  AttemptReport,
  ChildOutcome,
  ClaimedJob,
  ClaimQueue,
  Command,
  CommandReply,
  EnqueueReceipt,
  ExchangeReply,
  ExchangeRequest,
  JobCounts,
  JobFilter,
  JobPage,
  ListQuery,
  QueueConfig,
  RateLimit,
  Schedule,
  Settlement,
} from "./store/verbs.ts";
export type { Handler, HandlerContext } from "./worker/handler-context.ts";
export { Worker, type WorkerOptions, type WorkerQueue, type WorkerStatus } from "./worker/worker.ts";
export type { WorkerEvents } from "./worker/worker-events.ts";
