import { sqlTable } from "./sql-table.ts";

/**
 * The steps from an empty database to the tables that this version works with, numbered from 1. A released step is
 * never edited: a change of the layout is a new step at the end. They run one after another in one transaction, so an
 * object is at one number or at the next.
 */
const MIGRATIONS: readonly ((sql: SqlStorage) => void)[] = [
  (sql) => {
    for (const collection of ["jobs", "leases", "ids", "dedupe", "cells"] as const)
      sql.exec(sqlTable(collection).create);
  },
];

/**
 * Brings the database up to date. The number lies in a table of its own: `PRAGMA user_version` is refused inside a
 * Durable Object (`SQLITE_AUTH`).
 *
 * @returns how many steps it took.
 */
export function migrate(storage: DurableObjectStorage): number {
  return storage.transactionSync(() => {
    const { sql } = storage;
    sql.exec("CREATE TABLE IF NOT EXISTS quayside_migrations (version INTEGER PRIMARY KEY)");
    const [row] = sql.exec<{ version: number | null }>("SELECT MAX(version) AS version FROM quayside_migrations");
    const from = row?.version ?? 0;
    for (const [index, step] of MIGRATIONS.entries()) {
      if (index < from) continue;
      step(sql);
      sql.exec("INSERT INTO quayside_migrations VALUES (?)", index + 1);
    }
    return Math.max(0, MIGRATIONS.length - from);
  });
}
