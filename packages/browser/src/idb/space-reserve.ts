/**
 * Name of the database that is the space reserve: it has one record, and deleting it frees space. One per site, because
 * the quota is for all databases of a site.
 */
const DATABASE = "quayside-reserve";
const BYTES = 256 * 1024;

/** Resolves with whether the reserve exists. Undefined before it is created and after it was deleted. */
let kept: Promise<boolean> | undefined;

/**
 * Creates the space reserve unless it exists; resolves with whether it exists. When a site's quota is used up, browsers
 * refuse every transaction that puts a record, even if it also deletes records. Deleting a whole database frees space
 * at once.
 */
export async function keepSpaceReserve(): Promise<boolean> {
  kept ??= make();
  const made = await kept;
  if (!made) kept = undefined;
  return made;
}

/** Deletes the space reserve; resolves with whether the deletion may have freed space. */
export async function spendSpaceReserve(): Promise<boolean> {
  // Waits for a reserve that is being created.
  await kept;
  kept = undefined;
  return settled(() => indexedDB.deleteDatabase(DATABASE));
}

const make = (): Promise<boolean> =>
  settled(
    () => {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        // Random bytes, because zeros would be compressed. In parts, because `getRandomValues` returns at most 64 KiB.
        const bytes = new Uint8Array(BYTES);
        for (let at = 0; at < BYTES; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
        request.result.createObjectStore("reserve").put(bytes, 0);
      };
      return request;
    },
    (database) => database.close(),
  );

/** Makes a request and resolves with whether it succeeded. False also if other connections block it. */
function settled<T>(ask: () => IDBRequest<T>, use: (result: T) => void = () => {}): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const request = ask();
      request.onerror = () => resolve(false);
      Object.assign(request, { onblocked: () => resolve(false) });
      request.onsuccess = () => {
        use(request.result);
        resolve(true);
      };
    } catch {
      resolve(false);
    }
  });
}
