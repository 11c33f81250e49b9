// For authors of stores, drivers and plugins. Experimental: any release may change it.

export type { Producer } from "./attempt/handler-context.ts";
export { MemoryStore } from "./drivers/memory-store.ts";
export {
  holdsAfter,
  homeOfToken,
  isBusyElsewhere,
  type Late,
  leftAfter,
  merge,
  named,
  type Part,
  partFor,
  queuesLeft,
  type RecallingReply,
  type RecallingRequest,
} from "./drivers/places/exchange-parts.ts";
export { PATIENCE_MS } from "./drivers/places/late-place.ts";
export { WorkerPlaces, type WorkerPlacesOptions } from "./drivers/places/worker-places.ts";
export { ChangeFeed, type ChangeFeedOptions } from "./drivers/remote/change-feed.ts";
export { parseChange } from "./drivers/remote/change-stream.ts";
export { withAllChildren } from "./drivers/remote/child-pages.ts";
export { Closable } from "./drivers/remote/closable.ts";
export { isTrouble, Outcomes, storedInPart } from "./drivers/remote/partial-outcomes.ts";
export { allSchedules, type FoundJobs, type Pages } from "./drivers/remote/reply-pages.ts";
export { within } from "./drivers/remote/time-limits.ts";
export { shown, spellWorker } from "./drivers/remote/worker-label.ts";
export { StoreDriver } from "./drivers/store-driver.ts";
export type { StoreDriverOptions } from "./drivers/store-driver-options.ts";
export { type CellKind, getCell, kind, putCells, removeCells, sweepCells } from "./engine/cells.ts";
export { alwaysActive, type Registration, timeLiveness, type WorkerSession } from "./engine/driver.ts";
export { addJobs, checkNames, enqueue } from "./engine/enqueue.ts";
export { checkWorker } from "./engine/exchange.ts";
export { locate, moveEachJob } from "./engine/job-writer.ts";
export { changedSettings } from "./engine/kernel-commands.ts";
export type { Lapsing } from "./engine/lapsing.ts";
export { Plugins } from "./engine/plugin.ts";
export { checkProtocol, PROTOCOL, PROTOCOL_HEADER } from "./engine/protocol.ts";
export { attentionAt, attentionOf, awaitsVerdict, blockedLanes, getJob, storedQueues } from "./engine/read-queue.ts";
export { partOfRefused, type RefusedPart } from "./engine/refused-part.ts";
export type { ReplyRoom } from "./engine/reply-budget.ts";
export {
  CHANGE_KINDS,
  type Change,
  COLLECTION_NAMES,
  COLLECTIONS,
  type Collection,
  type DedupeRecord,
  type Held,
  type IdRecord,
  type Key,
  type KeyPart,
  type LeaseRecord,
  type Liveness,
  type Operation,
  type Program,
  type ProgramKind,
  type QueueSettings as StoredSettings,
  type Records,
  type Step,
  type Store,
  type TallyRecord,
} from "./engine/store.ts";
export {
  after,
  compareKeys,
  get,
  isOperation,
  put,
  type Range,
  remove,
  removeRange,
  scan,
  scanKeys,
  startingWith,
} from "./engine/store-operations.ts";
export type { Transaction } from "./engine/transaction.ts";
export type {
  AttemptReport,
  BatchClaim,
  ChildrenPage,
  ClaimedJob,
  Command,
  CommandReply,
  EnqueueReceipt,
  ExchangeReply,
  ExchangeRequest,
  ListQuery,
  NumberedRequest,
  Settlement,
} from "./engine/verbs.ts";
export { cutText, describe } from "./job/cut-text.ts";
export { LONGEST_DURATION_MS } from "./job/duration.ts";
export { refused } from "./job/errors.ts";
export { handlerScope } from "./job/handler-scope.ts";
export {
  blockedLane,
  blockOf,
  checkName,
  checkPathName,
  decodeId,
  endStateOf,
  escapePart,
  keyText,
  queueOf,
  readyLane,
  sameKey,
  spellId,
  storeOfId,
} from "./job/job-keys.ts";
export { jobDefaultsOf, validatePayload, validateResult } from "./job/job-map.ts";
export { type OptionParser, type OptionParsers, type ResolvedOptions, resolveOptions } from "./job/job-options.ts";
export type { Dedupe, JobKey, StoredJob, StoredOptions } from "./job/job-record.ts";
export { canonicalText, toBoundedJson, toJsonText, utf8Bytes } from "./job/json.ts";
export type { FlowPart, NewJob } from "./job/new-job.ts";
export { LAST_INSTANT, nextOccurrence, type RecurrenceRule, resolveRecurrence } from "./job/next-occurrence.ts";
export { integer, oneOf } from "./job/option-checks.ts";
export { type JobDraft, type PrepareSettings, prepareJob } from "./job/prepare-job.ts";
export { failJob, plainDecisionOf, Release, releaseJob } from "./job/release-job.ts";
export { lent } from "./job/report-error.ts";
export { retryAfterMs } from "./job/retry.ts";
export { fromStoredError, SEALED, thrownIn, toStoredError } from "./job/stored-error.ts";
export { again, isUndelayed } from "./job/transitions.ts";
export { EVERY_OPTION } from "./plugins/all-options.ts";
export { dedupeKey, isTaken } from "./plugins/dedupe.ts";
export { planFlows } from "./plugins/flow-plan.ts";
export { type Family, type Member, membersOf } from "./plugins/flows.ts";
export { type GroupCell, SEATS } from "./plugins/group-seats.ts";
export { findOutcome, type Mark, runOnce } from "./plugins/idempotency.ts";
export { comparePositions } from "./plugins/inspect.ts";
export { adviseImport, inHookOrder } from "./plugins/plugin-imports.ts";
export { recurrencesOf, type ScheduleCell, toSchedule } from "./plugins/recurrences.ts";
export { declareSchedules, settingsOf } from "./queue/define-queue.ts";
export { workerQueueOf } from "./queue/job-runner.ts";
export { resolveSettings } from "./queue/operate.ts";
export { isEncrypted, prepareNow } from "./queue/prepare-jobs-sync.ts";
export { setInline } from "./queue/run-immediately.ts";
export { JobWorker } from "./worker/job-worker.ts";
export { Slots } from "./worker/slots.ts";
export type { JobWorkerOptions, WorkerQueue, WorkPlace } from "./worker/worker-options.ts";
