export { IndexedDbDriver, type IndexedDbDriverOptions, indexedDbDriver } from "./indexed-db-driver.ts";
export { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";
export type { OutboxEvents } from "./outbox/events.ts";
export {
  OutboxDriver,
  type OutboxDriverOptions,
  type OutboxState,
  outboxDriver,
} from "./outbox-driver.ts";
export { type Tabs, tabs } from "./tabs.ts";
