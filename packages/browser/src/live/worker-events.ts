import type { StoredError, WorkerEvents } from "@quayside/core";
import { fromStoredError, lent, toStoredError } from "@quayside/core/engine";
import { databaseName } from "../idb/database-name.ts";
import { nameOf } from "../idb/idb-errors.ts";
import type { Drainable } from "../service-worker/background-drain.ts";
import { onPageHidden, openChannel } from "../tabs/page-lifecycle.ts";

/** Events of a worker that are broadcast to other tabs and workers of the site: all except `error`. */
export type BroadcastEvents = Omit<WorkerEvents, "error">;

/** The names of the broadcast events. The type checker ensures that none is missing. */
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

/** A broadcast event as plain JSON. */
interface Message {
  readonly quayside: keyof BroadcastEvents;
  readonly event: object;
}

/** Events of workers in other contexts (tabs, service workers). Made by `workerEvents`. */
export interface RemoteEvents {
  /**
   * Adds a listener for an event of workers in other contexts. Returns a function that removes it; without listeners,
   * the channel is closed.
   */
  on<Name extends keyof BroadcastEvents>(name: Name, listener: (event: BroadcastEvents[Name]) => void): () => void;
}

/**
 * Sends the events of this worker to other tabs and workers of the site, which receive them with `workerEvents(name)`.
 * For service, shared and dedicated workers.
 *
 * @param worker a `Queue`, a `QueueWorker` or a `QueueManager`.
 * @param name the name given to the driver.
 * @returns a function that stops the broadcast.
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
        // The channel of a hidden page is closed.
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
 * Receives the events of all workers that broadcast under this name, in any context of the site. An event's `error` is
 * a `QuaysideError` with the code and message of the thrown one; `result` is the stored result.
 *
 * A page misses events before it was opened. For the current state, use `liveJobs`.
 *
 * @param name the name given to the driver.
 * @example
 * const stop = workerEvents("my-app").on("progress", ({ job, progress }) => show(job.id, progress));
 */
export function workerEvents(name: string): RemoteEvents {
  const channelName = channelOf(name);
  const listeners = new Set<(message: Message) => void>();
  let channel: BroadcastChannel | undefined;
  let stop = () => {};
  // A message to an open channel evicts its page from the back/forward cache.
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
    // Other code of the site may use the same channel name.
    if (typeof data?.quayside !== "string" || typeof data.event !== "object") return;
    for (const listener of [...listeners]) lent(() => listener(data as Message));
  };
  return channel;
}

const channelOf = (name: string): string => `${databaseName(name)}:events`;

/** Converts an event to plain data: its result as JSON, its error by `toStoredError`. */
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
