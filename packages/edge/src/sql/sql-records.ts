import { QuaysideError } from "@quayside/core";
import {
  COLLECTIONS,
  type Collection,
  isOperation,
  type Key,
  type Operation,
  type Program,
  type Records,
  type Step,
} from "@quayside/core/engine";
import type { Transactions } from "../object/user-transactions.ts";
import { DamagedRecord, setAside } from "./damaged-records.ts";
import { DeferredRecords } from "./deferred-records.ts";
import { DerivedRecords } from "./derived-records.ts";
import { hasTables, migrate } from "./sql-migrations.ts";
import { type SqlTable, sqlRange, sqlTable } from "./sql-table.ts";

type AnyRecord = Records[Collection];
type ScanOperation = Extract<Operation, { readonly op: "scan" }>;
type WriteOperation = Exclude<Operation, { readonly op: "get" | "scan" }>;

/** A bound value is at most 2 MB. UTF-16 units: each is at most 3 bytes in UTF-8. */
const CHUNK_LENGTH = 600_000;

export interface SqlRecordsOptions {
  /** Programs may run inside transactions of the user's code, which may undo them afterwards. Default false. */
  readonly nested?: boolean;
  /** Transactions of the object's own code, where they are observed. */
  readonly transactions?: Transactions | undefined;
}

/** The tables are not there any more: the object's code has called `deleteAll()`. */
class TablesGone extends Error {}

/**
 * The records in a Durable Object's database, and how programs run on them: straight through, inside
 * `transactionSync`. The derived collections are in memory: the object is the only owner of its records. The tables are
 * made by the first put: an object that holds nothing stores nothing, and is gone for good after `deleteAll()`.
 */
export class SqlRecords {
  readonly #storage: DurableObjectStorage;
  readonly #tables = new Map<Collection, SqlTable>();
  readonly #derived = new Map<Collection, DerivedRecords>();
  readonly #deferred = new DeferredRecords();
  /** Whether the tables are there, of this version. */
  #there = false;
  /** Damaged records that the running program has moved out of their tables. */
  #damaged: QuaysideError[] = [];
  readonly #nested: boolean;
  readonly #transactions: Transactions | undefined;
  /** Transactions that were undone before the last program ran. */
  #undoneBefore = 0;
  /** The write of the running program by which a later check sees whether the program was undone. */
  #written: WriteOperation | undefined;
  /** The same write of the last program that wrote. */
  #witness: WriteOperation | undefined;
  rowsRead = 0;
  rowsWritten = 0;
  /** How often it was found that what had been written is not there any more: undone from outside, or deleted. */
  undone = 0;
  /** Called with the error of each damaged record that was moved out of its table. */
  onDamaged: (error: QuaysideError) => void = () => {};
  /** Called when the writes of a program were undone, or all was deleted, by a call that was not observed. */
  onUnobserved: () => void = () => {};

