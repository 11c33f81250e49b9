export { type IndexedDbDriverOptions, indexedDbDriver } from "./indexed-db-driver.ts";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";
export { type Tabs, tabs } from "./tabs.ts";
