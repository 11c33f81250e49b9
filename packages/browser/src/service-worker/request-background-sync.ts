import { type Duration, toMs } from "@quayside/core";
import { type DrainMessage, SYNC_TAG } from "./background-sync.ts";

/** Options of `requestBackgroundSync`. */
export interface RequestSyncOptions {
  /** As given to `handleBackgroundSync`. Default `quayside`. */
  readonly tag?: string | undefined;
  /** Asks for periodic syncs too, no more often than this. Browsers grant them to installed apps only. */
  readonly every?: Duration | undefined;
  /** Default: the registration of this page. */
  readonly registration?: ServiceWorkerRegistration | undefined;
}

/**
 * The way in which the work was requested. `sync`: the browser starts the service worker when there is a network, also
 * after the page has closed. `message`: Background Sync is absent or not allowed, so the service worker received a
 * message to work now. `none`: there is no service worker; the jobs wait for a page with a worker.
 */
export type SyncRequest = "sync" | "message" | "none";

/** Background Sync and Periodic Background Sync, which only Chromium has and the DOM's types have not. */
interface SyncRegistration {
  readonly sync?: { register(tag: string): Promise<void> };
  readonly periodicSync?: { register(tag: string, options: { minInterval: number }): Promise<void> };
}

/**
 * Asks for the queue to be worked in the service worker, now or as soon as there is a network. For a page, after it added
 * jobs; asking again is cheap. Never rejects for what a browser lacks.
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

/** Returns undefined on insecure origins, on servers and in private windows of some engines. Sandboxed frames throw. */
async function registrationOfPage(): Promise<ServiceWorkerRegistration | undefined> {
  try {
    return await navigator.serviceWorker.getRegistration();
  } catch {
    return undefined;
  }
}

/** The active service worker, also of a registration that is on its way there. */
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

/** False for what there is not, and for what the user or the browser does not allow. */
async function succeeds(register: () => Promise<void> | undefined): Promise<boolean> {
  try {
    const registering = register();
    await registering;
    return registering !== undefined;
  } catch {
    return false;
  }
}
