import { isOperation, type Key, type Operation, type Step } from "@quayside/core/engine";
import { EngineFailure } from "./idb-errors.ts";
import { fromText, toText } from "./text-keys.ts";

/** The requests that were made for an operation. */
export interface Issued {
  /** Calls `done` when the answer of the operation is available. Absent: there is nothing to wait for. */
  readonly wait?: ((done: () => void) => void) | undefined;
  readonly answer: () => unknown;
}

type Scan = Extract<Operation, { op: "scan" }>;

/**
 * The part of `IDBObjectStore` that reads backwards in one request: `getAllRecords` (Chrome 141, Firefox 153), which
 * TypeScript's DOM types lack.
 */
interface BackwardReader {
  getAllRecords(options: {
    query: IDBKeyRange;
    count?: number | undefined;
    direction: "prev";
  }): IDBRequest<readonly { value: unknown }[]>;
}

const nothing: Issued = { answer: () => undefined };
const noRows: Issued = { answer: () => [] };

/** Makes the requests of all operations of a step. */
export function issue(transaction: IDBTransaction, step: Step): Issued {
  if (isOperation(step)) return issueOne(transaction, step);
  const issued = step.map((operation) => issueOne(transaction, operation));
  const wait = issued.findLast((one) => one.wait)?.wait;
  return { answer: () => issued.map((one) => one.answer()), ...(wait && { wait }) };
}

/**
 * Makes all requests of an operation, in order. Requests of a transaction succeed in the order in which they were made,
 * so it is enough to wait for the last; a failed request aborts the transaction.
 *
 * @throws {EngineFailure} if the browser refuses a request immediately.
 */
function issueOne(transaction: IDBTransaction, operation: Operation): Issued {
  try {
    const store = transaction.objectStore(operation.collection);
    // A read-only program only writes records that can be derived again.
    if (transaction.mode === "readonly" && (operation.op === "put" || operation.op === "delete")) return nothing;
    switch (operation.op) {
      case "get":
        return each(operation.keys.map((key) => store.get(toText(key))));
      case "scan":
        return scan(store, operation);
      case "put":
        for (const record of operation.records) store.put(record, toText(record.key));
        return nothing;
      case "delete":
        for (const key of operation.keys) store.delete(toText(key));
        return nothing;
      case "deleteRange": {
        const range = halfOpen(operation.from, operation.to);
        if (range) store.delete(range);
        return nothing;
      }
    }
  } catch (error) {
    throw new EngineFailure(error);
  }
}

function each(requests: readonly IDBRequest<unknown>[]): Issued {
  const last = requests.at(-1);
  return last ? once(last, () => requests.map((request) => request.result)) : noRows;
}

function once(request: IDBRequest, answer: () => unknown): Issued {
  return {
    wait: (done) => {
      request.onsuccess = done;
    },
    answer,
  };
}

function scan(store: IDBObjectStore, { from, to, limit, reverse, keysOnly }: Scan): Issued {
  const range = halfOpen(from, to);
  // IndexedDB takes a count of 0 as no limit.
  if (!range || limit < 1) return noRows;
  if (reverse)
    return keysOnly || !("getAllRecords" in store)
      ? walkBack(store, range, limit, keysOnly)
      : readBack(store, range, limit);
  if (keysOnly) {
    const request = store.getAllKeys(range, toCount(limit));
    return once(request, () => (request.result as string[]).map(fromText));
  }
  const request = store.getAll(range, toCount(limit));
  return once(request, () => request.result);
}

function readBack(store: IDBObjectStore, query: IDBKeyRange, limit: number): Issued {
  const count = toCount(limit);
  const reader = store as unknown as BackwardReader;
  const request = reader.getAllRecords({ query, direction: "prev", ...(count !== undefined && { count }) });
  return once(request, () => request.result.map(({ value }) => value));
}

function walkBack(store: IDBObjectStore, range: IDBKeyRange, limit: number, keysOnly = false): Issued {
  const rows: unknown[] = [];
  // Both requests have the same `success` event; the cast unites their types.
  const request = (
    keysOnly ? store.openKeyCursor(range, "prev") : store.openCursor(range, "prev")
  ) as IDBRequest<IDBCursor | null>;
  return {
    wait: (done) => {
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return done();
        rows.push("value" in cursor ? cursor.value : fromText(cursor.primaryKey as string));
        if (rows.length >= limit) return done();
        cursor.continue();
      };
    },
    answer: () => rows,
  };
}

/** Returns the key range `[from, to)`, or undefined for an empty range, for which IndexedDB would throw. */
function halfOpen(from: Key, to: Key): IDBKeyRange | undefined {
  const [lower, upper] = [toText(from), toText(to)];
  return lower < upper ? IDBKeyRange.bound(lower, upper, false, true) : undefined;
}

/**
 * Returns a limit as IndexedDB takes it, whose maximum is 2^32 − 1 (WebIDL `unsigned long`); undefined for no limit.
 */
const toCount = (limit: number): number | undefined => (limit < 2 ** 32 ? limit : undefined);
