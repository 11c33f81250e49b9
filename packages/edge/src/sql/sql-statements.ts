import { QuaysideError } from "@quayside/core";
import type { Collection, Key, Operation, Records } from "@quayside/core/engine";
import { DamagedRecord } from "./damaged-records.ts";
import { hasTables } from "./sql-migrations.ts";
import { type SqlTable, sqlRange } from "./sql-table.ts";

type AnyRecord = Records[Collection];
type ScanOperation = Extract<Operation, { readonly op: "scan" }>;

/** Maximum length of a bound text, in UTF-16 units (each at most 3 bytes of UTF-8): SQLite accepts 2 MB per value. */
const CHUNK_LENGTH = 600_000;

/** Thrown when the tables no longer exist, because the object's code has called `deleteAll()`. */
export class TablesGone extends Error {}

/** Runs store operations as SQL statements, and counts the billed rows. */
export class SqlStatements {
  readonly #sql: SqlStorage;
  rowsRead = 0;
  rowsWritten = 0;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  get(table: SqlTable, keys: readonly Key[]): (AnyRecord | undefined)[] {
    if (keys.length === 1) {
      const key = keys[0] as Key;
      const [row] = this.exec(table.getOne, key);
      return [row && parse(key, row[0] as string)];
    }
    const found = new Array<AnyRecord | undefined>(keys.length).fill(undefined);
    let offset = 0;
    for (const chunk of chunks(keys)) {
      for (const [position, record] of this.exec(table.getMany, [chunk.json])) {
        const index = offset + (position as number);
        found[index] = parse(keys[index] as Key, record as string);
      }
      offset += chunk.count;
    }
    return found;
  }

  scan(table: SqlTable, { collection, from, to, limit, reverse, keysOnly }: ScanOperation): unknown[] {
    const range = sqlRange(collection, from, to);
    if (!range) return [];
    // In SQLite, a negative LIMIT means no limit.
    const most = Number.isFinite(limit) ? limit : -1;
    const rows = this.exec(table.scan(range, reverse ?? false, keysOnly ?? false), [...range.bindings, most]);
    return rows.map((row) => {
      if (keysOnly) return [...range.shared, ...row];
      const record = row.pop() as string;
      return parse([...range.shared, ...row] as Key, record);
    });
  }

  put(table: SqlTable, records: readonly AnyRecord[]): void {
    if (records.length === 1) {
      const [{ key, ...rest }] = records as readonly [AnyRecord];
      this.exec(table.putOne, [...key, JSON.stringify(rest)]);
      return;
    }
    // The record is text inside the JSON, so SQLite stores it unchanged instead of serialising it again.
    const rows = records.map(({ key, ...rest }) => [...key, JSON.stringify(rest)]);
    for (const { json } of chunks(rows)) this.exec(table.putMany, [json]);
  }

  delete(table: SqlTable, keys: readonly Key[]): void {
    if (keys.length === 1) this.exec(table.deleteOne, keys[0] as Key);
    else for (const { json } of chunks(keys)) this.exec(table.deleteMany, [json]);
  }

  exec(statement: string, bindings: readonly (string | number)[]): SqlStorageValue[][] {
    try {
      const cursor = this.#sql.exec(statement, ...bindings);
      const rows = [...cursor.raw()];
      this.rowsRead += cursor.rowsRead;
      this.rowsWritten += cursor.rowsWritten;
      return rows;
    } catch (cause) {
      if (String(cause).includes("no such table") && !hasTables(this.#sql)) throw new TablesGone();
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
  // Assigned, not spread: V8 shares one hidden class among all parsed records.
  const whole = record as { key: Key };
  whole.key = key;
  return whole as AnyRecord;
}

/** Divides rows into JSON arrays that are short enough for one bound value. */
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

/** Converts an error of SQLite to one of Quayside. Only the error's text shows the cause. */
function storageError(cause: unknown): QuaysideError {
  const text = String(cause);
  if (text.includes("SQLITE_FULL"))
    return new QuaysideError("storage_full", "The object's database is full.", {}, cause);
  if (text.includes("SQLITE_TOOBIG"))
    return new QuaysideError("too_large", "A record is larger than a row may be.", {}, cause);
  return new QuaysideError("storage_unavailable", "The object's database refused a statement.", {}, cause);
}
