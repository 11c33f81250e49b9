import { vi } from "vitest";

/** What was asked of IndexedDB. */
export interface Requests {
  transactions: number;
  /** Requests whose answer the program waits for. */
  reads: number;
  /** Ways to the browser's process and back that its reads take: reads asked for together take one. */
  trips: number;
  /** Requests that nobody waits for: `put`, `delete`. */
  writes: number;
}

const READS = ["get", "getKey", "getAll", "getAllKeys", "getAllRecords", "count", "openCursor", "openKeyCursor"];
const WRITES = ["put", "add", "delete", "clear"];

/** Counts, from now until the mocks are restored, what all of this page's connections ask. */
export function meterRequests(): { during(work: () => Promise<unknown>): Promise<Requests> } {
  const counted: Requests = { transactions: 0, reads: 0, trips: 0, writes: 0 };
  /** Reads on their way, by transaction. */
  const awaited = new WeakMap<IDBTransaction, number>();
  const travel = (request: IDBRequest) => {
    const { transaction } = request;
    if (!transaction) return;
    const before = awaited.get(transaction) ?? 0;
    if (before === 0) counted.trips++;
    awaited.set(transaction, before + 1);
    request.addEventListener("success", () => awaited.set(transaction, (awaited.get(transaction) ?? 1) - 1));
  };
  const count = (prototype: object, method: string, kind: keyof Requests) => {
    const original = (prototype as Record<string, ((...args: unknown[]) => unknown) | undefined>)[method];
    // Not every engine has every one of them.
    if (!original) return;
    vi.spyOn(prototype as Record<string, () => unknown>, method).mockImplementation(function (
      this: unknown,
      ...args: unknown[]
    ) {
      counted[kind]++;
      const made = original.apply(this, args);
      if (kind === "reads") travel(made as IDBRequest);
      return made;
    });
  };
  count(IDBDatabase.prototype, "transaction", "transactions");
  for (const method of READS) count(IDBObjectStore.prototype, method, "reads");
  for (const method of WRITES) count(IDBObjectStore.prototype, method, "writes");
  return {
    async during(work) {
      const before = { ...counted };
      await work();
      return {
        transactions: counted.transactions - before.transactions,
        reads: counted.reads - before.reads,
        trips: counted.trips - before.trips,
        writes: counted.writes - before.writes,
      };
    },
  };
}
