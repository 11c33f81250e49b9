import { COLLECTIONS, type Collection, type Key } from "@quayside/core/engine";

/**
 * The SQL statements of one collection. Its table is `WITHOUT ROWID`, with the collection's key as primary key and one
 * column for the rest of the record as JSON. The table is its own index, so a put or delete bills one row.
 */
export interface SqlTable {
  readonly create: string;
  readonly getOne: string;
  readonly getMany: string;
  readonly putOne: string;
  readonly putMany: string;
  readonly deleteOne: string;
  readonly deleteMany: string;
  /** Returns the SQL of a scan. It selects the key parts that are not equal in the whole range, and the record. */
  scan(range: SqlRange, reverse: boolean, keysOnly: boolean): string;
  deleteRange(range: SqlRange): string;
}

/** The SQL condition for a range of keys, and its bindings. */
export interface SqlRange {
  readonly where: string;
  /** The leading key parts that are equal in the whole range. A scan does not select them. */
  readonly shared: Key;
  readonly bindings: readonly (string | number)[];
}

/** Quotes a column name: `order` is an SQL keyword. */
const quote = (name: string) => `"${name}"`;

/** Returns the name of a collection's table. Its prefix avoids conflicts with the user's own tables. */
export const tableName = (collection: Collection): string => `quayside_${collection}`;

export function sqlTable(collection: Collection): SqlTable {
  const table = quote(tableName(collection));
  const parts = COLLECTIONS[collection].key;
  const columns = parts.map((part) => quote(part.name));
  const key = columns.join(", ");
  const keyIs = columns.map((column) => `${column} = ?`).join(" AND ");
  // Statements for many rows take one JSON array, because Durable Objects allow at most 100 parameters per statement.
  const elements = parts.map((_, index) => `value ->> ${index}`).join(", ");
  const joined = columns.map((column, index) => `t.${column} = k.value ->> ${index}`).join(" AND ");
  const backwards = columns.map((column) => `${column} DESC`).join(", ");
  return {
    create: `CREATE TABLE ${table} (${parts
      .map((part) => `${quote(part.name)} ${part.type.toUpperCase()} NOT NULL`)
      .join(", ")}, record TEXT NOT NULL, PRIMARY KEY (${key})) WITHOUT ROWID`,
    getOne: `SELECT record FROM ${table} WHERE ${keyIs}`,
    // CROSS JOIN fixes the join order: the keys in the outer loop, a primary-key search in the inner one.
    getMany: `SELECT k.key, t.record FROM json_each(?) AS k CROSS JOIN ${table} AS t WHERE ${joined}`,
    putOne: `INSERT OR REPLACE INTO ${table} VALUES (${"?, ".repeat(columns.length)}?)`,
    putMany: `INSERT OR REPLACE INTO ${table} SELECT ${elements}, value ->> ${columns.length} FROM json_each(?)`,
    deleteOne: `DELETE FROM ${table} WHERE ${keyIs}`,
    deleteMany: `DELETE FROM ${table} WHERE (${key}) IN (SELECT ${elements} FROM json_each(?))`,
    scan: ({ where, shared }, reverse, keysOnly) => {
      const varying = columns.slice(shared.length);
      return `SELECT ${[...varying, ...(keysOnly ? [] : ["record"])].join(", ")} FROM ${table} WHERE ${where} ORDER BY ${reverse ? backwards : key} LIMIT ?`;
    },
    deleteRange: ({ where }) => `DELETE FROM ${table} WHERE ${where}`,
  };
}

/**
 * Returns the condition for the keys from `from` (inclusive) to `to` (exclusive): equality of the shared parts and
 * comparisons of the rest, which SQLite runs as one primary-key search. Returns undefined if no key can match.
 */
export function sqlRange(collection: Collection, from: Key, to: Key): SqlRange | undefined {
  const columns = COLLECTIONS[collection].key.map((part) => quote(part.name));
  let shared = 0;
  while (shared < from.length && shared < to.length && from[shared] === to[shared]) shared++;
  if (shared === to.length) return undefined;
  const conditions = columns.slice(0, shared).map((column) => `${column} = ?`);
  if (from.length > shared) conditions.push(comparison(columns.slice(shared, from.length), ">="));
  conditions.push(comparison(columns.slice(shared, to.length), "<"));
  return {
    where: conditions.join(" AND "),
    shared: from.slice(0, shared),
    bindings: [...from.slice(0, shared), ...from.slice(shared), ...to.slice(shared)],
  };
}

/**
 * Returns an SQL comparison of the first key parts with a tuple. A key that is longer than the tuple can compare as
 * equal.
 */
function comparison(columns: readonly string[], operator: ">=" | "<"): string {
  if (columns.length === 1) return `${columns[0]} ${operator} ?`;
  return `(${columns.join(", ")}) ${operator} (${columns.map(() => "?").join(", ")})`;
}
