import { type QuaysideError, systemClock } from "@quayside/core";
import { COLLECTION_NAMES } from "@quayside/core/engine";
import { EngineFailure, nameOf, storageFull, unavailable, upgradeFailed } from "./idb-errors.ts";
import { abort } from "./run-program.ts";
import { keepSpaceReserve, spendSpaceReserve } from "./space-reserve.ts";

/** Progress of an upgrade of the database: the number of records upgraded so far, and the number of all records. */
export interface UpgradeProgress {
  done: number;
  total: number;
}

/**
 * Called with an error when newer code has upgraded the database, and with undefined when the database can be used
 * again.
 */
export type VersionListener = (error: QuaysideError | undefined) => void;

/**
 * An upgrade from one version of the database to the next: changes object stores and their records. May only await
 * requests of the transaction. A long upgrade posts its progress (`Upgrading`) about once per second, so that other
 * tabs keep waiting.
 */
export type Upgrade = (transaction: IDBTransaction) => void | Promise<void>;

/**
 * Upgrades from no database to the version of this code; the version is the number of upgrades. Never edit a released
 * upgrade: append a new one (docs/versions.md).
 */
const UPGRADES: readonly Upgrade[] = [
  // A record's key is stored beside it, as text: with a key inside the record, Chromium would copy the record at every
  // put.
  ({ db }) => {
    for (const collection of COLLECTION_NAMES) db.createObjectStore(collection);
  },
];

/**
 * The connection to a database. Opens when first used, and again after the browser or another tab has closed it. Never
 * blocks another tab's upgrade or deletion of the database.
 */
export class Connection {
  readonly #name: string;
  readonly #patienceMs: number;
  readonly #upgrades: readonly Upgrade[];
  /** Functions that restart the timeouts of callers that wait for the database to open. */
  readonly #waits = new Set<() => void>();
  #opening: Promise<IDBDatabase> | undefined;
  #open: IDBDatabase | undefined;
  /** Whether the space reserve was released on a full disk. It must be restored before jobs are added. */
  reserveSpent = false;
  /**
   * Called with an error when newer code has upgraded the database, and without one when the database can be used
   * again.
   */
  readonly #versionListeners = new Set<VersionListener>();
  #outdated = false;
  /**
   * Whether this connection has opened the database before. If the database is then missing, it was deleted with its
   * jobs.
   */
  #wasThere = false;

  /**
   * Creates a connection, without opening it.
   *
   * @param upgrades other upgrades than those of this code, for tests.
   */
  constructor(name: string, patienceMs: number, upgrades: readonly Upgrade[] = UPGRADES) {
    this.#name = name;
    this.#patienceMs = patienceMs;
    this.#upgrades = upgrades;
  }

  /** Restarts the timeouts of waiting callers, because an upgrade in another tab has made progress. */
  progressed(): void {
    for (const wait of [...this.#waits]) wait();
  }

  /** The open connection, if there is one. */
  get opened(): IDBDatabase | undefined {
    return this.#open;
  }

  /**
   * Returns the open connection or opens one. After a failure, the next call tries again.
   *
   * @throws {QuaysideError} if the database is deleted, of a newer version, or blocked.
   * @throws {EngineFailure} if the browser's database engine failed.
   */
  async open(): Promise<IDBDatabase> {
    if (this.#open) return this.#open;
    this.#opening ??= this.#connect().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#patiently(this.#opening);
  }

  /** Deletes the space reserve (see `spendSpaceReserve`) on a full disk. Returns whether that may have freed space. */
  spendSpaceReserve(): Promise<boolean> {
    this.reserveSpent = true;
    return spendSpaceReserve();
  }

  /**
   * Creates the space reserve again after it was released.
   *
   * @throws {StorageFullError} if there is not enough space.
   */
  async restoreReserve(): Promise<void> {
    if (!(await keepSpaceReserve())) throw storageFull(this.#name);
    this.reserveSpent = false;
  }

  /** Adds a listener for upgrades by newer code: see `IndexedDbStore.watchVersion`. */
  watchVersion(listener: VersionListener): () => void {
    this.#versionListeners.add(listener);
    return () => this.#versionListeners.delete(listener);
  }

  #tellVersion(error?: QuaysideError): void {
    if (this.#outdated === (error !== undefined)) return;
    this.#outdated = error !== undefined;
    for (const listener of [...this.#versionListeners]) listener(error);
  }

  /**
   * Closes this database connection after its transactions, and opens another at the next call. Has no effect on a
   * newer connection.
   */
  discard(database: IDBDatabase): void {
    database.close();
    if (this.#open !== database) return;
    this.#open = undefined;
    this.#opening = undefined;
  }

  /** Closes the connection that is open or being opened. */
  close(): void {
    // A connection that fails to open needs no closing; its caller gets the error.
    this.#opening?.then((database) => this.discard(database)).catch(() => {});
  }

  async #connect(): Promise<IDBDatabase> {
    let failure: unknown;
    try {
      const opening = indexedDB.open(this.#name, this.#upgrades.length);
      opening.onupgradeneeded = (event) => {
        const transaction = opening.transaction as IDBTransaction;
        const fail = (error: unknown) => {
          failure = error;
          // Aborts the upgrade, so that a deleted database is not created again.
          abort(transaction);
        };
        if (event.oldVersion === 0 && this.#wasThere) fail(unavailable(this.#name, "deleted"));
        // Chromium only: reports once that it has discarded a damaged database.
        else if ((event as { dataLoss?: string | undefined }).dataLoss === "total")
          fail(unavailable(this.#name, "damaged"));
        else
          upgrade(transaction, this.#upgrades.slice(event.oldVersion)).catch((error: unknown) =>
            fail(upgradeFailed(this.#name, error ?? new Error("A step of the upgrade threw nothing."))),
          );
      };
      const database = await answered(opening);
      database.onclose = () => this.discard(database);
      database.onversionchange = ({ newVersion }) => {
        this.discard(database);
        // Another tab upgrades the database: opening again succeeds if the upgrade fails, and is refused once it is
        // done.
        if (newVersion !== null && this.#versionListeners.size > 0) this.open().catch(() => {});
      };
      this.#open = database;
      this.#wasThere = true;
      keepSpaceReserve().catch(() => {});
      this.#tellVersion();
      return database;
    } catch (error) {
      if (nameOf(error) !== "VersionError") throw failure ?? new EngineFailure(error);
      const newer = unavailable(this.#name, "newer_version", error);
      this.#tellVersion(newer);
      throw newer;
    }
  }

  /**
   * Waits for the request that opens the database, with a timeout. The request may never end, if another tab deletes or
   * upgrades the database and a third (frozen) tab blocks it, or by a browser bug. The request stays pending for the
   * next caller.
   */
  #patiently(opening: Promise<IDBDatabase>): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      let stop = () => {};
      const wait = () => {
        stop();
        stop = systemClock.after(this.#patienceMs, () => reject(unavailable(this.#name, "blocked")));
      };
      wait();
      this.#waits.add(wait);
      const end = () => {
        stop();
        this.#waits.delete(wait);
      };
      opening.then(resolve, reject).finally(end);
    });
  }
}

const answered = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

async function upgrade(transaction: IDBTransaction, steps: readonly Upgrade[]): Promise<void> {
  for (const step of steps) await step(transaction);
}
