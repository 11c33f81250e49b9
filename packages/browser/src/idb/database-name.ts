import { refused } from "@quayside/core/engine";

/**
 * Returns the name of the IndexedDB database for a store's name. Also the name of its broadcast channel, and the prefix
 * of its workers' locks. The prefix `quayside:` avoids conflicts with the app's own databases.
 */
export function databaseName(name: string): string {
  if (typeof name !== "string" || name === "") throw refused("name", "must be a string that is not empty", name);
  return `quayside:${name}`;
}
