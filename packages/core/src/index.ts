export { type Clock, systemClock } from "./driver/clock.ts";
export type { Connectivity, Driver, Enlistment, Shift } from "./driver/driver.ts";
export { type MemoryDriverOptions, memoryDriver } from "./driver/memory-driver.ts";
export { StoreDriver, type StoreDriverOptions } from "./driver/store-driver.ts";
export { DEFAULTS } from "./job/defaults.ts";
export { type Duration, LONGEST_DURATION_MS, toMs } from "./job/duration.ts";
export {
  type ErrorCode,
  type ErrorDetails,
  fromStoredError,
  hasCode,
  isA,
  LeaseLostError,
  QuaysideError,
  RetryAfterError,
  SEALED,
  SealedError,
  StorageFullError,
  type StoredError,
  thrownIn,
  toStoredError,
  UnrecoverableError,
} from "./job/errors.ts";
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
  type DefinedJobs,
  defineJob,
  defineJobs,
  type HandledPayloadOf,
  type JobDefinition,
  type JobMap,
  type JobName,
  jobDefaultsOf,
  type PayloadIssue,
  type PayloadOf,
  type ResultOf,
  type StandardSchema,
  type TypedDefinition,
  validatePayload,
  validateResult,
} from "./job/job-map.ts";
export { canonicalText, type Json, toBoundedJson, toJsonText } from "./job/json.ts";
export { LIMITS } from "./job/limits.ts";
export type { FlowPart, NewJob } from "./job/new-job.ts";
export {
  type DedupeOption,
  type JobDefaults,
  type JobOptions,
  type OptionParser,
  type OptionParsers,
  type ResolvedOptions,
  resolveOptions,
} from "./job/options.ts";
export { checkName, checkPathName, shardOfId } from "./job/place.ts";
export type {
  ChildFailure,
  Dedupe,
  DedupeMode,
  EndState,
  JobKey,
  JobRecord,
  JobState,
  Keep,
  Requirement,
  StoredJob,
  StoredOptions,
} from "./job/record.ts";
export {
  LAST_INSTANT,
  type NextCron,
  nextOccurrence,
  type RecurrenceOption,
  type RecurrenceRule,
  resolveRecurrence,
} from "./job/recurrence.ts";
export { failJob, Release, releaseJob } from "./job/release.ts";
export { reportUnheard } from "./job/report.ts";
export type { Backoff, BackoffOption } from "./job/retry.ts";
export { retryAfterMs } from "./job/retry.ts";
export { cutText, describe } from "./job/text.ts";
export { EVERY_OPTION } from "./plugins/every-option.ts";
export { everything } from "./plugins/everything.ts";
export { planFlows } from "./plugins/flow-plan.ts";
export { comparePositions } from "./plugins/inspect.ts";
export { type Admission, enqueueWithin, quota, spendQuota } from "./plugins/quota.ts";
export { REPLY_BYTES, Reply } from "./plugins/reply.ts";
export {
  addToShard,
  conflictOf,
  liveGroups,
  NOT_HELD,
  recallInShard,
  type ShardAdd,
  type ShardAdded,
  type ShardLayout,
  type ShardSettings,
  type ShardStanding,
  shardSettings,
  unrouted,
} from "./plugins/shard.ts";
export { type AesGcmKeys, type AesKey, aesGcm, type Encryption } from "./queue/encryption.ts";
export type { FlowIds, FlowJob, FlowNode } from "./queue/flow.ts";
export { JobBuilder } from "./queue/job-builder.ts";
export {
  type DispatchOptions,
  Job,
  type JobClass,
  type JobClassOptions,
  type JobHooks,
  type JobInstance,
} from "./queue/job-class.ts";
export type { ManagerMetrics } from "./queue/manager-metrics.ts";
export type {
  JobRegistration,
  JobToEnqueue,
  JobToPublish,
  QueueManagerOptions,
  QueueSettings,
} from "./queue/manager-options.ts";
export type { JobMetrics, Percentiles, QueueMetrics } from "./queue/metrics.ts";
export { prepareNow } from "./queue/prepare-now.ts";
export {
  type JobToAdd,
  Queue,
  type QueueListener,
  type QueueOptions,
  type RunOptions,
} from "./queue/queue.ts";
export type { QueueConnection } from "./queue/queue-connection.ts";
export type {
  ClearOption,
  ConfigureOption,
  FilterOption,
  QueueControl,
  RecurringOptions,
  RetryAllOption,
} from "./queue/queue-control.ts";
export type { SharedOptions } from "./queue/queue-home.ts";
export { QueueManager } from "./queue/queue-manager.ts";
export {
  openTelemetry,
  type Telemetry,
  type TelemetrySpan,
  type TelemetrySpanOptions,
  type TelemetryTracer,
} from "./queue/telemetry.ts";
export type { WaitOptions } from "./queue/wait-for.ts";
export { getCell, kind, putCells, removeCells } from "./store/cells.ts";
export { checkNames, enqueue } from "./store/enqueue.ts";
export { checkWorker } from "./store/exchange.ts";
export { attentionAt, attentionOf, awaitsVerdict, storedQueues } from "./store/inspect.ts";
export { MemoryStore } from "./store/memory-store.ts";
export { isOperation } from "./store/operations.ts";
export { type Plugin, Plugins } from "./store/plugin.ts";
export type { ReplyRoom } from "./store/reply-room.ts";
export {
  type AlarmWish,
  CHANGE_KINDS,
  type Change,
  COLLECTION_NAMES,
  COLLECTIONS,
  type Collection,
  type Key,
  type KeyPart,
  type Liveness,
  type Operation,
  type Program,
  type ProgramKind,
  type Records,
  type Step,
  type Store,
} from "./store/store.ts";
export type { Turn } from "./store/turn.ts";
export type {
  AttemptReport,
  ChildrenPage,
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
  NumberedRequest,
  QueueConfig,
  Quota,
  RateLimit,
  Schedule,
  Settlement,
} from "./store/verbs.ts";
export { partOfRefused, type RefusedPart } from "./worker/exchange-client.ts";
export type {
  Producer,
  WorkerEvents,
  WorkerOptions,
  WorkerQueue,
  WorkerStatus,
  WorkPlace,
} from "./worker/options-and-events.ts";
export { Worker } from "./worker/worker.ts";
