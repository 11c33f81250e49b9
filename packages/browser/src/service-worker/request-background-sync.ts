import { type Duration, toMs } from "@quayside/core";
import { type DrainMessage, SYNC_TAG } from "./background-sync.ts";

/** Options of `requestBackgroundSync`. */
export interface RequestSyncOptions {
  /** The tag given to `handleBackgroundSync`. Default: `quayside`. */
  readonly tag?: string | undefined;
  /** Requests periodic syncs, too, with at least this interval. Browsers grant them to installed apps only. */
  readonly every?: Duration | undefined;
  /** The service worker's registration. Default: the page's. */
  readonly registration?: ServiceWorkerRegistration | undefined;
}

/**
 * How the work was requested. `sync`: the browser starts the service worker when there is a network, even after the
 * page is closed. `message`: Background Sync is missing or not allowed, so the service worker got a message to work
 * now. `none`: there is no service worker; the jobs wait for a page with a worker.
 */
export type SyncRequest = "sync" | "message" | "none";

/** The methods for Background Sync and Periodic Background Sync, which only Chromium has and the DOM's types lack. */
interface SyncRegistration {
  readonly sync?: { register(tag: string): Promise<void> } | undefined;
  readonly periodicSync?: { register(tag: string, options: { minInterval: number }): Promise<void> } | undefined;
}

/**
 * Requests that the service worker works the queue, now or as soon as there is a network. Call it in a page after
 * adding jobs; repeated calls are cheap. Does not reject if the browser lacks a feature.
 *
 * @example
 * await queue.addJob("upload", { fileId });
 * await requestBackgroundSync();
 */
export async function requestBackgroundSync(options: RequestSyncOptions = {}): Promise<SyncRequest> {
  const { tag = SYNC_TAG, every } = options;
  const minInterval = every === undefined ? undefined : toMs(every, "every");
  const registration = options.registration ?? (await registrationOfPage());
  const worker = registration && (await activeWorker(registration));
  if (!worker) return "none";
  const { sync, periodicSync } = registration as SyncRegistration;
  if (minInterval !== undefined) await succeeds(() => periodicSync?.register(tag, { minInterval }));
  if (await succeeds(() => sync?.register(tag))) return "sync";
  const message: DrainMessage = { quayside: "drain", tag };
  return (await succeeds(() => Promise.resolve(worker.postMessage(message)))) ? "message" : "none";
}

/**
 * Returns the registration of the page's service worker. Undefined where the browser has none or throws: on insecure
 * origins, on servers, in private windows of some browsers and in sandboxed frames.
 */
async function registrationOfPage(): Promise<ServiceWorkerRegistration | undefined> {
  try {
    return await navigator.serviceWorker.getRegistration();
  } catch {
    return undefined;
  }
}

/** Returns the active service worker. Waits for one that is being installed. */
async function activeWorker(registration: ServiceWorkerRegistration): Promise<ServiceWorker | undefined> {
  const coming = registration.installing ?? registration.waiting;
  if (registration.active || !coming) return registration.active ?? undefined;
  return new Promise((resolve) => {
    const look = () => {
      if (coming.state === "activated") resolve(coming);
      else if (coming.state === "redundant") resolve(undefined);
      else return;
      coming.removeEventListener("statechange", look);
    };
    coming.addEventListener("statechange", look);
    look();
  });
}

/**
 * Returns whether `register` succeeds. False if the browser lacks the feature, or the browser or the user refuses it.
 */
async function succeeds(register: () => Promise<void> | undefined): Promise<boolean> {
  try {
    const registering = register();
    await registering;
    return registering !== undefined;
  } catch {
    return false;
  }
}
