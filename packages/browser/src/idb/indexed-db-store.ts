import { QuaysideError } from "@quayside/core";
import { type Change, lent, type Program, type ProgramKind, type Store } from "@quayside/core/engine";
import { checkOption } from "../check-option.ts";
import { Announcements } from "./change-announcements.ts";
import { Connection, type Upgrade, type VersionListener } from "./connection.ts";
import { databaseName } from "./database-name.ts";
import { EngineFailure, isLostConnection, mayBeFull, toQuaysideError } from "./idb-errors.ts";
import { type Durability, runProgram } from "./run-program.ts";

/** Options of `IndexedDbStore`. */
export interface IndexedDbStoreOptions {
  /** Names the database. Stores with the same name share its records, in every tab and worker of the site. */
  readonly name: string;
  /**
   * `relaxed` survives a crash of the browser, and may lose the last seconds when the power fails. `strict` waits for
   * the disk at each write. Default `relaxed`. An outbox always writes strictly.
   */
  readonly durability?: Durability;
  /** How long to wait for a database that other tabs keep from being opened, in whole ms from 0. Default 10,000. */
  readonly openTimeoutMs?: number;
  /**
   * Called about once a second while a new version of the page upgrades the stored records, in this tab or in another
   * one. Calls of the driver wait for the upgrade, however long it takes. Default none.
   */
  readonly onUpgrade?: (progress: { readonly done: number; readonly total: number }) => void;
}

/** A transaction whose connection was lost is tried so often in all, as Firestore does. */
const TRIES = 3;

const OPEN_TIMEOUT_MS = 10_000;

/**
 * Records in IndexedDB: one object store a collection, one `readwrite` transaction a program. All tabs and workers of
 * the site that use the same name share the records. The database is called `quayside:<name>`.
 *
 * A connection that the engine or another tab takes away is opened again, and the program run again, up to three tries.
 * Rejects with a `QuaysideError`:
 * - `storage_full` (a `StorageFullError`): the site's quota is used up. Nothing was written. Adding jobs is refused first:
 *   256 KiB in a database of their own (`quayside-reserve`) are given up so that jobs can still be settled, cancelled,
 *   removed and cleared and queues paused. Reading writes nothing.
 * - `storage_unavailable`: `details.reason` is `deleted` (the database was deleted while this store was in use; it is
 *   not made again by this store object, only by a new one), `damaged` (the browser found it broken and threw it
 *   away; reported once, then a new one is made), `newer_version` (another tab runs a newer version: reload), `blocked`
 *   (another tab holds an old version open) or `failed` (see `cause`; where that lasts, `deleteDatabase` and a new
 *   driver open it again).
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
  /** Called when the last program that runs has ended. */
  #atRest: (() => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: IndexedDbStoreOptions);
  /** @internal See `strict`; `upgrades` are for tests. */
  constructor(options: IndexedDbStoreOptions, base: IndexedDbStore | undefined, upgrades?: readonly Upgrade[]);
  constructor(options: IndexedDbStoreOptions, base?: IndexedDbStore, upgrades?: readonly Upgrade[]) {
    const { name, durability = "relaxed", openTimeoutMs = OPEN_TIMEOUT_MS } = options;
    this.#options = options;
    this.#base = base;
    this.#database = databaseName(name);
    checkOption("durability", durability, durability === "relaxed" || durability === "strict", '"relaxed" or "strict"');
    checkOption(
      "openTimeoutMs",
      openTimeoutMs,
      openTimeoutMs >= 0 && Number.isSafeInteger(openTimeoutMs),
      "whole milliseconds",
    );
    this.#durability = durability;
    this.#connection = base ? base.#connection : new Connection(this.#database, openTimeoutMs, upgrades);
    this.#announcements = new Announcements(this.#database, (progress) => {
      this.#connection.progressed();
      // What it throws does not undo the upgrade.
      lent(() => options.onUpgrade?.(progress));
    });
  }

  /**
   * The same records over the same connection, but every program waits for the disk: for data that moves to another
   * store. Closing it leaves this store open; closing this one closes both.
   */
  strict(): IndexedDbStore {
    return new IndexedDbStore({ ...this.#options, durability: "strict" }, this);
  }

  transact<T>(start: () => Program<T>, kind: ProgramKind = "add"): Promise<T> {
    if (this.#closed) return Promise.reject(new QuaysideError("closed", "This store is closed."));
    return this.#run(start, kind);
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
   * Calls back with the error once newer code, in another tab, has upgraded the database beyond this code, and without one
   * when it can be used again. Returns the function that stops it.
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
    // Not before: what these programs changed is still to be announced.
    this.#announcements.close();
    if (!this.#base) this.#connection.close();
  }

  async #run<T>(start: () => Program<T>, kind: ProgramKind): Promise<T> {
    this.#running++;
    try {
      return await this.#tryRun(start, kind);
    } finally {
      if (--this.#running === 0) this.#atRest?.();
    }
  }

  async #tryRun<T>(start: () => Program<T>, kind: ProgramKind): Promise<T> {
    const mode = kind === "read" ? "readonly" : "readwrite";
    for (let tries = 1; ; tries++) {
      let database: IDBDatabase | undefined;
      try {
        database = this.#connection.opened ?? (await this.#connection.open());
        // What was given up for others must be there again before more is added.
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
