import { systemClock } from "@quayside/core";

/** The same stream, which ends at an instant: what credentials opened ends with them (R37). Absent: it does not. */
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
    // A read that waits needs an answer, or the stream would not count as closed.
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
