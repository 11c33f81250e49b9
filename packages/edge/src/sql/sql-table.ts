import { COLLECTIONS, type Collection, type Key } from "@quayside/core/engine";

/**
 * The SQL of one collection: a `WITHOUT ROWID` table whose primary key is the collection's key, plus one column with
 * the JSON of the rest. Such a table is its own only index, so a put or a delete is one billed row.
 */
export interface SqlTable {
  readonly create: string;
  readonly getOne: string;
  readonly getMany: string;
  readonly putOne: string;
  readonly putMany: string;
  readonly deleteOne: string;
  readonly deleteMany: string;
  /** Answers what varies of the key, and the record. */
  scan(range: SqlRange, reverse: boolean, keysOnly: boolean): string;
  deleteRange(range: SqlRange): string;
}

/** The condition of a range of keys and what to bind to it. */
export interface SqlRange {
  readonly where: string;
  /** The first parts of a key, as far as all in the range have the same: a scan need not read them. */
  readonly shared: Key;
  readonly bindings: readonly (string | number)[];
}

/** `order` is a word of SQL, and other parts may become one: every name is quoted. */
const quote = (name: string) => `"${name}"`;

/** Quayside may share an object's database with its user's own tables. */
export const tableName = (collection: Collection): string => `quayside_${collection}`;

export function sqlTable(collection: Collection): SqlTable {
  const table = quote(tableName(collection));
  const parts = COLLECTIONS[collection].key;
  const columns = parts.map((part) => quote(part.name));
  const key = columns.join(", ");
  const keyIs = columns.map((column) => `${column} = ?`).join(" AND ");
  // The many-statements take one JSON array of rows: an object's statement has at most 100 parameters.
  const elements = parts.map((_, index) => `value ->> ${index}`).join(", ");
  const joined = columns.map((column, index) => `t.${column} = k.value ->> ${index}`).join(" AND ");
  const backwards = columns.map((column) => `${column} DESC`).join(", ");
  return {
    create: `CREATE TABLE ${table} (${parts
      .map((part) => `${quote(part.name)} ${part.type.toUpperCase()} NOT NULL`)
      .join(", ")}, record TEXT NOT NULL, PRIMARY KEY (${key})) WITHOUT ROWID`,
    getOne: `SELECT record FROM ${table} WHERE ${keyIs}`,
    // CROSS JOIN pins the order of the loops: the keys outside, a primary-key search inside.
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
 * The condition for the keys from `from` (inclusive) to `to` (exclusive, with all that it begins): equality on the
 * parts they share, comparisons on the rest, which SQLite turns into one search of the primary key. Undefined when no
 * key can match.
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

/** A tuple that is a prefix of a key compares as the key's own first parts do, so only these are compared. */
function comparison(columns: readonly string[], operator: ">=" | "<"): string {
  if (columns.length === 1) return `${columns[0]} ${operator} ?`;
  return `(${columns.join(", ")}) ${operator} (${columns.map(() => "?").join(", ")})`;
}
