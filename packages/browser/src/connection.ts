import { COLLECTIONS } from "@quayside/core";
import { type IDBPDatabase, openDB, unwrap } from "idb";
import { EngineFailure, nameOf, unavailable } from "./failures.ts";

/** Raise it with every change of the object stores, and say in `upgrade` how to get there from each older one. */
const SCHEMA_VERSION = 1;

/**
 * One connection to one database: opened when it is first needed, and again after the engine or another tab took it
 * away. It never keeps another tab from upgrading or deleting the database.
 */
export class Connection {
  readonly #name: string;
  readonly #patienceMs: number;
  #opening: Promise<IDBDatabase> | undefined;
  #open: IDBDatabase | undefined;
  /** From the first opening on, a database that is not there has been deleted, and with it what the queue held. */
  #wasThere = false;

  constructor(name: string, patienceMs: number) {
    this.#name = name;
    this.#patienceMs = patienceMs;
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
    try {
      const opening = openDB(this.#name, SCHEMA_VERSION, {
        upgrade: (database, oldVersion, _newVersion, transaction, event) => {
          if (oldVersion === 0 && this.#wasThere) lost = "deleted";
          // Chromium's own: it had to throw a damaged database away, and says so this once.
          else if ((event as { dataLoss?: string }).dataLoss === "total") lost = "damaged";
          if (!lost) return upgrade(database, oldVersion);
          // Undone, it leaves no database: whoever deleted it finds it deleted.
          transaction.done.catch(() => {});
          transaction.abort();
        },
        blocking: () => this.discard(database),
        terminated: () => this.discard(database),
      });
      const database = unwrap(await opening);
      this.#open = database;
      this.#wasThere = true;
      return database;
    } catch (error) {
      if (lost) throw unavailable(this.#name, lost);
      if (nameOf(error) === "VersionError") throw unavailable(this.#name, "newer_version", error);
      throw new EngineFailure(error);
    }
  }

  /**
   * An open request waits without end while another tab deletes or upgrades the database and a third does not let go of
   * it (a frozen one, say); engines have had bugs of that kind too. The request stays, for the next who asks.
   */
  #patiently(opening: Promise<IDBDatabase>): Promise<IDBDatabase> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(unavailable(this.#name, "blocked")), this.#patienceMs);
      opening.then(resolve, reject).finally(() => clearTimeout(timer));
    });
  }
}

/** Builds the object stores from core's declaration: the records' own keys and no index. */
function upgrade(database: IDBPDatabase, oldVersion: number): void {
  if (oldVersion < 1) {
    for (const collection of Object.keys(COLLECTIONS)) database.createObjectStore(collection, { keyPath: "key" });
  }
}
