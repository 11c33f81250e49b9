import { QuaysideError, StorageFullError } from "@quayside/core";

/**
 * Thrown when the browser's database engine failed, not the program of the store. The store decides whether to run the
 * program again.
 */
export class EngineFailure {
  readonly cause: unknown;
  /**
   * Whether the program had made all its requests. If the connection was lost after that, the program may have been
   * committed.
   */
  readonly finished: boolean;

  constructor(cause: unknown, finished = false) {
    this.cause = cause;
    this.finished = finished;
  }
}

/**
 * Returns whether the connection was lost and the program was certainly not committed, so that it can run again.
 *
 * - `InvalidStateError`: the connection was closed before the transaction began.
 * - `AbortError`: the connection was closed by force (https://w3c.github.io/IndexedDB/#close-a-database-connection).
 * - `UnknownError`: in WebKit "Connection to Indexed Database server lost", in other browsers an I/O error. Once the
 *   program has finished, the outcome is unknown, and running the program again could add its jobs twice.
 */
export function isLostConnection({ cause, finished }: EngineFailure): boolean {
  const name = nameOf(cause);
  return name === "InvalidStateError" || name === "AbortError" || (name === "UnknownError" && !finished);
}

/** Returns whether an error may be caused by a full disk. WebKit then aborts without an error. */
export const mayBeFull = ({ cause }: EngineFailure): boolean =>
  nameOf(cause) === "QuotaExceededError" || cause === null;

/** The reason why a database cannot be used: `details.reason` of a `storage_unavailable` error. */
export type UnavailableReason = "deleted" | "damaged" | "newer_version" | "blocked" | "failed";

const EXPLANATIONS: Readonly<Record<Exclude<UnavailableReason, "failed">, string>> = {
  deleted: "was deleted while in use, with its jobs. Make a new driver",
  damaged: "was damaged, and the browser deleted its jobs. The next call begins without them",
  newer_version: "was upgraded by a newer version of this page. Reload to use that",
  blocked: "could not be opened: another tab has an old version open. Close the other tabs",
};

export const unavailable = (database: string, reason: keyof typeof EXPLANATIONS, cause?: unknown): QuaysideError =>
  unusable(database, reason, `The database ${database} ${EXPLANATIONS[reason]}.`, cause);

const unusable = (database: string, reason: UnavailableReason, message: string, cause: unknown): QuaysideError =>
  new QuaysideError("storage_unavailable", message, { reason, database }, cause);

/** Creates the error of a write for which there is no space. */
export const storageFull = (database: string, cause?: unknown): QuaysideError =>
  new StorageFullError("The site's storage quota is used up; nothing was written.", { database }, cause);

/** Creates the error of a failed upgrade. The upgrade was rolled back; the records are unchanged. */
export const upgradeFailed = (database: string, cause: unknown): unknown =>
  mayBeFull(new EngineFailure(cause))
    ? new EngineFailure(cause)
    : unusable(
        database,
        "failed",
        `The database ${database} could not be upgraded and is as it was. The next call tries again; where that fails too, deploy the code before.`,
        cause,
      );

/** Converts a failure of the database engine to the error for the caller. */
export function toQuaysideError({ cause }: EngineFailure, database: string): QuaysideError {
  // Compared by name, because browsers use different classes.
  if (nameOf(cause) === "QuotaExceededError") return storageFull(database, cause);
  const what = cause instanceof Error ? `${cause.name}: ${cause.message}` : "the transaction was aborted";
  return unusable(database, "failed", `IndexedDB failed: ${what}`, cause);
}

export const nameOf = (error: unknown): unknown => (error as { name?: unknown } | null | undefined)?.name;
