import { type QuaysideError, systemClock } from "@quayside/core";
import { COLLECTION_NAMES } from "@quayside/core/engine";
import { EngineFailure, nameOf, unavailable, upgradeFailed } from "./idb-errors.ts";
import { keepSpaceReserve, spendSpaceReserve } from "./space-reserve.ts";

/** How many of the records an upgrade of the database has brought up to date. */
export interface UpgradeProgress {
  done: number;
  total: number;
}

/** Called with the error when newer code has upgraded the database, without one when it can be used again. */
export type VersionListener = (error: QuaysideError | undefined) => void;

/**
 * One step from a format of the database to the next: changes of object stores, and of the records in them. It awaits
 * requests of the transaction and nothing else. A step that takes long posts its progress (`Upgrading`) about once per second:
 * other tabs wait for it as long as it is reported.
 */
export type Upgrade = (transaction: IDBTransaction) => void | Promise<void>;

/**
 * The steps from no database to the format of this code. The number of a format is the number of its steps. A released step
 * is never edited: a change of what is stored is a new step at the end (docs/versions.md).
 */
const UPGRADES: readonly Upgrade[] = [
  // A record's key is stored beside it, as text: for a key inside the record Chromium copies the record with every put.
  ({ db }) => {
    for (const collection of COLLECTION_NAMES) db.createObjectStore(collection);
  },
];

/**
 * One connection to one database: opened when it is first needed, and again after the engine or another tab took it
 * away. It never keeps another tab from upgrading or deleting the database.
 */
export class Connection {
  readonly #name: string;
  readonly #patienceMs: number;
  readonly #upgrades: readonly Upgrade[];
  /** Each restarts the timeout of one caller that waits for the database to open. */
  readonly #waits = new Set<() => void>();
  #opening: Promise<IDBDatabase> | undefined;
  #open: IDBDatabase | undefined;
  /** The reserve was given up, and is to be made again before jobs are added. */
  reserveSpent = false;
  /** Told when newer code has upgraded the database, and when it can be used again. */
  readonly #versionListeners = new Set<VersionListener>();
  #outdated = false;
  /** From the first opening on, a database that is not there has been deleted, and with it what the queue held. */
  #wasThere = false;

  /** @param upgrades other steps than those of this code: for tests of a step that is being written. */
  constructor(name: string, patienceMs: number, upgrades: readonly Upgrade[] = UPGRADES) {
    this.#name = name;
    this.#patienceMs = patienceMs;
    this.#upgrades = upgrades;
  }

  /** An upgrade goes on in another tab: who waits for the database waits for it, however long it takes. */
  progressed(): void {
    for (const wait of [...this.#waits]) wait();
  }

  /** The connection, where there is one. */
  get opened(): IDBDatabase | undefined {
    return this.#open;
  }

  /**
   * Answers the open connection or makes one. After a failure the next call tries again.
   *
   * @throws {QuaysideError} when the database is deleted, of a newer version, or kept from being opened.
   * @throws {EngineFailure} when the engine failed.
   */
  async open(): Promise<IDBDatabase> {
    if (this.#open) return this.#open;
    this.#opening ??= this.#connect().catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    return this.#patiently(this.#opening);
  }

  /** Makes room on a full disk; answers whether it may have. */
  spendSpaceReserve(): Promise<boolean> {
    this.reserveSpent = true;
    return spendSpaceReserve();
  }

  /** @throws {EngineFailure} while there is no room for the reserve that was given up. */
  async restoreReserve(): Promise<void> {
    if (!(await keepSpaceReserve()))
      throw new EngineFailure(new DOMException("No reserve is left.", "QuotaExceededError"));
    this.reserveSpent = false;
  }

  /** See `IndexedDbStore.watchVersion`. */
  watchVersion(listener: VersionListener): () => void {
    this.#versionListeners.add(listener);
    return () => this.#versionListeners.delete(listener);
  }

  #tellVersion(error?: QuaysideError): void {
    if (this.#outdated === (error !== undefined)) return;
    this.#outdated = error !== undefined;
    for (const listener of [...this.#versionListeners]) listener(error);
  }

  /** Lets this connection go, unless a newer one has taken its place already. Its transactions finish first. */
  discard(database: IDBDatabase): void {
    database.close();
    if (this.#open !== database) return;
    this.#open = undefined;
    this.#opening = undefined;
  }

  /** Lets go of whatever connection there is, or is going to be. */
  close(): void {
    // One that fails to open needs no closing, and has told its caller why.
    this.#opening?.then((database) => this.discard(database)).catch(() => {});
  }

  async #connect(): Promise<IDBDatabase> {
    let lost: "deleted" | "damaged" | undefined;
    let failure: unknown;
    try {
      const opening = indexedDB.open(this.#name, this.#upgrades.length);
      opening.onupgradeneeded = (event) => {
        if (event.oldVersion === 0 && this.#wasThere) lost = "deleted";
        // Chromium's own: it had to throw a damaged database away, and says so this once.
        else if ((event as { dataLoss?: string }).dataLoss === "total") lost = "damaged";
        const transaction = opening.transaction as IDBTransaction;
        // Aborts the upgrade, so that a database which was deleted meanwhile stays deleted.
        if (lost) transaction.abort();
        else
          upgrade(transaction, this.#upgrades.slice(event.oldVersion))
            .catch((error: unknown) => {
              failure = error ?? new Error("A step of the upgrade threw nothing.");
              transaction.abort();
            })
            // It was aborted already.
            .catch(() => {});
      };
      const database = await answered(opening);
      database.onclose = () => this.discard(database);
      database.onversionchange = ({ newVersion }) => {
        this.discard(database);
        // Opened again it is open again if that fails, and refused once it is done.
        if (newVersion !== null && this.#versionListeners.size > 0) this.open().catch(() => {});
      };
      this.#open = database;
      this.#wasThere = true;
      keepSpaceReserve().catch(() => {});
      this.#tellVersion();
      return database;
    } catch (error) {
      if (lost) throw unavailable(this.#name, lost);
      if (nameOf(error) === "VersionError") {
        const newer = unavailable(this.#name, "newer_version", error);
        this.#tellVersion(newer);
        throw newer;
      }
      if (failure !== undefined) throw upgradeFailed(this.#name, failure);
      throw new EngineFailure(error);
    }
  }

  /**
   * An open request waits without end while another tab deletes or upgrades the database and a third does not let go of
   * it (a frozen one, say); engines have had bugs of that kind too. The request stays, for the next who asks.
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
