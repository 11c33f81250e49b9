import { type Clock, everything, type NextCron, systemClock } from "@quayside/core";
import { StoreDriver, type StoreDriverOptions } from "@quayside/core/engine";
import { checkOption } from "../check-option.ts";
import { type ConnectivityOptions, connectivity } from "../connectivity.ts";
import { webLockLiveness } from "../tabs/web-lock-liveness.ts";
import { type TabsOption, WorkerActivity } from "../tabs/worker-activity.ts";
import type { VersionListener } from "./connection.ts";
import { IndexedDbStore, type IndexedDbStoreOptions } from "./indexed-db-store.ts";

/** Options of `indexedDbDriver`. */
export interface IndexedDbDriverOptions extends IndexedDbStoreOptions, ConnectivityOptions {
  /**
   * Which tabs of the site run the workers of this database: `all` that have one, or one `leader` at a time. Default
   * `all`. With `leader` the next tab takes over when the leader is closed, crashes, navigates away, enters the
   * back/forward cache or stays frozen for 40 s. Make one driver per tab, for as many queues as you like.
   */
  readonly tabs?: TabsOption;
  /** Reads cron rules: `cron` from `@quayside/core/cron`. Default none; recurrences by cron are then refused. */
  readonly cron?: NextCron;
  /** A clock that is moved by hand, for tests. Default: the system clock. */
  readonly clock?: Clock;
  /** Returns a number in [0, 1), for tests; a seeded function repeats a run. Default `Math.random`. */
  readonly random?: () => number;
}

/**
 * A driver that keeps its jobs in IndexedDB: they survive reload, crash and closed tabs. All tabs and workers of the
 * site that use the same name work on the same jobs; each may run workers of its own. What a tab that crashed was working
 * on is taken up by the others within moments; a page that goes away or into the back/forward cache aborts its handlers
 * and gives their jobs back, and works on when it is shown again.
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

/** See `indexedDbDriver`. */
export class IndexedDbDriver extends StoreDriver {
  /** The name that stores, locks and channels of these records share. */
  readonly name: string;
  readonly #store: IndexedDbStore;
  readonly #activity: WorkerActivity;
  readonly #options: StoreDriverOptions;

  constructor(
    { clock, random, tabs: mode = "all", probe, ...options }: Omit<IndexedDbDriverOptions, "cron">,
    engine: Pick<StoreDriverOptions, "plugins" | "advise" | "readOwners">,
  ) {
    checkOption("tabs", mode, mode === "all" || mode === "leader", '"all" or "leader"');
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

  /** Gives back what workers here hold, and the lead, then closes the store. Workers that were not stopped stop. */
  override async close(): Promise<void> {
    const stopWorkers = await this.#activity.close();
    await super.close();
    stopWorkers();
  }

  /** See `IndexedDbStore.watchVersion`. */
  watchVersion(listener: VersionListener): () => void {
    return this.#store.watchVersion(listener);
  }

  /** A driver on the same jobs and the same connection of which every call is on disk before it resolves. */
  strict(): StoreDriver {
    return new StoreDriver(this.#store.strict(), this.#options);
  }
}
