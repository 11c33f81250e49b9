import { vi } from "vitest";

/**
 * What an engine does to a transaction: `refuse` it when it is asked for, `lose` it between its end and its commit, or
 * `strand` it: close the connection by force and never tell of it (Chromium 156, seen under load).
 */
export type Fault = "refuse" | "lose" | "strand";

/**
 * Makes the engine fail the next transactions in the way, and with the error, of a lost connection or a full disk.
 * Chromium cannot be brought to do these by itself: WebKit's "connection lost" has no switch.
 *
 * @returns how many transactions have been asked for since.
 */
export function failTransactions(times: number, fault: Fault, error: DOMException): () => number {
  let asked = 0;
  const original = IDBDatabase.prototype.transaction;
  vi.spyOn(IDBDatabase.prototype, "transaction").mockImplementation(function (this: IDBDatabase, ...args) {
    asked++;
    if (asked > times) return original.apply(this, args);
    if (fault === "refuse") throw error;
    if (fault === "strand") {
      setTimeout(() => this.dispatchEvent(new Event("close")));
      return { objectStore: () => ({ get: () => ({}) }), abort() {} } as unknown as IDBTransaction;
    }
    const transaction = original.apply(this, args);
    transaction.commit = () => {
      Object.defineProperty(transaction, "error", { value: error });
      transaction.abort();
    };
    return transaction;
  });
  return () => asked;
}
