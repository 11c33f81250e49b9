import { checkOption } from "../check-option.ts";

/**
 * The name of the database, of the channel and, before a worker's key, of its lock. The prefix keeps it apart from the
 * databases that the app itself makes: an app called "my-app" is likely to have one of that name.
 */
export function databaseName(name: string): string {
  checkOption("name", name, typeof name === "string" && name !== "", "a string that is not empty");
  return `quayside:${name}`;
}
