import { QuaysideError } from "@quayside/core";
import { sqlTable } from "./sql-table.ts";

/** One step of the layout of an object's tables to the next. Runs in a transaction of its own, and must not await. */
export type Migration = (sql: SqlStorage) => void;

/**
 * The steps from an empty database to the tables that this version works with, numbered from 1. A released step is
 * never edited, nor the statements that it runs: a change of the layout is a new step at the end, and comes with what an
 * object of its number holds, in `test/edge/fixtures`, from which every later version is tested.
 */
export const MIGRATIONS: readonly Migration[] = [
  (sql) => {
    for (const collection of ["jobs", "leases", "ids", "dedupe", "cells"] as const)
      sql.exec(sqlTable(collection).create);
  },
];

/** Whether an object has tables of Quayside's, of whatever version. */
export const hasTables = (sql: SqlStorage): boolean =>
  [...sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'quayside_migrations'")].length > 0;

/**
 * Brings the database up to date, each step in a transaction of its own: one that fails leaves the number before it,
 * and the next call goes on from there. The number is in a table of its own, because `PRAGMA user_version` is refused
 * inside a Durable Object (`SQLITE_AUTH`).
 *
 * @param steps others than this version's: for tests of a step that is being written.
 * @returns how many steps it took.
 * @throws {QuaysideError} `storage_unavailable`, `details.reason`: `newer_version` where newer code was here before (a
 * deploy was rolled back), `failed` where a step threw. Either way the records are as they were.
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
