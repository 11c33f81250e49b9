import { type Clock, type Duration, systemClock, toMs } from "@quayside/core";
import { BackgroundDrain, type Drainable } from "./background-drain.ts";

/** The default tag of syncs. */
export const SYNC_TAG = "quayside";

/**
 * The message by which a page asks its service worker to work, if Background Sync is missing: see
 * `requestBackgroundSync`.
 */
export interface DrainMessage {
  readonly quayside: "drain";
  readonly tag: string;
}

/** Options of `handleBackgroundSync`. */
export interface BackgroundSyncOptions {
  /** Tag of the syncs that the page requests. Default: `quayside`. */
  readonly tag?: string | undefined;
  /**
   * Longest time that an event waits for jobs to be retried. If they are due later, the event fails and the browser
   * repeats it: after minutes, and a few times at most. Default: 30 s.
   */
  readonly patience?: Duration | undefined;
  /** The clock, for tests. Default: the system clock. */
  readonly clock?: Clock | undefined;
  /** The global scope of the service worker. Set by tests. */
  readonly scope?: EventTarget | undefined;
}

const PATIENCE: Duration = "30s";

/** The part of a service worker's events that Quayside uses; the DOM's types lack them. */
type WorkerEvent = Event & {
  waitUntil(work: Promise<unknown>): void;
  readonly tag?: string | undefined;
  readonly data?: unknown;
};

/** The parts of `ServiceWorkerGlobalScope` that show its state. Newer browsers have `serviceWorker`. */
interface WorkerScope {
  readonly serviceWorker?: { readonly state: string } | undefined;
  readonly registration?: { readonly active: object | null; readonly installing: object | null } | undefined;
}

/**
 * Works a queue in a service worker, even if no page is open: when the browser sends a `sync` or `periodicsync` event,
 * a page asks for it, or the service worker starts. Call it while the service worker's script first runs, because
 * listeners must be added then. Service workers forbid `import()`: import handlers statically.
 *
 * A sync fails, so that the browser repeats it, while jobs remain that are due later than `patience`: jobs with a
 * delay, a retry or a rate limit, and jobs that another worker holds (its page may be closed). It reads the store, so
 * it counts jobs of any event or page. Paused queues, jobs that wait for other jobs, and the next run of a recurrence
 * do not count. Browsers limit an event to some minutes; an interrupted job is recovered, as after a crash.
 *
 * @param worker a `Queue` with its handlers, a `QueueWorker` or a `QueueManager`.
 * @returns a function that removes the listeners.
 * @throws {QuaysideError} `invalid_option`.
 * @example
 * // service-worker.ts
 * const queue = new Queue<Jobs>("uploads", indexedDbDriver({ name: "my-app" }));
 * queue.on("job:upload", ({ fileId }, ctx) => upload(fileId, ctx.signal));
 * handleBackgroundSync(queue);
 * broadcastEvents(queue, "my-app");
 */
export function handleBackgroundSync(worker: Drainable, options: BackgroundSyncOptions = {}): () => void {
  const { tag = SYNC_TAG, patience = PATIENCE, clock = systemClock, scope = globalThis } = options;
  const drain = new BackgroundDrain(worker, toMs(patience, "patience"), clock);

  const onSync = (event: WorkerEvent) => {
    if (event.tag === tag) event.waitUntil(drain.run());
  };
  const onMessage = (event: WorkerEvent) => {
    const message = event.data as Partial<DrainMessage> | null | undefined;
    if (message?.quayside === "drain" && message.tag === tag) event.waitUntil(drain.run());
  };
  // `activate` does not wait for the drain, because pages would wait for their first response. A later sync does the
  // rest.
  const onStart = () => void drain.run().catch(() => {});

  const listeners = { sync: onSync, periodicsync: onSync, message: onMessage, activate: onStart };
  for (const [name, listener] of Object.entries(listeners)) scope.addEventListener(name, listener as EventListener);
  // A service worker that is being installed leaves the jobs to the active one.
  if (isActive(scope as WorkerScope)) onStart();
  return () => {
    for (const [name, listener] of Object.entries(listeners))
      scope.removeEventListener(name, listener as EventListener);
  };
}

const isActive = ({ serviceWorker, registration }: WorkerScope): boolean =>
  serviceWorker ? serviceWorker.state === "activated" : !!registration?.active && !registration.installing;
