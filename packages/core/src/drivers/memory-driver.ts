import type { NextCron } from "../job/next-occurrence.ts";
import { everything } from "../plugins/all-plugins.ts";
import { MemoryStore } from "./memory-store.ts";
import { StoreDriver } from "./store-driver.ts";
import type { StoreDriverOptions } from "./store-driver-options.ts";

/** Options of `memoryDriver`. */
export interface MemoryDriverOptions extends Omit<StoreDriverOptions, "plugins"> {
  /** The records of the driver. Drivers with the same `MemoryStore` work on the same jobs. Default: a new store. */
  readonly store?: MemoryStore | undefined;
  /** Evaluates cron rules: `cron` from `@quayside/core/cron`. Default: none; recurrences by cron are refused. */
  readonly cron?: NextCron | undefined;
}

/**
 * Creates a driver that keeps jobs in memory, for tests and scripts. The jobs are lost when the process ends.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", memoryDriver());
 */
export function memoryDriver({ store, cron, ...options }: MemoryDriverOptions = {}): StoreDriver {
  return new StoreDriver(store?.connect() ?? new MemoryStore(), { ...options, plugins: everything(cron) });
}
