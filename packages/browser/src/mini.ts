// Drivers for the kernel and the plugins that an app names: see `@quayside/core/mini`.
export { type ConnectivityOptions, connectivity } from "./connectivity.ts";
export { deleteDatabase } from "./idb/delete-database.ts";
export type { IndexedDbDriver } from "./idb/indexed-db-driver.ts";
export { indexedDbDriver, type MiniIndexedDbDriverOptions } from "./idb/mini-indexed-db-driver.ts";
export type { TabsOption } from "./tabs/worker-activity.ts";
