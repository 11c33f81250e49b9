import type { Clock } from "@quayside/core";
import { type Change, shown } from "@quayside/core/engine";

/** Interval between heartbeats of a silent stream, in ms: less than the idle limits of proxies (60 s and more). */
const HEARTBEAT_MS = 25_000;

/**
 * Maximum unread bytes of a stream whose reader is slow. When it is exceeded, the stream is closed; the reader then
 * opens another and reads the queue again.
 */
const BACKLOG_LIMIT = 64 * 1024;

/**
 * Creates a stream of changes as server-sent events (`data: {"queue":"mail","kind":"ready"}`). It begins with a
 * comment, which shows the reader that the stream is open.
 *
 * @param watch subscribes to the changes; calls `end` if no more will come. Returns a function that ends the
 * subscription.
 * @param queue reports only changes of this queue. Default: all queues.
 */
export function changeStream(
  watch: (listener: (change: Change) => void, end: () => void) => () => void,
  clock: Clock,
  queue?: string,
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let stopped = false;
  let unwatch: () => void = () => {};
  let cancelHeartbeat: () => void = () => {};
  const stop = () => {
    stopped = true;
    unwatch();
    cancelHeartbeat();
  };
  // RPC carries only byte streams.
  return new ReadableStream({
    type: "bytes",
    start(controller) {
      const send = (text: string) => {
        try {
          controller.enqueue(encoder.encode(text));
          if ((controller.desiredSize ?? 0) > -BACKLOG_LIMIT) return;
          controller.close();
        } catch {
          // The reader has cancelled. The code that reported the change must not fail.
        }
        stop();
      };
      const end = () => {
        stop();
        try {
          controller.close();
        } catch {
          // The reader has cancelled, or the stream was closed before.
        }
      };
      unwatch = watch((change) => {
        if (queue === undefined || change.queue === queue) send(`data: ${spellChange(change)}\n\n`);
      }, end);
      const beat = () => {
        send(":\n\n");
        // The write may have closed the stream, if the reader is too slow.
        if (!stopped) cancelHeartbeat = clock.after(HEARTBEAT_MS, beat);
      };
      if (stopped) unwatch();
      else beat();
    },
    cancel() {
      stop();
    },
  });
}

/**
 * Maximum number of ended jobs that a change in a stream names. A change with more names none, so that a slow reader is
 * not cut off.
 */
const ENDED_NAMED = 1_000;

export function spellChange(change: Change): string {
  const { ended, ...rest } = change;
  return JSON.stringify(shown(ended && ended.length > ENDED_NAMED ? rest : change));
}
