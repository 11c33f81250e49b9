import { databaseName } from "./database-name.ts";
import { EngineFailure, toQuaysideError, unavailable } from "./idb-errors.ts";

/** How long other tabs have to let go of it. Those of Quayside do at once. */
const PATIENCE_MS = 10_000;

/**
 * Deletes the database of a name, with all jobs in it: the way out when it cannot be used any more, or at sign-out.
 * Drivers that are using it say `storage_unavailable`, reason `deleted`, from then on; a new driver makes a new database.
 *
 * @throws {QuaysideError} `storage_unavailable`: reason `blocked` when a frozen tab or a foreign connection holds on to it
 * (it is deleted when that lets go), else `failed`.
 * @example
 * await driver.close();
 * await deleteDatabase("my-app");
 * driver = indexedDbDriver({ name: "my-app" });
 */
export function deleteDatabase(name: string): Promise<void> {
  const database = databaseName(name);
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => reject(toQuaysideError(new EngineFailure(cause), database));
    try {
      const request = indexedDB.deleteDatabase(database);
      const timer = setTimeout(() => reject(unavailable(database, "blocked")), PATIENCE_MS);
      request.onsuccess = () => {
        clearTimeout(timer);
        resolve();
      };
      request.onerror = () => {
        clearTimeout(timer);
        fail(request.error);
      };
    } catch (error) {
      fail(error);
    }
  });
}
