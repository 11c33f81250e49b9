import type { Clock } from "@quayside/core";
import { type Change, shown } from "@quayside/core/engine";

/** How often a silent stream says that it is alive: under the idle limits of proxies (60 s and more). */
const HEARTBEAT_MS = 25_000;

/** Bytes that a slow reader may be behind before the stream is closed on it: it opens another, and looks again at all. */
const BACKLOG_LIMIT = 64 * 1024;

/**
 * Returns the changes from now on as server-sent events (`data: {"queue":"mail","kind":"ready"}`). The stream begins
 * with a comment, which shows its reader that it is open.
 *
 * @param watch the source of the changes; it may report its end.
 * @param queue absent: those of all queues.
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
  // A byte stream: only such a one crosses RPC.
  return new ReadableStream({
    type: "bytes",
    start(controller) {
      const send = (text: string) => {
        try {
          controller.enqueue(encoder.encode(text));
          if ((controller.desiredSize ?? 0) > -BACKLOG_LIMIT) return;
          controller.close();
        } catch {
          // The reader has gone. The code that reported the change must not fail because of it.
        }
        stop();
      };
      const end = () => {
        stop();
        try {
          controller.close();
        } catch {
          // The reader has gone, or it was closed before.
        }
      };
      unwatch = watch((change) => {
        if (queue === undefined || change.queue === queue) send(`data: ${spellChange(change)}\n\n`);
      }, end);
      const beat = () => {
        send(":\n\n");
        // It may have been closed on a reader that is behind, or by its source.
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

/** Jobs that one change names as ended; of more it says that any may have, so that a slow reader is not cut off. */
const ENDED_NAMED = 1_000;

export function spellChange(change: Change): string {
  const { ended, ...rest } = change;
  return JSON.stringify(shown(ended && ended.length > ENDED_NAMED ? rest : change));
}
