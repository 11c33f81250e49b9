import { systemClock } from "@quayside/core";
import { nameOf } from "./idb-errors.ts";

/** How safe the jobs of this site are in this browser. What an engine does not tell is undefined. */
export interface StorageHealth {
  /** Whether databases can be opened here: not in some private windows, sandboxed frames, or with site data blocked. */
  readonly available: boolean;
  /** Whether the browser keeps the site's data when the disk runs low: see `requestPersistence`. */
  readonly persisted: boolean | undefined;
  /** Bytes that the site may store, as estimated: browsers round, and pad against fingerprinting. */
  readonly quota: number | undefined;
  /** Bytes that it stores, by all means together, as estimated. */
  readonly usage: number | undefined;
  /**
   * `private`: what is stored ends with the window. Browsers hide that as well as they can (Chromium altogether), so there
   * is no "regular" to be had, only `unknown`.
   */
  readonly mode: "private" | "unknown";
}

/**
 * Reads what the browser reports of its storage. Never throws: a value that the browser does not report is undefined.
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
  // Where nothing can be stored at all (sandboxed frames, blocked cookies) the refusal says nothing of the window.
  const mode = available && refused ? "private" : "unknown";
  return { available, persisted, quota: estimate?.quota, usage: estimate?.usage, mode };
}

/**
 * Asks the browser to keep the site's data until the user deletes it. Firefox asks the user; others decide by how the site
 * is used. Ask when the user has just entrusted it with something. True when it is granted, now or before.
 */
export async function requestPersistence(): Promise<boolean> {
  try {
    const storage = storageManager();
    // Not asked again, so that the user is prompted once.
    return (await storage?.persisted?.()) || ((await storage?.persist?.()) ?? false);
  } catch {
    return false;
  }
}

/** Absent on insecure origins and in older engines, whatever the types say; so may be each of its methods. */
function storageManager(): Partial<StorageManager> | undefined {
  try {
    return navigator.storage;
  } catch {
    return undefined;
  }
}

/** Undefined where there is no answer. */
async function answerOf<T>(ask: () => Promise<T> | undefined): Promise<T | undefined> {
  try {
    return await ask();
  } catch {
    return undefined;
  }
}

/** Drivers prefix the names of theirs with `quayside:`, so this is none of theirs. */
const PROBE = "quayside-probe";
/** A request that was not answered by then counts as refused. */
const PATIENCE_MS = 10_000;

/** Only opening one tells. It is deleted again. */
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
 * Firefox refuses the site's private file system in private windows, with a `SecurityError`.
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
