import { checkOption } from "../check-option.ts";

/**
 * Returns the name of the database, of its broadcast channel, and the prefix of its workers' locks. The prefix
 * `quayside:` avoids conflicts with the app's own databases.
 */
export function databaseName(name: string): string {
  checkOption("name", name, typeof name === "string" && name !== "", "a string that is not empty");
  return `quayside:${name}`;
}
