/** Holds one record, which is space that can be given up. One per site: a quota is for all of its databases. */
const DATABASE = "quayside-reserve";
const BYTES = 256 * 1024;

/** By factory: each has a quota of its own. Resolves with whether the reserve is there. */
const kept = new WeakMap<IDBFactory, Promise<boolean>>();

/**
 * Keeps space back, unless that is done already; answers whether it is kept. Once the site's quota is used up, engines
 * refuse each transaction that puts anything, however small and whatever it deletes. Deleting a database of its own makes
 * room at once.
 */
export async function keepSpaceReserve(factory = indexedDB): Promise<boolean> {
  const keeping = kept.get(factory) ?? make(factory);
  kept.set(factory, keeping);
  const made = await keeping;
  if (!made) kept.delete(factory);
  return made;
}

/** Gives the space up; answers whether that may have made room. */
export async function spendSpaceReserve(factory = indexedDB): Promise<boolean> {
  // One that is on its way is as full as the rest.
  await kept.get(factory);
  kept.delete(factory);
  return settled(() => factory.deleteDatabase(DATABASE));
}

const make = (factory: IDBFactory): Promise<boolean> =>
  settled(
    () => {
      const request = factory.open(DATABASE, 1);
      request.onupgradeneeded = () => {
        // Random: zeros would be compressed. In parts, as random bytes are to be had 64 KiB at a time.
        const bytes = new Uint8Array(BYTES);
        for (let at = 0; at < BYTES; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
        request.result.createObjectStore("reserve").put(bytes, 0);
      };
      return request;
    },
    (database) => database.close(),
  );

/** Whether the request succeeded. False as soon as others hold it up. */
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
