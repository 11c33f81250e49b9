import { systemClock } from "@quayside/core";
import { nameOf } from "./idb-errors.ts";

/** How well the browser keeps the site's jobs. Values that the browser does not report are undefined. */
export interface StorageHealth {
  /** Whether databases can be opened: not in some private windows, in sandboxed frames, or with site data blocked. */
  readonly available: boolean;
  /** Whether the browser keeps the site's data when the disk is nearly full: see `requestPersistence`. */
  readonly persisted: boolean | undefined;
  /** Estimated bytes that the site may store. Browsers round the number, and add noise against fingerprinting. */
  readonly quota: number | undefined;
  /** Estimated bytes that the site stores, including other storage than databases. */
  readonly usage: number | undefined;
  /**
   * `private`: the data is deleted when the window is closed. Browsers hide private windows (Chromium completely), so
   * the other value is `unknown`.
   */
  readonly mode: "private" | "unknown";
}

/**
 * Reads the state of the browser's storage. Never throws: values that the browser does not report are undefined.
 *
 * @example
 * const { persisted, quota, usage } = await storageHealth();
 * if (persisted === false && worthAsking) await requestPersistence();
 */
export async function storageHealth(): Promise<StorageHealth> {
  const storage = storageManager();
  const [available, persisted, estimate, refused] = await Promise.all([
    canOpen(),
    answerOf(() => storage?.persisted?.()),
    answerOf(() => storage?.estimate?.()),
    refusesDirectory(storage),
  ]);
  // If nothing can be stored (sandboxed frames, blocked cookies), the refusal does not show a private window.
  const mode = available && refused ? "private" : "unknown";
  return { available, persisted, quota: estimate?.quota, usage: estimate?.usage, mode };
}

/**
 * Asks the browser to keep the site's data until the user deletes it. Firefox asks the user; other browsers decide by
 * how the site is used. Call it when the user has just stored something of value. Resolves with whether the browser
 * agreed, now or before.
 */
export async function requestPersistence(): Promise<boolean> {
  try {
    const storage = storageManager();
    // Not requested again if granted, so that the user is asked once.
    return (await storage?.persisted?.()) || ((await storage?.persist?.()) ?? false);
  } catch {
    return false;
  }
}

/**
 * Returns the storage manager. Unlike its type says, it and each of its methods may be missing: on insecure origins and
 * in older browsers.
 */
function storageManager(): Partial<StorageManager> | undefined {
  try {
    return navigator.storage;
  } catch {
    return undefined;
  }
}

/** Calls `ask` and returns its result; undefined if the call fails or the method is missing. */
async function answerOf<T>(ask: () => Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await ask();
  } catch {
    return undefined;
  }
}

/** Name of the database that is opened as a test. Drivers' databases begin with `quayside:`, so the name is unused. */
const PROBE = "quayside-probe";
/** Time after which an unanswered request to open the database counts as refused, in ms. */
const PATIENCE_MS = 10_000;

/** Returns whether a database can be opened, by opening and deleting one. */
function canOpen(): Promise<boolean> {
  return new Promise((resolve) => {
    const stop = systemClock.after(PATIENCE_MS, () => resolve(false));
    const answer = (available: boolean) => {
      stop();
      resolve(available);
    };
    try {
      const request = indexedDB.open(PROBE);
      request.onerror = () => answer(false);
      request.onsuccess = () => {
        request.result.close();
        const deletion = indexedDB.deleteDatabase(PROBE);
        deletion.onsuccess = deletion.onerror = () => answer(true);
      };
    } catch {
      answer(false);
    }
  });
}

/**
 * Returns whether the browser refuses the site's private file system, as Firefox does in private windows with a
 * `SecurityError`.
 *
 * @see https://developer.mozilla.org/docs/Web/API/StorageManager/getDirectory#exceptions
 */
async function refusesDirectory(storage: Partial<StorageManager> | undefined): Promise<boolean> {
  try {
    await storage?.getDirectory?.();
    return false;
  } catch (error) {
    return nameOf(error) === "SecurityError";
  }
}
