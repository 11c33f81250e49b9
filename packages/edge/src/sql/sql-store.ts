import { QuaysideError } from "@quayside/core";
import type { Change, Program, Store } from "@quayside/core/engine";
import type { Transactions } from "../object/user-transactions.ts";
import { SqlRecords } from "./sql-records.ts";

/** The records in one database, and the stores that share them. */
interface SharedRecords {
  readonly records: SqlRecords;
  readonly connections: Set<SqlStore>;
}

export interface SqlStoreOptions {
  /**
   * Whether programs may run inside transactions of the object's own code, which may roll back. Cached records are then
   * checked before each program, which costs one read row. Default: false.
   */
  readonly nested?: boolean | undefined;
  /**
   * Transactions of the object's own code, if they are observed.
   *
   * @internal
   */
  readonly transactions?: Transactions | undefined;
}

/**
 * A store in a Durable Object's SQLite database. When a transaction resolves, it is on the object's disk. Until its
 * rows are replicated, the runtime's output gates hold back all responses and requests of the object, so no other code
 * sees a write that can still be lost.
 *
 * Create it in the object's constructor, inside `blockConcurrencyWhile`, before other code runs.
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

  /**
   * Creates the store of a database.
   *
   * @param shared used by `connect`; omit it.
   */
  constructor(
    storage: DurableObjectStorage,
    options: SqlStoreOptions = {},
    shared: SharedRecords = { records: new SqlRecords(storage, options), connections: new Set() },
  ) {
    this.#storage = storage;
    this.#shared = shared;
    shared.connections.add(this);
  }

  /** Creates another store on the same records, for another driver in the object. Each store is closed separately. */
  connect(): SqlStore {
    return new SqlStore(this.#storage, {}, this.#shared);
  }

  /** Number of times that written records were found missing: rolled back or deleted by other code. */
  get undone(): number {
    return this.#shared.records.undone;
  }

  /** Number of billed rows read from this database so far. */
  get rowsRead(): number {
    return this.#shared.records.statements.rowsRead;
  }

  /**
   * Number of billed rows written so far, by puts and deletes. Setting an alarm also bills a row, which is not counted.
   */
  get rowsWritten(): number {
    return this.#shared.records.statements.rowsWritten;
  }

  /**
   * Sets the listener for damaged jobs and leases, which are moved to the table `quayside_damaged`. The error is
   * `storage_unavailable`; its `details` name the table and the key.
   */
  onDamaged(listener: (error: QuaysideError) => void): void {
    this.#shared.records.onDamaged = listener;
  }

  /**
   * Sets the listener for rollbacks of a program's writes, and deletion of all records, by unobserved code.
   *
   * @internal
   */
  onUnobserved(listener: () => void): void {
    this.#shared.records.onUnobserved = listener;
  }

  async transact<T>(start: () => Program<T>): Promise<T> {
    return this.run(start);
  }

  /**
   * Runs a program synchronously, for callers that continue in the same task as the commit. Inside a transaction of the
   * caller's, it is a savepoint.
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
