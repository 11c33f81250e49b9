import { deleteDB } from "idb";
import { cdp, server } from "vitest/browser";

let made = 0;

/** A name that no other case uses: cases of one page share its origin. */
export const freshName = (): string => `case-${++made}-${crypto.randomUUID()}`;

/** What the store of that name calls its database. */
export const databaseOf = (name: string): string => `quayside:${name}`;

/** The version of its object stores, and one that it does not know yet. */
export const VERSION = 1;
export const NEWER = VERSION + 1;

/** WebKit goes on listing a database whose making was undone, with version 0. */
export const exists = async (name: string): Promise<boolean> =>
  (await indexedDB.databases()).some(({ name: found, version }) => found === databaseOf(name) && version !== 0);

export const drop = (name: string): Promise<void> => deleteDB(databaseOf(name));

/** Only Chromium lets the devtools delete a database under its users. */
export const canDeleteByForce = server.browser === "chromium";

/** As "clear site data" does it: no `versionchange`; connections are closed under their users, transactions aborted. */
export async function deleteByForce(name: string): Promise<void> {
  // Typed by the provider alone, whose types would bring Node's globals with them.
  const devtools = cdp() as unknown as { send(method: string, params: object): Promise<unknown> };
  await devtools.send("IndexedDB.deleteDatabase", { securityOrigin: location.origin, databaseName: databaseOf(name) });
}
