import type { QuaysideError } from "@quayside/core";
import {
  COLLECTIONS,
  type Collection,
  isOperation,
  type Operation,
  type Program,
  type Records,
  type Step,
} from "@quayside/core/engine";
import type { Transactions } from "../object/user-transactions.ts";
import { DamagedRecord, isSettings, setAside } from "./damaged-records.ts";
import { DeferredRecords, DerivedRecords } from "./in-memory-records.ts";
import { hasTables, migrate } from "./sql-migrations.ts";
import { SqlStatements, TablesGone } from "./sql-statements.ts";
import { type SqlTable, sqlRange, sqlTable } from "./sql-table.ts";

type AnyRecord = Records[Collection];
type WriteOperation = Exclude<Operation, { readonly op: "get" | "scan" }>;

export interface SqlRecordsOptions {
  /** Whether programs may run inside transactions of the user's code, which may roll back. Default: false. */
  readonly nested?: boolean | undefined;
  /** Transactions of the object's own code, if they are observed. */
  readonly transactions?: Transactions | undefined;
}

/**
 * The records in a Durable Object's database. Runs programs synchronously inside `transactionSync`. Derived collections
 * are in memory, because the object is the only owner of its records. The first put creates the tables, so that an
 * object without jobs stores nothing and is deleted by `deleteAll()`.
 */
export class SqlRecords {
  readonly #storage: DurableObjectStorage;
  readonly statements: SqlStatements;
  readonly #tables = new Map<Collection, SqlTable>();
  readonly #derived = new Map<Collection, DerivedRecords>();
  readonly #deferred = new DeferredRecords();
  /** Whether the database has the tables, in the version of this code. */
  #there = false;
  /** Damaged records that the running program has moved out of their tables. */
  #damaged: QuaysideError[] = [];
  readonly #nested: boolean;
  readonly #transactions: Transactions | undefined;
  /** Number of observed rollbacks up to the last program. */
  #undoneBefore = 0;
  /**
   * One write of the running program. Before a later program, its record is read to detect a rollback of this program.
   */
  #written: WriteOperation | undefined;
  /** The chosen write of the last program that has written. */
  #witness: WriteOperation | undefined;
  /** Number of times that written records were found missing: rolled back or deleted by other code. */
  undone = 0;
  /** Called with the error of each damaged record that was moved out of its table. */
  onDamaged: (error: QuaysideError) => void = () => {};
  /** Called when unobserved code has rolled back a program's writes or deleted all records. */
  onUnobserved: () => void = () => {};

  constructor(storage: DurableObjectStorage, { nested = false, transactions }: SqlRecordsOptions = {}) {
    this.#storage = storage;
    this.statements = new SqlStatements(storage.sql);
    this.#nested = nested;
    this.#transactions = transactions;
    for (const [name, { derived }] of Object.entries(COLLECTIONS) as [Collection, { derived?: true | undefined }][]) {
      if (derived) this.#derived.set(name, new DerivedRecords());
      else this.#tables.set(name, sqlTable(name));
    }
    try {
      this.#look();
    } catch {
      // Ignored here: each program tries the migration again and reports its error. If the constructor threw, callers
      // would not get the error, and Cloudflare would drop the alarm after some failures.
    }
  }

  run<T>(start: () => Program<T>): T {
    this.#forgetUndone();
    try {
      return this.#perform(start);
    } catch (error) {
      if (!(error instanceof TablesGone)) throw error;
      this.#forget();
      this.onUnobserved();
      return this.#perform(start);
    }
  }

