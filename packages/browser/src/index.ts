export type { TabsOption } from "./attendance.ts";
export { type ConnectivityOptions, connectivity } from "./connectivity.ts";
export { deleteDatabase } from "./delete-database.ts";
export { type IndexedDbDriverOptions, indexedDbDriver } from "./indexed-db-driver.ts";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";
export { requestPersistence, type StorageHealth, storageHealth } from "./storage-health.ts";
export { type Tabs, tabs } from "./tabs.ts";
