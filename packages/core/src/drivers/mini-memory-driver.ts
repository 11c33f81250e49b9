import type { Plugin } from "../engine/plugin.ts";
import { adviseImport, inHookOrder } from "../plugins/plugin-imports.ts";
import type { MemoryDriverOptions } from "./memory-driver.ts";
import { MemoryStore } from "./memory-store.ts";
import { StoreDriver } from "./store-driver.ts";

/** Options of the `memoryDriver` of `@quayside/core/mini`. */
export interface MiniMemoryDriverOptions extends Omit<MemoryDriverOptions, "cron"> {
  /** The capabilities of the queues beside the kernel, in any order. Default: none. */
  readonly plugins?: readonly Plugin[];
}

/**
 * A driver whose jobs live in memory, with the plugins that it is given and no others. A job option, a setting or a command
 * that belongs to another plugin is refused, with the import that is missing.
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
