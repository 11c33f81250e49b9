// The kernel, and the plugins that an app imports. Bundles contain only imported plugins.
export { type MiniMemoryDriverOptions, memoryDriver } from "./drivers/mini-memory-driver.ts";
export type { Driver } from "./engine/driver.ts";
export type { Plugin } from "./engine/plugin.ts";
export type { JobCounts } from "./engine/verbs.ts";
export { type ErrorCode, isQuaysideError, QuaysideError, RetryAfterError, UnrecoverableError } from "./job/errors.ts";
export { defineJob, defineJobs, type } from "./job/job-map.ts";
export type { JobOptions } from "./job/job-options.ts";
export type { JobRecord } from "./job/job-record.ts";
export {
  admin,
  dedupe,
  expiry,
  flows,
  groups,
  idempotency,
  inspect,
  maxActive,
  maxWaiting,
  rateLimit,
  unknownNames,
} from "./plugins/named-plugins.ts";
export { recurrences } from "./plugins/recurrences.ts";
export { addBatch, addFlow, addSequence } from "./queue/flow-builder.ts";
export type { JobToAdd } from "./queue/kernel-queue.ts";
export { MiniQueue as Queue, type MiniQueueOptions as QueueOptions } from "./queue/mini-queue.ts";
export { clear, configure, list, promote, retry, retryAll, update } from "./queue/operate.ts";
export { QueueWorker } from "./queue/queue-worker.ts";
export { schedule, schedules, unschedule } from "./queue/recurrences.ts";
export { waitFor } from "./queue/wait-for.ts";
