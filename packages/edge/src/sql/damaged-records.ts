import { QuaysideError } from "@quayside/core";
import type { Collection, Key } from "@quayside/core/engine";
import { tableName } from "./sql-table.ts";

/** Thrown when a row does not contain a valid record, because other code has changed it. */
export class DamagedRecord extends Error {
  override readonly name = "DamagedRecord";
  readonly key: Key;
  readonly text: string;
  constructor(key: Key, text: string, cause?: unknown) {
    super(`No record: ${text.slice(0, 100)}`, { cause });
    this.key = key;
    this.text = text;
  }
}

/** Name of the table that keeps damaged records for repair. The table is created with its first record. */
const DAMAGED = "quayside_damaged";

/** Returns whether this is the key of a queue's settings. */
export const isSettings = (collection: Collection, key: Key): boolean => collection === "cells" && key[0] === "queue";

/**
 * Moves a damaged record to another table: a job or a lease, so that it does not block the jobs after it, or the settings
 * of a queue, so that they do not block the object's other queues. Jobs of a damaged lease are claimed again, as after its
 * expiry. A queue whose settings are damaged is paused, because it may have been.
 *
 * @returns the error to report.
 * @throws {QuaysideError} `storage_unavailable`, `details.reason: "damaged"`, for any other record: without a dedupe key
 * or an idempotency record the queue would break a rule. Only calls that need this record fail.
 */
export function setAside(sql: SqlStorage, collection: Collection, damaged: DamagedRecord): QuaysideError {
  const { key, text } = damaged;
  const place = `The record ${JSON.stringify(key)} of the table ${tableName(collection)} is damaged`;
  const error = (what: string) =>
    new QuaysideError(
      "storage_unavailable",
      `${place}${what}`,
      { reason: "damaged", table: tableName(collection), key },
      damaged,
    );
  const settings = isSettings(collection, key);
  if (collection !== "jobs" && collection !== "leases" && !settings) throw error(": what needs it cannot be done.");
  sql.exec(
    `CREATE TABLE IF NOT EXISTS ${DAMAGED} (collection TEXT NOT NULL, key TEXT NOT NULL, record TEXT NOT NULL,
      found_at INTEGER NOT NULL DEFAULT (unixepoch()), PRIMARY KEY (collection, key)) WITHOUT ROWID`,
  );
  sql.exec(
    `INSERT OR REPLACE INTO ${DAMAGED} (collection, key, record) VALUES (?, ?, ?)`,
    collection,
    JSON.stringify(key),
    text,
  );
  return error(
    `, and was set aside in ${DAMAGED}.${settings ? " The queue is paused: configure it again, then resume it." : ""}`,
  );
}
