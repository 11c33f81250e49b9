import { COLLECTIONS } from "@quayside/core";
import { type IDBPDatabase, type IDBPObjectStore, type IDBPTransaction, openDB, unwrap } from "idb";
import { EngineFailure, nameOf, unavailable } from "./failures.ts";
import { toText } from "./text-keys.ts";

/** Raise it with every change of the object stores, and say in `upgrade` how to get there from each older one. */
const SCHEMA_VERSION = 2;
/** Records that an upgrade has in memory at once. */
const UPGRADE_STEP = 1_000;

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
          const undo = () => {
            transaction.done.catch(() => {});
            transaction.abort();
          };
          // Undone, it leaves no database: whoever deleted it finds it deleted.
          if (lost) undo();
          else upgrade(database, oldVersion, transaction).catch(undo);
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

type Upgrade = IDBPTransaction<unknown, string[], "versionchange">;
type UpgradedStore = IDBPObjectStore<unknown, string[], string, "versionchange">;

/**
 * Builds the object stores from core's declaration. A record's key stands beside it, as text: for a key that it would
 * have to look up in the record, Chromium makes another copy of that with every put. And no index.
 */
async function upgrade(database: IDBPDatabase, oldVersion: number, transaction: Upgrade): Promise<void> {
  for (const collection of Object.keys(COLLECTIONS)) {
    const before = oldVersion === 1 ? transaction.objectStore(collection) : undefined;
    if (before) before.name = `${collection}/1`;
    database.createObjectStore(collection);
    if (before) await copy(before, transaction.objectStore(collection));
    if (before) database.deleteObjectStore(before.name);
  }
}

/** In version 1 the keys were those of the records themselves. */
async function copy(from: UpgradedStore, to: UpgradedStore): Promise<void> {
  let range: IDBKeyRange | null = null;
  for (;;) {
    const records: readonly { readonly key: (string | number)[] }[] = await from.getAll(range, UPGRADE_STEP);
    for (const record of records) void to.put(record, toText(record.key));
    const last = records[UPGRADE_STEP - 1];
    if (!last) return;
    range = IDBKeyRange.lowerBound(last.key, true);
  }
}
