export { type ConnectivityOptions, connectivity } from "./connectivity.ts";
export { deleteDatabase } from "./idb/delete-database.ts";
export { type IndexedDbDriver, type IndexedDbDriverOptions, indexedDbDriver } from "./idb/indexed-db-driver.ts";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./idb/indexed-db-store.ts";
export { requestPersistence, type StorageHealth, storageHealth } from "./idb/storage-health.ts";
export type { Live, LiveOptions, LiveState } from "./live/live-store.ts";
export { type LivePage, type LiveQuery, liveCounts, liveJobs } from "./live/live-values.ts";
export { type BroadcastEvents, broadcastEvents, type RemoteEvents, workerEvents } from "./live/worker-events.ts";
export type { OutboxEvents } from "./outbox/events.ts";
export {
  type OutboxDriver,
  type OutboxDriverOptions,
  type OutboxState,
  outboxDriver,
} from "./outbox/outbox-driver.ts";
export type { Drainable } from "./service-worker/background-drain.ts";
export { type BackgroundSyncOptions, handleBackgroundSync } from "./service-worker/background-sync.ts";
export {
  type RequestSyncOptions,
  requestBackgroundSync,
  type SyncRequest,
} from "./service-worker/request-background-sync.ts";
export { type WebLockLiveness, webLockLiveness } from "./tabs/web-lock-liveness.ts";
export type { TabsOption } from "./tabs/worker-activity.ts";
