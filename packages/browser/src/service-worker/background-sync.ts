import { type Clock, type Duration, systemClock, toMs } from "@quayside/core";
import { BackgroundDrain, type Drainable } from "./background-drain.ts";

/** The tag where none is given. */
export const SYNC_TAG = "quayside";

/** The message of a page to its service worker where there is no Background Sync: see `requestBackgroundSync`. */
export interface DrainMessage {
  readonly quayside: "drain";
  readonly tag: string;
}

/** Options of `handleBackgroundSync`. */
export interface BackgroundSyncOptions {
  /** Of the syncs, as the page requests them. Default `quayside`. */
  readonly tag?: string | undefined;
  /**
   * How long an event waits, in all, for jobs that are to be tried again. When they are due later the event fails, and
   * the browser comes back in its own time: after minutes, and a few times at most. Default 30 s.
   */
  readonly patience?: Duration | undefined;
  /** For tests: a clock that is moved by hand. */
  readonly clock?: Clock | undefined;
  /** For tests: the global scope of the service worker. */
  readonly scope?: EventTarget | undefined;
}

const PATIENCE: Duration = "30s";

/** The events of a service worker, as far as they are needed: the DOM's types have none of them. */
type WorkerEvent = Event & { waitUntil(work: Promise<unknown>): void; readonly tag?: string; readonly data?: unknown };

/** The parts of `ServiceWorkerGlobalScope` that tell its state; `serviceWorker` is the younger one. */
interface WorkerScope {
  readonly serviceWorker?: { readonly state: string };
  readonly registration?: { readonly active: object | null; readonly installing: object | null };
}

/**
 * Works a queue in a service worker, with the page closed too: whenever the browser sends a `sync` or `periodicsync`, a
 * page asks for it, or the service worker starts. Call it while the script of the service worker first runs, as all of
 * its listeners have to be there by then. `import()` is not allowed in service workers: import handlers statically.
 *
 * A sync fails while work is left that is due later than `patience`, so that the browser repeats it: jobs with a delay, a
 * retry or a rate limit, and jobs that another worker holds (its page may be closed by now). It asks the store, so it
 * does not matter which event or page left them. Paused queues, jobs that wait for other jobs, and the next run of a
 * recurrence do not count. Browsers allow an event some minutes; a job that is cut off goes back in line, as after a crash.
 *
 * @param worker a queue with its handlers, a `Worker` or a `QueueManager`.
 * @returns the function that undoes it.
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
  // Nothing waits for it: held up by `activate`, pages would wait for their first answer. What it leaves, a sync finds.
  const onStart = () => void drain.run().catch(() => {});

  const listeners = { sync: onSync, periodicsync: onSync, message: onMessage, activate: onStart };
  for (const [name, listener] of Object.entries(listeners)) scope.addEventListener(name, listener as EventListener);
  // One that is being installed leaves the jobs to the one before it.
  if (isActive(scope as WorkerScope)) onStart();
  return () => {
    for (const [name, listener] of Object.entries(listeners))
      scope.removeEventListener(name, listener as EventListener);
  };
}

const isActive = ({ serviceWorker, registration }: WorkerScope): boolean =>
  serviceWorker ? serviceWorker.state === "activated" : !!registration?.active && !registration.installing;
