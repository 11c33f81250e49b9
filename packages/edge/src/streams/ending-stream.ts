import { systemClock } from "@quayside/core";

/**
 * Returns the stream, which now ends at `instant` (ms since epoch) at the latest: when the reader's credentials expire
 * (R37). Without `instant`, returns it unchanged.
 */
export function endingAt(stream: ReadableStream<Uint8Array>, instant: number | undefined): ReadableStream<Uint8Array> {
  if (instant === undefined) return stream;
  const reader = stream.getReader();
  let cancelTimer: () => void = () => {};
  let over = false;
  const end = (controller: ReadableByteStreamController) => {
    if (over) return;
    over = true;
    cancelTimer();
    controller.close();
    // A pending BYOB read must be answered for the stream to close.
    controller.byobRequest?.respond(0);
    reader.cancel().catch(() => {});
  };
  return new ReadableStream({
    type: "bytes",
    start(controller) {
      cancelTimer = systemClock.after(instant - Date.now(), () => end(controller));
    },
    async pull(controller) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
      if (over) return;
      if (done || !value) end(controller);
      else controller.enqueue(value);
    },
    cancel(reason) {
      over = true;
      cancelTimer();
      return reader.cancel(reason);
    },
  });
}
