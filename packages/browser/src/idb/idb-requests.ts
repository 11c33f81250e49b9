import { isOperation, type Key, type Operation, type Step } from "@quayside/core/engine";
import { EngineFailure } from "./idb-errors.ts";
import { fromText, toText } from "./text-keys.ts";

/** An operation whose requests are under way. */
export interface Issued {
  /** Calls back once the answer is there. Absent: there is nothing to wait for. */
  readonly wait?: (done: () => void) => void;
  readonly answer: () => unknown;
}

type Scan = Extract<Operation, { op: "scan" }>;

/** `getAllRecords` (Chrome 141, Firefox 153) reads backwards in one request; TypeScript's DOM does not know it yet. */
interface BackwardReader {
  getAllRecords(options: {
    query: IDBKeyRange;
    count?: number;
    direction: "prev";
  }): IDBRequest<readonly { value: unknown }[]>;
}

const nothing: Issued = { answer: () => undefined };
const noRows: Issued = { answer: () => [] };

/** Issues the requests of a step at once: those of all of its operations. */
export function issue(transaction: IDBTransaction, step: Step): Issued {
  return isOperation(step)
    ? issueOne(transaction, step)
    : allOf(step.map((operation) => issueOne(transaction, operation)));
}

function allOf(issued: readonly Issued[]): Issued {
  const waits = issued.flatMap(({ wait }) => wait ?? []);
  const answer = () => issued.map((one) => one.answer());
  if (waits.length === 0) return { answer };
  let left = waits.length;
  return {
    answer,
    wait: (done) => {
      for (const wait of waits) wait(() => --left === 0 && done());
    },
  };
}

/**
 * Issues all requests of an operation at once, in the order of the batch. Requests of a transaction succeed in the
 * order in which they were made, so the last one speaks for all; a failed one aborts the transaction, which tells.
 *
 * @throws {EngineFailure} when the engine refuses a request on the spot.
 */
function issueOne(transaction: IDBTransaction, operation: Operation): Issued {
  try {
    const store = transaction.objectStore(operation.collection);
    switch (operation.op) {
      case "get":
        return each(operation.keys.map((key) => store.get(toText(key))));
      case "scan":
        return scan(store, operation);
      case "put":
        // What a program that only reads puts can be derived again.
        if (transaction.mode === "readonly") return nothing;
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
  // A count of 0 would mean "all".
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
  // Both are the same event with the same property; the types keep them apart.
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

/** `[from, to)`; undefined where nothing can lie in it, for which IndexedDB has no range but an exception. */
function halfOpen(from: Key, to: Key): IDBKeyRange | undefined {
  const [lower, upper] = [toText(from), toText(to)];
  return lower < upper ? IDBKeyRange.bound(lower, upper, false, true) : undefined;
}

/** The largest count is 2^32 − 1 (WebIDL `unsigned long`); beyond it there is no limit to speak of. */
const toCount = (limit: number): number | undefined => (limit < 2 ** 32 ? limit : undefined);
