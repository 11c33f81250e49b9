import { MemoryStore } from "../store/memory-store.ts";
import { StoreDriver, type StoreDriverOptions } from "./store-driver.ts";

/**
 * A driver whose jobs live in memory and die with the process: for tests and scripts.
 *
 * @param options.store several drivers given one `MemoryStore` work on the same jobs.
 * @example
 * const queue = new Queue<Jobs>("mail", memoryDriver());
 */
export function memoryDriver({
  store,
  ...options
}: StoreDriverOptions & { readonly store?: MemoryStore } = {}): StoreDriver {
  return new StoreDriver(store?.connect() ?? new MemoryStore(), options);
}
