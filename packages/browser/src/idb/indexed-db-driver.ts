import { type Clock, everything, type NextCron, systemClock } from "@quayside/core";
import { oneOf, StoreDriver, type StoreDriverOptions } from "@quayside/core/engine";
import { type ConnectivityOptions, connectivity } from "../connectivity.ts";
import { webLockLiveness } from "../tabs/web-lock-liveness.ts";
import { type TabsOption, WorkerActivity } from "../tabs/worker-activity.ts";
import type { VersionListener } from "./connection.ts";
import { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";

/** Options of `indexedDbDriver`. */
export interface IndexedDbDriverOptions extends IndexedDbStoreOptions, ConnectivityOptions {
  /**
   * Tabs that run workers of this database: `all`, or one `leader` at a time. Default: `all`. With `leader`, another
   * tab takes over when the leader is closed, crashes, navigates away, enters the back/forward cache or stays frozen
   * for 40 s. Create one driver per tab, for all queues.
   */
  readonly tabs?: TabsOption | undefined;
  /** Evaluates cron rules: `cron` from `@quayside/core/cron`. Default: none; recurrences by cron are refused. */
  readonly cron?: NextCron | undefined;
  /** The clock, for tests. Default: the system clock. */
  readonly clock?: Clock | undefined;
  /** Returns a number in [0, 1), for tests; a seeded function repeats a run. Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
}

/**
 * Creates a driver that stores jobs in IndexedDB: they survive reloads, crashes and closed tabs. Tabs and workers of
 * the site that use the same name share the jobs; each may run workers. The jobs of a crashed tab are recovered by
 * others within moments. A page that is closed or enters the back/forward cache aborts its handlers and releases their
 * jobs, and continues when it is shown again.
 *
 * Its errors are those of `IndexedDbStore`: `storage_full`, `storage_unavailable`, `closed`.
 *
 * @example
 * const driver = indexedDbDriver({ name: "my-app", tabs: "leader" });
 * const queue = new Queue<Jobs>("uploads", driver);
 * await queue.addJob("resize", { url, width: 640 });
 */
export function indexedDbDriver({ cron, ...options }: IndexedDbDriverOptions): IndexedDbDriver {
  return new IndexedDbDriver(options, { plugins: everything(cron), readOwners: "first" });
}

/** A driver that stores jobs in IndexedDB: see `indexedDbDriver`. */
export class IndexedDbDriver extends StoreDriver {
  /** Name of the database, from which the names of its locks and channels are made. */
  readonly name: string;
  readonly #store: IndexedDbStore;
  readonly #activity: WorkerActivity;
  readonly #options: StoreDriverOptions;

  constructor(
    { clock, random, tabs: mode = "all", probe, ...options }: Omit<IndexedDbDriverOptions, "cron">,
    engine: Pick<StoreDriverOptions, "plugins" | "advise" | "readOwners">,
  ) {
    oneOf(mode, ["all", "leader"], "tabs");
    const store = new IndexedDbStore(options);
    const activity = new WorkerActivity(options.name, mode, clock ?? systemClock);
    const own = { ...engine, ...(clock && { clock }), ...(random && { random }) };
    super(store, {
      ...webLockLiveness(options.name),
      onActiveChange: (session) => activity.onActiveChange(session),
      connectivity: connectivity({ probe }),
      ...own,
    });
    this.name = options.name;
    this.#store = store;
    this.#activity = activity;
    this.#options = own;
    store.watchVersion((error) => void activity.outdate(error));
  }

  /** Stops this tab's workers, releases their jobs and the leadership, then closes the store. */
  override async close(): Promise<void> {
    const stopWorkers = await this.#activity.close();
    await super.close();
    stopWorkers();
  }

  /** Adds a listener for upgrades by newer code: see `IndexedDbStore.watchVersion`. */
  watchVersion(listener: VersionListener): () => void {
    return this.#store.watchVersion(listener);
  }

  /** Returns a driver for the same jobs and connection, whose calls resolve only when the data is on disk. */
  strict(): StoreDriver {
    return new StoreDriver(this.#store.strict(), this.#options);
  }
}
