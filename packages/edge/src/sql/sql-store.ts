import { QuaysideError } from "@quayside/core";
import type { Change, Program, Store } from "@quayside/core/engine";
import type { Transactions } from "../object/user-transactions.ts";
import { SqlRecords } from "./sql-records.ts";

/** The records that all stores on one database share. */
interface SharedRecords {
  readonly records: SqlRecords;
  readonly connections: Set<SqlStore>;
}

export interface SqlStoreOptions {
  /**
   * Programs may run inside transactions of the object's own code, which may undo them after they have run: what is kept
   * in memory beside the records is then held against them before each program, one row read. Default false.
   */
  readonly nested?: boolean;
  /** @internal Those of the object's own code, where they are observed. */
  readonly transactions?: Transactions | undefined;
}

/**
 * A store in a Durable Object's SQLite database. A resolved transaction is committed to the object's own disk. The
 * runtime holds back every answer and request of the object until the rows are replicated too (output gates), so no
 * code outside reads a write that can still be lost.
 *
 * Make it where nothing else runs yet: in the object's constructor, inside `blockConcurrencyWhile`.
 *
 * @example
 * const store = new SqlStore(ctx.storage);
 * const driver = new StoreDriver(store, { plugins: everything() });
 */
export class SqlStore implements Store {
  readonly #storage: DurableObjectStorage;
  readonly #shared: SharedRecords;
  readonly #listeners = new Set<(changes: readonly Change[]) => void>();
  #closed = false;

  /** @param shared for `connect`: leave it out. */
  constructor(
    storage: DurableObjectStorage,
    options: SqlStoreOptions = {},
    shared: SharedRecords = { records: new SqlRecords(storage, options), connections: new Set() },
  ) {
    this.#storage = storage;
    this.#shared = shared;
    shared.connections.add(this);
  }

  /** Another store on the same records, as another driver in the object has: each is closed by itself. */
  connect(): SqlStore {
    return new SqlStore(this.#storage, {}, this.#shared);
  }

  /** How often it was found that what programs had written is not there any more: undone from outside, or deleted. */
  get undone(): number {
    return this.#shared.records.undone;
  }

  /** Rows read in this database so far, as they are billed. */
  get rowsRead(): number {
    return this.#shared.records.statements.rowsRead;
  }

  /** Rows written so far, as they are billed: puts and deletes. An alarm that was set is one more, not counted here. */
  get rowsWritten(): number {
    return this.#shared.records.statements.rowsWritten;
  }

  /**
   * Calls back with each job or lease that was found damaged and set aside, in the table `quayside_damaged`: a
   * `storage_unavailable` error whose `details` name the table and the key.
   */
  onDamaged(listener: (error: QuaysideError) => void): void {
    this.#shared.records.onDamaged = listener;
  }

  /** @internal Calls back when what a program wrote was undone, or all was deleted, by a call that was not observed. */
  onUnobserved(listener: () => void): void {
    this.#shared.records.onUnobserved = listener;
  }

  async transact<T>(start: () => Program<T>): Promise<T> {
    return this.run(start);
  }

  /**
   * `transact`, at once: for callers that must do something in the same turn as the commit. Inside a transaction of the
   * caller's own it is a savepoint of it.
   */
  run<T>(start: () => Program<T>): T {
    if (this.#closed) throw new QuaysideError("closed", "This store is closed.");
    return this.#shared.records.run(start);
  }

  announce(changes: readonly Change[]): void {
    for (const store of this.#shared.connections) {
      if (store !== this) for (const listener of [...store.#listeners]) listener(changes);
    }
  }

  watch(listener: (changes: readonly Change[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    this.#shared.connections.delete(this);
  }
}
