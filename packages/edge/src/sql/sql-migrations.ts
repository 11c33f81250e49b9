import { QuaysideError } from "@quayside/core";
import { sqlTable } from "./sql-table.ts";

/** An upgrade of the tables by one version. Runs in a transaction of its own and must be synchronous. */
export type Migration = (sql: SqlStorage) => void;

/**
 * Upgrades from an empty database to the tables of this version; the first one makes version 1. Never edit a released
 * migration or the statements that it runs: append a new one, and add a database of its version to
 * `test/edge/fixtures`, from which later versions are tested.
 */
export const MIGRATIONS: readonly Migration[] = [
  (sql) => {
    for (const collection of ["jobs", "leases", "ids", "dedupe", "cells"] as const)
      sql.exec(sqlTable(collection).create);
  },
];

/** Returns whether the database contains Quayside's tables, of any version. */
export const hasTables = (sql: SqlStorage): boolean =>
  [...sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'quayside_migrations'")].length > 0;

/**
 * Upgrades the database, each step in a transaction of its own. After a failed step, the next call continues from
 * there. The version is in a table, because Durable Objects refuse `PRAGMA user_version` (`SQLITE_AUTH`).
 *
 * @param steps other migrations than those of this code, for tests.
 * @returns the number of steps that ran.
 * @throws {QuaysideError} `storage_unavailable` with `details.reason`: `newer_version` if newer code has upgraded the
 * database (a deployment was rolled back), `failed` if a step threw. The records are unchanged in both cases.
 */
export function migrate(storage: DurableObjectStorage, steps = MIGRATIONS): number {
  const { sql } = storage;
  sql.exec("CREATE TABLE IF NOT EXISTS quayside_migrations (version INTEGER PRIMARY KEY)");
  const [row] = sql.exec<{ version: number | null }>("SELECT MAX(version) AS version FROM quayside_migrations");
  const from = row?.version ?? 0;
  if (from > steps.length) throw newer(from, steps.length);
  for (const [index, step] of steps.entries()) {
    const version = index + 1;
    if (version <= from) continue;
    try {
      storage.transactionSync(() => {
        step(sql);
        sql.exec("INSERT INTO quayside_migrations VALUES (?)", version);
      });
    } catch (cause) {
      throw new QuaysideError(
        "storage_unavailable",
        `The object's tables could not be brought to version ${version}: they stay at ${index} until the next try.`,
        { reason: "failed", version },
        cause,
      );
    }
  }
  return steps.length - from;
}

const newer = (version: number, known: number) =>
  new QuaysideError(
    "storage_unavailable",
    `The object's tables are of version ${version}; this code knows ${known} at most and leaves them alone. Deploy the newer code again.`,
    { reason: "newer_version", version, known },
  );
