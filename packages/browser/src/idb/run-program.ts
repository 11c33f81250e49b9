import { COLLECTION_NAMES, type Program, type Step } from "@quayside/core/engine";
import { EngineFailure } from "./idb-errors.ts";
import { issue } from "./idb-requests.ts";

export type Durability = "relaxed" | "strict";

/**
 * Runs a program in one transaction over all object stores (`mode`: `readonly` if the program only reads). Resolves
 * when the transaction has completed. If the program throws or the engine fails, rolls back and rejects with the
 * program's error or an `EngineFailure`.
 *
 * Continues the program only in events of its own requests, so that the transaction does not commit early. Does not
 * wait for writes: the next read is queued behind them in the transaction.
 */
export async function runProgram<T>(
  database: IDBDatabase,
  durability: Durability,
  program: Program<T>,
  mode: IDBTransactionMode,
): Promise<T> {
  // Runs the program up to its first operation before the transaction begins. From the beginning to the first request
  // no other code may run: Safari commits a transaction without requests.
  const first = program.next();
  if (first.done) return first.value;
  const transaction = begin(database, durability, mode);

  return new Promise<T>((resolve, reject) => {
    let result: T;
    let finished = false;
    let thrown: { readonly error: unknown } | undefined;

    const advance = (next: () => IteratorResult<Step, T>): void => {
      try {
        let step = next();
        while (!step.done) {
          const { wait, answer } = issue(transaction, step.value);
          if (wait) {
            wait(() => advance(() => program.next(answer())));
            return;
          }
          step = program.next(answer());
        }
        result = step.value;
        finished = true;
        commit(transaction);
      } catch (error) {
        thrown = { error };
        abort(transaction);
      }
    };

    const end = (settle: () => void) => {
      database.removeEventListener("close", strand);
      settle();
    };
    const fail = (cause: unknown) => end(() => reject(thrown ? thrown.error : new EngineFailure(cause, finished)));
    // Called when the connection was closed by force, which aborts its transactions. Chromium sends no events to
    // transactions that were begun during the closing.
    const strand = () => {
      abort(transaction);
      fail(closedByForce());
    };
    transaction.oncomplete = () => end(() => resolve(result));
    transaction.onabort = () => fail(transaction.error);
    database.addEventListener("close", strand);
    advance(() => first);
  });
}

/** Creates an error like that of Chromium for transactions of a connection that was closed by force. */
const closedByForce = () => new DOMException("The connection was closed by force.", "UnknownError");

function begin(database: IDBDatabase, durability: Durability, mode: IDBTransactionMode): IDBTransaction {
  try {
    return database.transaction(COLLECTION_NAMES, mode, { durability });
  } catch (error) {
    throw new EngineFailure(error);
  }
}

/**
 * Commits the transaction now, which saves the wait for the event of its last request. Ignores errors, because the
 * browser commits in any case.
 */
function commit(transaction: IDBTransaction): void {
  try {
    transaction.commit?.();
  } catch {
    // The transaction is aborted already; its event follows.
  }
}

/** Aborts a transaction, unless the engine has aborted it already. */
export function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort();
  } catch {
    // The transaction has ended already; its event follows.
  }
}