  #perform<T>(start: () => Program<T>): T {
    this.#look();
    if (this.#witness) this.#confirm(this.#witness);
    const there = this.#there;
    const transact = () =>
      this.#storage.transactionSync(() => {
        const program = start();
        let step = program.next();
        while (!step.done) step = program.next(this.#answer(step.value));
        return step.value;
      });
    try {
      const result = this.#transactions ? this.#transactions.own(transact) : transact();
      for (const records of this.#derived.values()) records.commit();
      this.#deferred.commit();
      this.#tellDamage();
      if (this.#written) {
        this.#transactions?.wrote();
        if (this.#nested) this.#witness = this.#written;
      }
      return result;
    } catch (error) {
      for (const records of this.#derived.values()) records.rollback();
      this.#deferred.rollback();
      this.#damaged = [];
      this.#there = there;
      throw error;
    } finally {
      this.#written = undefined;
    }
  }

  /** Checks whether the tables exist, and upgrades them. */
  #look(): void {
    if (this.#there || !hasTables(this.#storage.sql)) return;
    migrate(this.#storage);
    this.#there = true;
  }

  /** Clears the caches if an observed transaction was rolled back since the last program. */
  #forgetUndone(): void {
    const { undone } = this.#transactions ?? { undone: 0 };
    if (undone === this.#undoneBefore) return;
    this.#undoneBefore = undone;
    this.#forget();
  }

  /** Clears everything that is cached or derived from the tables. */
  #forget(): void {
    for (const records of this.#derived.values()) records.clear();
    this.#deferred.clear();
    this.#witness = undefined;
    this.#there = false;
    this.undone++;
  }

  /**
   * Clears the caches if the last writing program was rolled back. Checking the last one is enough, because a rollback
   * of an earlier program includes the later ones.
   */
  #confirm(witness: WriteOperation): void {
    if (this.#stands(witness)) return;
    this.#forget();
    this.#look();
    this.onUnobserved();
  }

  #stands(witness: WriteOperation): boolean {
    if (!this.#there) return false;
    const table = this.#tables.get(witness.collection) as SqlTable;
    switch (witness.op) {
      case "put": {
        const { key, ...rest } = witness.records[witness.records.length - 1] as AnyRecord;
        const [row] = this.statements.exec(table.getOne, key);
        return row?.[0] === JSON.stringify(rest);
      }
      case "delete":
        return this.statements.get(table, witness.keys).every((record) => record === undefined);
      case "deleteRange":
        return this.statements.scan(table, { ...witness, op: "scan", limit: 1, keysOnly: true }).length === 0;
    }
  }

  #tellDamage(): void {
    if (this.#damaged.length === 0) return;
    // Records derived from the damaged one are derived again.
    for (const records of this.#derived.values()) records.clear();
    for (const error of this.#damaged.splice(0)) this.onDamaged(error);
  }

  #answer(step: Step): unknown {
    return isOperation(step) ? this.#operate(step) : step.map((operation) => this.#operate(operation));
  }

  #operate(operation: Operation): unknown {
    const derived = this.#derived.get(operation.collection);
    if (derived) return derived.perform(operation);
    return this.#deferred.perform(operation, (written) => this.#onTable(written));
  }

  #onTable(operation: Operation): unknown {
    const table = this.#tables.get(operation.collection) as SqlTable;
    if (!this.#there) {
      if (operation.op === "get") return operation.keys.map(() => undefined);
      if (operation.op === "scan") return [];
      if (operation.op !== "put") return undefined;
      migrate(this.#storage);
      this.#there = true;
    }
    this.#note(operation);
    switch (operation.op) {
      case "get":
        return this.#read(table, operation.collection, () => this.statements.get(table, operation.keys));
      case "scan":
        return this.#read(table, operation.collection, () => this.statements.scan(table, operation));
      case "put":
        return this.statements.put(table, operation.records);
      case "delete":
        return this.statements.delete(table, operation.keys);
      case "deleteRange": {
        const range = sqlRange(operation.collection, operation.from, operation.to);
        if (range) this.statements.exec(table.deleteRange(range), range.bindings);
        return undefined;
      }
    }
  }

  /** Runs `read`. After an error about a damaged record, moves the record out of its table and reads again. */
  #read<T>(table: SqlTable, collection: Collection, read: () => T): T {
    for (;;) {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof DamagedRecord)) throw error;
        const { key } = error;
        this.#damaged.push(setAside(this.#storage.sql, collection, error));
        if (isSettings(collection, key)) this.statements.put(table, [{ key: key as never, value: { paused: true } }]);
        else this.statements.exec(table.deleteOne, key);
      }
    }
  }

  /** Chooses a write of the program for `#written`. Prefers a put, because no other code writes an equal record. */
  #note(operation: Operation): void {
    if (operation.op === "get" || operation.op === "scan") return;
    if (operation.op === "put" || this.#written?.op !== "put") this.#written = operation;
  }
}
