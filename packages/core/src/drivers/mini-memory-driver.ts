import type { Plugin } from "../engine/plugin.ts";
import { adviseImport, inHookOrder } from "../plugins/plugin-imports.ts";
import type { MemoryDriverOptions } from "./memory-driver.ts";
import { MemoryStore } from "./memory-store.ts";
import { StoreDriver } from "./store-driver.ts";

/** Options of the `memoryDriver` of `@quayside/core/mini`. */
export interface MiniMemoryDriverOptions extends Omit<MemoryDriverOptions, "cron"> {
  /** Plugins of the queues, such as `dedupe()`, in any order. Default: none; the driver has only the kernel. */
  readonly plugins?: readonly Plugin[] | undefined;
}

/**
 * Creates a driver that keeps jobs in memory, with only the given plugins. A job option, setting or command of a plugin
 * that is not given is refused; the error names the missing import.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", memoryDriver({ plugins: [dedupe()] }));
 */
export function memoryDriver({ store, plugins = [], ...options }: MiniMemoryDriverOptions = {}): StoreDriver {
  return new StoreDriver(store?.connect() ?? new MemoryStore(), {
    ...options,
    plugins: inHookOrder(plugins),
    advise: adviseImport,
    ...(store && { readOwners: "each" }),
  });
}
