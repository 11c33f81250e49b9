import { databaseName } from "./database-name.ts";
import { EngineFailure, toQuaysideError, unavailable } from "./idb-errors.ts";

/** Longest time to wait until other tabs have closed the database, in ms. Tabs with Quayside close it at once. */
const PATIENCE_MS = 10_000;

/**
 * Deletes a database with all its jobs, for example at sign-out or if it is damaged. Drivers that use the database then
 * reject with `storage_unavailable`, reason `deleted`; a new driver creates a new database.
 *
 * @throws {QuaysideError} `storage_unavailable`: reason `blocked` if a frozen tab or foreign code keeps the database
 * open (it is deleted when the connection closes), else `failed`.
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
