import { type Duration, QuaysideError, toMs } from "@quayside/core";
import { type Change, lent, oneOf, type Program, type ProgramKind, type Store } from "@quayside/core/engine";
import { Announcements } from "./change-announcements.ts";
import { Connection, type Upgrade, type VersionListener } from "./connection.ts";
import { databaseName } from "./database-name.ts";
import { EngineFailure, isLostConnection, mayBeFull, toQuaysideError } from "./idb-errors.ts";
import { type Durability, runProgram } from "./run-program.ts";

/** Options of `IndexedDbStore`. */
export interface IndexedDbStoreOptions {
  /** Name of the database. Stores with the same name share its records, in every tab and worker of the site. */
  readonly name: string;
  /**
   * Durability of writes. `relaxed` survives a crash of the browser, but a power failure may lose the last seconds.
   * `strict` waits for the disk at each write. Default: `relaxed`. An outbox always uses `strict`.
   */
  readonly durability?: Durability | undefined;
  /** Longest wait for a database that other tabs block, from 0 ms. Default: 10 s. */
  readonly openTimeout?: Duration | undefined;
  /**
   * Called about once per second while this or another tab upgrades the stored records to a new version. Calls of the
   * driver wait for the upgrade, however long it takes. Default: none.
   */
  readonly onUpgrade?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

/** Maximum number of times that a program is run if its connection is lost each time. */
const TRIES = 3;

const OPEN_TIMEOUT_MS = 10_000;

/**
 * A store of records in IndexedDB: one object store per collection, one `readwrite` transaction per program. Tabs and
 * workers of the site that use the same name share the records. The database is named `quayside:<name>`.
 *
 * If the browser or another tab closes the connection, the store opens it again and repeats the program, up to three
 * times. Rejects with a `QuaysideError`:
 * - `storage_full` (a `StorageFullError`): the site's quota is used up. Nothing was written. Adds are refused first:
 *   the store then releases 256 KiB, reserved in the database `quayside-reserve`, so that jobs can still be settled,
 *   cancelled, removed and cleared and queues paused. Reads write nothing.
 * - `storage_unavailable`, with `details.reason`: `deleted` (the database was deleted while this store was in use; only
 *   a new store creates it again), `damaged` (the browser has discarded the damaged database; reported once, then a new
 *   one is created), `newer_version` (another tab runs a newer version: reload), `blocked` (another tab keeps an old
 *   version open) or `failed` (see `cause`; if it persists, call `deleteDatabase` and create a new driver).
 * - `closed`: after `close()`.
 *
 * @example
 * const store = new IndexedDbStore({ name: "my-app" });
 * const driver = new StoreDriver(store, { plugins: everything() });
 */
export class IndexedDbStore implements Store {
  readonly #options: IndexedDbStoreOptions;
  readonly #base: IndexedDbStore | undefined;
  readonly #database: string;
  readonly #durability: Durability;
  readonly #connection: Connection;
  readonly #announcements: Announcements;
  #running = 0;
  /** Called when the last running program has ended. Set while `close` waits for it. */
  #atRest: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: IndexedDbStoreOptions);
  /**
   * Creates a store, or (with `base`) a store on the connection of another one.
   *
   * @internal `base`: see `strict`; `upgrades`: for tests.
   */
  constructor(options: IndexedDbStoreOptions, base: IndexedDbStore | undefined, upgrades?: readonly Upgrade[]);
  constructor(options: IndexedDbStoreOptions, base?: IndexedDbStore, upgrades?: readonly Upgrade[]) {
    const { name, durability = "relaxed", openTimeout = OPEN_TIMEOUT_MS } = options;
    this.#options = options;
    this.#base = base;
    this.#database = databaseName(name);
    oneOf(durability, ["relaxed", "strict"], "durability");
    const openTimeoutMs = toMs(openTimeout, "openTimeout");
    this.#durability = durability;
    this.#connection = base ? base.#connection : new Connection(this.#database, openTimeoutMs, upgrades);
    this.#announcements = new Announcements(this.#database, (progress) => {
      this.#connection.progressed();
      // An error thrown by `onUpgrade` does not abort the upgrade.
      lent(() => options.onUpgrade?.(progress));
    });
  }

  /**
   * Returns a store on the same records and connection whose programs wait for the disk. For jobs that are deleted
   * elsewhere once they are stored here. Closing the returned store keeps this store open; closing this one closes
   * both.
   */
  strict(): IndexedDbStore {
    return new IndexedDbStore({ ...this.#options, durability: "strict" }, this);
  }

  async transact<T>(start: () => Program<T>, kind: ProgramKind = "add"): Promise<T> {
    if (this.#closed) throw new QuaysideError("closed", "This store is closed.");
    this.#running++;
    try {
      return await this.#run(start, kind);
    } finally {
      if (--this.#running === 0) this.#atRest?.();
    }
  }

  get #closed(): boolean {
    return this.#closing !== undefined || (this.#base ? this.#base.#closed : false);
  }

  announce(changes: readonly Change[]): void {
    this.#announcements.announce(changes);
  }

  watch(listener: (changes: readonly Change[]) => void): () => void {
    return this.#announcements.watch(listener);
  }

  /**
   * Adds a listener for upgrades of the database. It is called with an error when newer code in another tab has
   * upgraded the database, and without one when the database can be used again. Returns a function that removes the
   * listener.
   */
  watchVersion(listener: VersionListener): () => void {
    return this.#connection.watchVersion(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#running > 0)
      await new Promise<void>((resolve) => {
        this.#atRest = resolve;
      });
    // Closed last, because the running programs still announce their changes.
    this.#announcements.close();
    if (!this.#base) this.#connection.close();
  }

  async #run<T>(start: () => Program<T>, kind: ProgramKind): Promise<T> {
    const mode = kind === "read" ? "readonly" : "readwrite";
    for (let tries = 1; ; tries++) {
      let database: IDBDatabase | undefined;
      try {
        database = this.#connection.opened ?? (await this.#connection.open());
        // A released space reserve must be restored before jobs are added.
        if (kind === "add" && this.#connection.reserveSpent) await this.#connection.restoreReserve();
        return await runProgram(database, this.#durability, start(), mode);
      } catch (failure) {
        if (!(failure instanceof EngineFailure)) throw failure;
        if (tries < TRIES && kind === "change" && mayBeFull(failure) && (await this.#connection.spendSpaceReserve()))
          continue;
        if (tries === TRIES || !isLostConnection(failure)) throw toQuaysideError(failure, this.#database);
        if (database) this.#connection.discard(database);
      }
    }
  }
}
