import type { NextCron } from "../job/next-occurrence.ts";
import { everything } from "../plugins/all-plugins.ts";
import { MemoryStore } from "./memory-store.ts";
import { StoreDriver, type StoreDriverOptions } from "./store-driver.ts";

/** Options of `memoryDriver`. */
export interface MemoryDriverOptions extends Omit<StoreDriverOptions, "plugins"> {
  /** Several drivers given one `MemoryStore` work on the same jobs. Default: a store of its own. */
  readonly store?: MemoryStore;
  /** Reads cron rules: `cron` from `@quayside/core/cron`. Absent: recurrences by cron are refused. */
  readonly cron?: NextCron;
}

/**
 * A driver whose jobs live in memory and die with the process: for tests and scripts.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", memoryDriver());
 */
export function memoryDriver({ store, cron, ...options }: MemoryDriverOptions = {}): StoreDriver {
  return new StoreDriver(store?.connect() ?? new MemoryStore(), { ...options, plugins: everything(cron) });
}
