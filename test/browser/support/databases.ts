import { deleteDB } from "idb";
import { cdp } from "vitest/browser";

let made = 0;

/** A name that no other case uses: cases of one page share its origin. */
export const freshName = (): string => `case-${++made}-${crypto.randomUUID()}`;

/** What the store of that name calls its database. */
export const databaseOf = (name: string): string => `quayside:${name}`;

export const exists = async (name: string): Promise<boolean> =>
  (await indexedDB.databases()).some((database) => database.name === databaseOf(name));

export const drop = (name: string): Promise<void> => deleteDB(databaseOf(name));

/** As "clear site data" does it: no `versionchange`; connections are closed under their users, transactions aborted. */
export async function deleteByForce(name: string): Promise<void> {
  // Typed by the provider alone, whose types would bring Node's globals with them.
  const devtools = cdp() as unknown as { send(method: string, params: object): Promise<unknown> };
  await devtools.send("IndexedDB.deleteDatabase", { securityOrigin: location.origin, databaseName: databaseOf(name) });
}