  constructor(storage: DurableObjectStorage, { nested = false, transactions }: SqlRecordsOptions = {}) {
    this.#storage = storage;
    this.#nested = nested;
    this.#transactions = transactions;
    for (const [name, { derived }] of Object.entries(COLLECTIONS) as [Collection, { derived?: true }][]) {
      if (derived) this.#derived.set(name, new DerivedRecords());
      else this.#tables.set(name, sqlTable(name));
    }
    try {
      this.#look();
    } catch {
      // Each program tries again and reports the error. An object whose constructor throws cannot report it to its
      // callers, and its alarm fails until Cloudflare drops it.
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

  /** Reads whether the tables exist, and migrates them. */
  #look(): void {
    if (this.#there || !hasTables(this.#storage.sql)) return;
    migrate(this.#storage);
    this.#there = true;
  }

  /** Clears what is cached of the tables when an observed transaction was undone since the last program. */
  #forgetUndone(): void {
    const { undone } = this.#transactions ?? { undone: 0 };
    if (undone === this.#undoneBefore) return;
    this.#undoneBefore = undone;
    this.#forget();
  }

  /** Clears all that is cached or derived from the tables: it is read again. */
  #forget(): void {
    for (const records of this.#derived.values()) records.clear();
    this.#deferred.clear();
    this.#witness = undefined;
    this.#there = false;
    this.undone++;
  }

  /**
   * Clears what is derived when the last program that wrote was undone. Checking that one is enough: transactions end
   * in the reverse order of their beginnings, so an undo of an earlier program undoes the later ones too.
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
        const [row] = this.#exec(table.getOne, key);
        return row?.[0] === JSON.stringify(rest);
      }
      case "delete":
        return this.#get(table, witness.keys).every((record) => record === undefined);
      case "deleteRange":
        return this.#scan(table, { ...witness, op: "scan", limit: 1, keysOnly: true }).length === 0;
    }
  }

  #tellDamage(): void {
    if (this.#damaged.length === 0) return;
    // What was derived from it must be derived again.
    for (const records of this.#derived.values()) records.clear();
    for (const error of this.#damaged.splice(0)) this.onDamaged(error);
  }

  #answer(step: Step): unknown {
    return isOperation(step) ? this.#operate(step) : step.map((operation) => this.#operate(operation));
  }

  #operate(operation: Operation): unknown {
    const derived = this.#derived.get(operation.collection);
    if (derived) return performInMemory(derived, operation);
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
        return this.#read(table, operation.collection, () => this.#get(table, operation.keys));
      case "scan":
        return this.#read(table, operation.collection, () => this.#scan(table, operation));
      case "put":
        return this.#put(table, operation.records);
      case "delete":
        return this.#delete(table, operation.keys);
      case "deleteRange": {
        const range = sqlRange(operation.collection, operation.from, operation.to);
        if (range) this.#exec(table.deleteRange(range), range.bindings);
        return undefined;
      }
    }
  }

  /** Reads, and repeats the read after each damaged record. */
  #read<T>(table: SqlTable, collection: Collection, read: () => T): T {
    for (;;) {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof DamagedRecord)) throw error;
        this.#damaged.push(setAside(this.#storage.sql, collection, error));
        this.#exec(table.deleteOne, error.key);
      }
    }
  }

  /** Prefers a record that was put: no other code writes the same one. */
  #note(operation: Operation): void {
    if (operation.op === "get" || operation.op === "scan") return;
    if (operation.op === "put" || this.#written?.op !== "put") this.#written = operation;
  }

  #get(table: SqlTable, keys: readonly Key[]): (AnyRecord | undefined)[] {
    if (keys.length === 1) {
      const key = keys[0] as Key;
      const [row] = this.#exec(table.getOne, key);
      return [row && parse(key, row[0] as string)];
    }
    const found = new Array<AnyRecord | undefined>(keys.length).fill(undefined);
    let offset = 0;
    for (const chunk of chunks(keys)) {
      for (const [position, record] of this.#exec(table.getMany, [chunk.json])) {
        const index = offset + (position as number);
        found[index] = parse(keys[index] as Key, record as string);
      }
      offset += chunk.count;
    }
    return found;
  }

  #scan(table: SqlTable, { collection, from, to, limit, reverse, keysOnly }: ScanOperation): unknown[] {
    const range = sqlRange(collection, from, to);
    if (!range) return [];
    // A negative LIMIT is none (SQLite).
    const most = Number.isFinite(limit) ? limit : -1;
    const rows = this.#exec(table.scan(range, reverse ?? false, keysOnly ?? false), [...range.bindings, most]);
    return rows.map((row) => {
      if (keysOnly) return [...range.shared, ...row];
      const record = row.pop() as string;
      return parse([...range.shared, ...row] as Key, record);
    });
  }

  #put(table: SqlTable, records: readonly AnyRecord[]): void {
    if (records.length === 1) {
      const [{ key, ...rest }] = records as readonly [AnyRecord];
      this.#exec(table.putOne, [...key, JSON.stringify(rest)]);
      return;
    }
    // The record is text within the JSON, which SQLite stores as it is instead of serialising it again.
    const rows = records.map(({ key, ...rest }) => [...key, JSON.stringify(rest)]);
    for (const { json } of chunks(rows)) this.#exec(table.putMany, [json]);
  }

  #delete(table: SqlTable, keys: readonly Key[]): void {
    if (keys.length === 1) this.#exec(table.deleteOne, keys[0] as Key);
    else for (const { json } of chunks(keys)) this.#exec(table.deleteMany, [json]);
  }

  #exec(statement: string, bindings: readonly (string | number)[]): SqlStorageValue[][] {
    try {
      const cursor = this.#storage.sql.exec(statement, ...bindings);
      const rows = [...cursor.raw()];
      this.rowsRead += cursor.rowsRead;
      this.rowsWritten += cursor.rowsWritten;
      return rows;
    } catch (cause) {
      if (String(cause).includes("no such table") && !hasTables(this.#storage.sql)) throw new TablesGone();
      throw storageError(cause);
    }
  }
}

function parse(key: Key, json: string): AnyRecord {
  let record: object | null;
  try {
    record = JSON.parse(json);
  } catch (cause) {
    throw new DamagedRecord(key, json, cause);
  }
  if (typeof record !== "object" || record === null) throw new DamagedRecord(key, json);
  // Set, not spread: the engine shares one shape among all that it parses.
  const whole = record as { key: Key };
  whole.key = key;
  return whole as AnyRecord;
}

/** JSON arrays of consecutive rows, each short enough to be bound. */
function* chunks(rows: readonly (readonly unknown[])[]): Generator<{ json: string; count: number }> {
  let texts: string[] = [];
  let length = 0;
  for (const row of rows) {
    const text = JSON.stringify(row);
    if (texts.length > 0 && length + text.length > CHUNK_LENGTH) {
      yield { json: `[${texts.join(",")}]`, count: texts.length };
      texts = [];
      length = 0;
    }
    texts.push(text);
    length += text.length + 1;
  }
  if (texts.length > 0) yield { json: `[${texts.join(",")}]`, count: texts.length };
}

function performInMemory(records: DerivedRecords, operation: Operation): unknown {
  switch (operation.op) {
    case "get":
      return operation.keys.map((key) => records.get(key));
    case "scan": {
      const found = records.range(operation.from, operation.to);
      if (operation.reverse) found.reverse();
      const page = found.slice(0, operation.limit);
      return operation.keysOnly ? page.map((record) => record.key) : page;
    }
    case "put":
      for (const record of operation.records) records.put(record);
      return undefined;
    case "delete":
      for (const key of operation.keys) records.delete(key);
      return undefined;
    case "deleteRange":
      for (const record of records.range(operation.from, operation.to)) records.delete(record.key);
      return undefined;
  }
}

/** SQLite's own words say what failed; there is no other field that does. */
function storageError(cause: unknown): QuaysideError {
  const text = String(cause);
  if (text.includes("SQLITE_FULL"))
    return new QuaysideError("storage_full", "The object's database is full.", {}, cause);
  if (text.includes("SQLITE_TOOBIG"))
    return new QuaysideError("too_large", "A record is larger than a row may be.", {}, cause);
  return new QuaysideError("storage_unavailable", "The object's database refused a statement.", {}, cause);
}
