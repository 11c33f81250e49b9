import { type Clock, StoreDriver, type StoreDriverOptions } from "@quayside/core";
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
export function indexedDbDriver(options: IndexedDbDriverOptions): IndexedDbDriver {
  return new IndexedDbDriver(options);
}

/** See `indexedDbDriver`. */
export class IndexedDbDriver extends StoreDriver {
  /** The name that stores, locks and channels of these records share. */
  readonly name: string;
  readonly #store: IndexedDbStore;
  readonly #options: StoreDriverOptions;

  constructor({ clock, random, ...options }: IndexedDbDriverOptions) {
    const store = new IndexedDbStore(options);
    const own = { ...(clock && { clock }), ...(random && { random }) };
    super(store, { ...tabs(options.name), ...own });
    this.name = options.name;
    this.#store = store;
    this.#options = own;
  }

  /** A driver on the same jobs and the same connection of which every call is on disk before it resolves. */
  strict(): StoreDriver {
    return new StoreDriver(this.#store.strict(), this.#options);
  }
}
