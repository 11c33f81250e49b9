import type { Plugin } from "@quayside/core";
import { adviseImport, inHookOrder } from "@quayside/core/engine";
import { IndexedDbDriver, type IndexedDbDriverOptions } from "./indexed-db-driver.ts";

/** Options of the `indexedDbDriver` of `@quayside/browser/mini`. */
export interface MiniIndexedDbDriverOptions extends Omit<IndexedDbDriverOptions, "cron"> {
  /** The capabilities of the queues beside the kernel, in any order: see `@quayside/core/mini`. Default: none. */
  readonly plugins?: readonly Plugin[];
}

/**
 * As the `indexedDbDriver` of `@quayside/browser`, with the plugins that it is given and no others. A job option, a setting
 * or a command that belongs to another plugin is refused, with the import that is missing.
 *
 * The database records which plugins own records in it. Where one of them is not given, each call rejects with
 * `storage_unavailable`, `details.reason` `missing_plugins`: also when another page stores the first such record later.
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
