import { type Clock, StoreDriver } from "@quayside/core";
import { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";
import { tabs } from "./tabs.ts";

export interface IndexedDbDriverOptions extends IndexedDbStoreOptions {
  /** For tests: a clock that is moved by hand. */
  readonly clock?: Clock;
  /** For tests: in [0, 1); a seeded one repeats a run. */
  readonly random?: () => number;
}

/**
 * A driver that keeps its jobs in IndexedDB: they survive reload, crash and closed tabs. All tabs and workers of the
 * site that use the same name work on the same jobs; each may run workers of its own.
 *
 * Its errors are those of `IndexedDbStore`: `storage_full`, `storage_unavailable`, `closed`.
 *
 * @example
 * const driver = indexedDbDriver({ name: "my-app" });
 * const queue = new Queue<Jobs>("uploads", driver);
 * await queue.addJob("resize", { url, width: 640 });
 */
export function indexedDbDriver({ clock, random, ...options }: IndexedDbDriverOptions): StoreDriver {
  return new StoreDriver(new IndexedDbStore(options), {
    ...tabs(options.name),
    ...(clock && { clock }),
    ...(random && { random }),
  });
}
