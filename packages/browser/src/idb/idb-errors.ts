import { QuaysideError, StorageFullError } from "@quayside/core";

/** Thrown when the engine, and not the program, failed. The store decides whether to try again. */
export class EngineFailure {
  readonly cause: unknown;
  /** The program had said everything: a connection lost from here on leaves open whether it was committed. */
  readonly finished: boolean;

  constructor(cause: unknown, finished = false) {
    this.cause = cause;
    this.finished = finished;
  }
}

/**
 * Whether a new connection may help, and the program has certainly not been committed.
 *
 * - `InvalidStateError`: the connection was closed before the transaction began.
 * - `AbortError`: the connection was closed by force (https://w3c.github.io/IndexedDB/#close-a-database-connection).
 * - `UnknownError`: in WebKit "Connection to Indexed Database server lost"; elsewhere an I/O error, that may pass too.
 *   It comes from outside the transaction, so once the program has finished its outcome is unknown, and running it
 *   again could add its jobs twice.
 */
export function isLostConnection({ cause, finished }: EngineFailure): boolean {
  const name = nameOf(cause);
  return name === "InvalidStateError" || name === "AbortError" || (name === "UnknownError" && !finished);
}

/** Whether there may be no room left. WebKit aborts without an error when the disk is full. */
export const mayBeFull = ({ cause }: EngineFailure): boolean =>
  nameOf(cause) === "QuotaExceededError" || cause === null;

/** Why a database cannot be used: `details.reason` of a `storage_unavailable` error. */
export type UnavailableReason = "deleted" | "damaged" | "newer_version" | "blocked" | "failed";

const EXPLANATIONS: Readonly<Record<Exclude<UnavailableReason, "failed">, string>> = {
  deleted: "was deleted while in use, with its jobs. Make a new driver",
  damaged: "was damaged, and the browser deleted its jobs. The next call begins without them",
  newer_version: "was upgraded by a newer version of this page. Reload to use that",
  blocked: "could not be opened: another tab has an old version open. Close the other tabs",
};

export function unavailable(database: string, reason: keyof typeof EXPLANATIONS, cause?: unknown): QuaysideError {
  const message = `The database ${database} ${EXPLANATIONS[reason]}.`;
  return new QuaysideError("storage_unavailable", message, { reason, database }, cause);
}

/** The error of an upgrade that was undone: the records are of the format before, and whole. */
export const upgradeFailed = (database: string, cause: unknown): unknown =>
  mayBeFull(new EngineFailure(cause))
    ? new EngineFailure(cause)
    : new QuaysideError(
        "storage_unavailable",
        `The database ${database} could not be upgraded and is as it was. The next call tries again; where that fails too, deploy the code before.`,
        { reason: "failed" satisfies UnavailableReason, database },
        cause,
      );

/** Turns an engine's failure into the error for the caller. */
export function toQuaysideError({ cause }: EngineFailure, database: string): QuaysideError {
  // By name: engines disagree on the class.
  if (nameOf(cause) === "QuotaExceededError") {
    return new StorageFullError("The site's storage quota is used up; nothing was written.", { database }, cause);
  }
  const what = cause instanceof Error ? `${cause.name}: ${cause.message}` : "the transaction was aborted";
  const reason: UnavailableReason = "failed";
  return new QuaysideError("storage_unavailable", `IndexedDB failed: ${what}`, { reason, database }, cause);
}

export const nameOf = (error: unknown): unknown => (error as { name?: unknown } | null | undefined)?.name;
