/** Database with one record, whose space can be given up. There is one per site, because all databases share its quota. */
const DATABASE = "quayside-reserve";
const BYTES = 256 * 1024;

/** Resolves with whether the reserve is kept. Absent: it was not asked for, or given up. */
let kept: Promise<boolean> | undefined;

/**
 * Keeps space back, unless that is done already; answers whether it is kept. Once the site's quota is used up, engines
 * refuse each transaction that puts a record, however small the record is and whatever the transaction deletes. Deleting
 * a whole database makes room at once.
 */
export async function keepSpaceReserve(): Promise<boolean> {
  kept ??= make();
  const made = await kept;
  if (!made) kept = undefined;
  return made;
}

/** Gives the space up; answers whether that may have made room. */
export async function spendSpaceReserve(): Promise<boolean> {
  // A reserve that is being made is awaited first: deleting it before would leave it there.
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

/** Resolves with whether a request succeeded; false if other connections block it. */
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
