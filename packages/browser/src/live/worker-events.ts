import type { StoredError, WorkerEvents } from "@quayside/core";
import { fromStoredError, lent, toStoredError } from "@quayside/core/engine";
import { databaseName } from "../idb/database-name.ts";
import { nameOf } from "../idb/idb-errors.ts";
import type { Drainable } from "../service-worker/background-drain.ts";
import { onPageHidden, openChannel } from "../tabs/page-lifecycle.ts";

/** The events that go from one context to others: all but `error`, which is for where the worker runs. */
export type BroadcastEvents = Omit<WorkerEvents, "error">;

/** Spelled out, and checked to be complete. */
const NAMES = Object.keys({
  active: true,
  completed: true,
  failed: true,
  retrying: true,
  released: true,
  cancelled: true,
  progress: true,
  log: true,
  stalled: true,
  stuck: true,
  idle: true,
} satisfies Record<keyof BroadcastEvents, true>) as readonly (keyof BroadcastEvents)[];

/** An event on its way: JSON and no more, for a class or a function does not get through. */
interface Message {
  readonly quayside: keyof BroadcastEvents;
  readonly event: object;
}

/** Events of workers in other contexts, as `workerEvents` receives them. */
export interface RemoteEvents {
  /** Calls back with an event of a worker elsewhere. Returns the function that stops it; after the last one nothing listens. */
  on<Name extends keyof BroadcastEvents>(name: Name, listener: (event: BroadcastEvents[Name]) => void): () => void;
}

/**
 * Tells the other tabs and workers of the site what this worker does, for their `workerEvents(name)`. For a service
 * worker, a shared or a dedicated one, whose events would otherwise stay with it.
 *
 * @param worker a queue, a `Worker` or a `QueueManager`.
 * @param name as given to the driver.
 * @returns the function that stops it.
 * @example
 * broadcastEvents(queue, "my-app");
 */
export function broadcastEvents(worker: Pick<Drainable, "on">, name: string): () => void {
  const channelName = channelOf(name);
  let channel = openChannel(channelName);
  const hide = () => channel?.close();
  const show = () => {
    channel = openChannel(channelName);
  };
  const stops = NAMES.map((quayside) =>
    worker.on(quayside, (event) => {
      try {
        channel?.postMessage({ quayside, event: toPlain(event) } satisfies Message);
      } catch (error) {
        // On a page that is put aside the channel is closed.
        if (nameOf(error) !== "InvalidStateError") throw error;
      }
    }),
  );
  stops.push(hide, onPageHidden(hide, show));
  return () => {
    for (const stop of stops) stop();
  };
}

/**
 * The events of all workers that broadcast under this name, wherever they run. An `error` in them is a `QuaysideError`
 * with the code and the message of the one that was thrown; a `result` is what is stored with the job.
 *
 * Best effort: a page receives only the events after it has opened. The present state is in the store: see `liveJobs`.
 *
 * @param name as given to the driver.
 * @example
 * const stop = workerEvents("my-app").on("progress", ({ job, progress }) => show(job.id, progress));
 */
export function workerEvents(name: string): RemoteEvents {
  const channelName = channelOf(name);
  const listeners = new Set<(message: Message) => void>();
  let channel: BroadcastChannel | undefined;
  let stop = () => {};
  // An open channel that is written to drops its page from the back/forward cache.
  const close = () => {
    channel?.close();
    channel = undefined;
  };
  const open = () => {
    channel ??= listen(channelName, listeners);
  };
  return {
    on(event, listener) {
      const own = (message: Message) => {
        if (message.quayside === event) listener(fromPlain(message.event) as BroadcastEvents[typeof event]);
      };
      if (listeners.size === 0) stop = onPageHidden(close, open);
      listeners.add(own);
      open();
      return () => {
        if (!listeners.delete(own) || listeners.size > 0) return;
        stop();
        close();
      };
    },
  };
}

function listen(name: string, listeners: ReadonlySet<(message: Message) => void>): BroadcastChannel | undefined {
  const channel = openChannel(name);
  if (!channel) return undefined;
  channel.onmessage = ({ data }: MessageEvent<Partial<Message> | null>) => {
    // Other code of the site may use the name too.
    if (typeof data?.quayside !== "string" || typeof data.event !== "object") return;
    for (const listener of [...listeners]) lent(() => listener(data as Message));
  };
  return channel;
}

const channelOf = (name: string): string => `${databaseName(name)}:events`;

/** Makes an event plain data: its result as JSON, its error by `toStoredError`. */
function toPlain(event: object): object {
  const { error, result, ...rest } = event as { readonly error?: unknown; readonly result?: unknown };
  return {
    ...rest,
    ...("error" in event && { error: toStoredError(error) }),
    ...(result !== undefined && { result: JSON.parse(JSON.stringify(result)) as unknown }),
  };
}

function fromPlain(event: object): object {
  return "error" in event ? { ...event, error: fromStoredError(event.error as StoredError) } : event;
}
