export { type IndexedDbDriverOptions, indexedDbDriver } from "./indexed-db-driver.ts";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";
export { type JobOf, type LivePage, type LiveQuery, liveCounts, liveJobs } from "./live.ts";
export type { Live, LiveOptions, LiveState } from "./live-store.ts";
export { type Tabs, tabs } from "./tabs.ts";
