export type { TabsOption } from "./attendance.ts";
export type { Drainable } from "./background-drain.ts";
export { type BackgroundSyncOptions, handleBackgroundSync } from "./background-sync.ts";
export { type ConnectivityOptions, connectivity } from "./connectivity.ts";
export { deleteDatabase } from "./delete-database.ts";
export { IndexedDbDriver, type IndexedDbDriverOptions, indexedDbDriver } from "./indexed-db-driver.ts";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";
export { type JobOf, type LivePage, type LiveQuery, liveCounts, liveJobs } from "./live.ts";
export type { Live, LiveOptions, LiveState } from "./live-store.ts";
export type { OutboxEvents } from "./outbox/events.ts";
export {
  OutboxDriver,
  type OutboxDriverOptions,
  type OutboxState,
  outboxDriver,
} from "./outbox-driver.ts";
export { type RequestSyncOptions, requestBackgroundSync, type SyncRequest } from "./request-background-sync.ts";
export { requestPersistence, type StorageHealth, storageHealth } from "./storage-health.ts";
export { type Tabs, tabs } from "./tabs.ts";
export { type BroadcastEvents, broadcastEvents, type RemoteEvents, workerEvents } from "./worker-events.ts";
