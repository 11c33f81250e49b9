import { COLLECTION_NAMES, type Program, type Step } from "@quayside/core/engine";
import { EngineFailure } from "./idb-errors.ts";
import { issue } from "./idb-requests.ts";

export type Durability = "relaxed" | "strict";

/**
 * Runs a program inside one transaction over all object stores (`readonly` for a program that only reads). Resolves when
 * the transaction has completed. Rejects with what the program threw, or with an `EngineFailure`; the transaction is
 * undone by then.
 *
 * The program is advanced from the events of its own requests and from nothing else, so the transaction never commits
 * by itself under it. A write has no answer to wait for: the program goes on at once, and its next read waits
 * behind the write in the transaction's queue.
 */
export async function runProgram<T>(
  database: IDBDatabase,
  durability: Durability,
  program: Program<T>,
  mode: IDBTransactionMode,
): Promise<T> {
  // Up to its first operation a program has seen nothing of the store, so that much may run before the transaction is
  // made. From there to the first request nothing else may happen: Safari commits a transaction that has none.
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

    const stranded = strandedBy(database);
    const end = (settle: () => void) => {
      stranded.delete(strand);
      settle();
    };
    // A connection closed by force has aborted its transactions when it says so. Chromium misses those that were made
    // while it was on its way to say so: they never fire an event of their own.
    const strand = () => {
      abort(transaction);
      end(() => reject(thrown ? thrown.error : new EngineFailure(closedByForce(), finished)));
    };
    transaction.oncomplete = () => end(() => resolve(result));
    transaction.onabort = () =>
      end(() => reject(thrown ? thrown.error : new EngineFailure(transaction.error, finished)));
    stranded.add(strand);
    advance(() => first);
  });
}

const strands = new WeakMap<IDBDatabase, Set<() => void>>();

/** The functions to call when this connection is closed by force: one listener for all of its transactions. */
function strandedBy(database: IDBDatabase): Set<() => void> {
  let all = strands.get(database);
  if (!all) {
    const made = new Set<() => void>();
    database.addEventListener("close", () => {
      for (const strand of [...made]) strand();
    });
    strands.set(database, made);
    all = made;
  }
  return all;
}

/** Named as Chromium names it in the transactions that it does abort. */
const closedByForce = () => new DOMException("The connection was closed by force.", "UnknownError");

function begin(database: IDBDatabase, durability: Durability, mode: IDBTransactionMode): IDBTransaction {
  try {
    return database.transaction(COLLECTION_NAMES, mode, { durability });
  } catch (error) {
    throw new EngineFailure(error);
  }
}

/** Saves the engine the wait for the last request's event. It would commit anyway, so a failure here says nothing. */
function commit(transaction: IDBTransaction): void {
  try {
    transaction.commit?.();
  } catch {
    // Aborted already: its event is on the way.
  }
}

function abort(transaction: IDBTransaction): void {
  try {
    transaction.abort();
  } catch {
    // The engine was faster: its event is on the way.
  }
}
