import type { Plugin } from "@quayside/core";
import { adviseImport, inHookOrder } from "@quayside/core/engine";
import { IndexedDbDriver, type IndexedDbDriverOptions } from "./indexed-db-driver.ts";

/** Options of the `indexedDbDriver` of `@quayside/browser/mini`. */
export interface MiniIndexedDbDriverOptions extends Omit<IndexedDbDriverOptions, "cron"> {
  /**
   * Plugins of the queues, such as `dedupe()`, in any order: see `@quayside/core/mini`. Default: none; the driver has
   * only the kernel.
   */
  readonly plugins?: readonly Plugin[] | undefined;
}

/**
 * Creates the `indexedDbDriver` of `@quayside/browser` with only the given plugins. A job option, setting or command of
 * another plugin is refused; the error names the missing import.
 *
 * The database records which plugins own records in it. If one of them is missing, each call rejects with
 * `storage_unavailable`, `details.reason` `missing_plugins`, even if another page stores the plugin's first record
 * later.
 *
 * @example
 * const driver = indexedDbDriver({ name: "my-app", plugins: [dedupe(), flows()] });
 */
export function indexedDbDriver({ plugins = [], ...options }: MiniIndexedDbDriverOptions): IndexedDbDriver {
  return new IndexedDbDriver(options, {
    plugins: inHookOrder(plugins),
    advise: adviseImport,
    readOwners: "each",
  });
}
