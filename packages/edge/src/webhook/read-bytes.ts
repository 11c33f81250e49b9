import { systemClock } from "@quayside/core";

/** Chunks without a byte in them that are read: a body of nothing else would never end, nor let a timer fire. */
const EMPTY_CHUNKS = 1_000;

/** Why a body was not read to its end. */
export type Unread = "too_large" | "too_slow" | "broken";

export interface ReadLimits {
  readonly bytes: number;
  /** For the whole of the body. */
  readonly ms: number;
  /** Ends the reading at once. */
  readonly signal?: AbortSignal;
}

/**
 * The bytes of a body, or why they were not read to their end. Never rejects, and leaves the rest of the body unread.
 *
 * @param body of a request or an answer that nothing has read from.
 */
export async function readBytes(
  body: ReadableStream<Uint8Array> | null,
  { bytes: limit, ms, signal }: ReadLimits,
): Promise<Uint8Array | Unread> {
  if (!body) return new Uint8Array();
  let reader: ReadableStreamDefaultReader<Uint8Array>;
  try {
    reader = body.getReader();
  } catch {
    return "broken";
  }
  let stop: (why: Unread) => void = () => {};
  const stopped = new Promise<Unread>((resolve) => {
    stop = resolve;
  });
  const cancelTimer = systemClock.after(ms, () => stop("too_slow"));
  const abort = () => stop("too_slow");
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    const read = await Promise.race([stopped, readAll(reader, limit)]);
    // Not awaited: to cancel a stream may take as long as to read it.
    if (typeof read === "string") void reader.cancel().catch(() => {});
    return read;
  } catch {
    return "broken";
  } finally {
    cancelTimer();
    signal?.removeEventListener("abort", abort);
  }
}

async function readAll(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  limit: number,
): Promise<Uint8Array | "too_large"> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  let empty = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    length += next.value.length;
    if (length > limit) return "too_large";
    if (next.value.length > 0) chunks.push(next.value);
    else if (++empty > EMPTY_CHUNKS) return "too_large";
  }
  const bytes = new Uint8Array(length);
  let from = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, from);
    from += chunk.length;
  }
  return bytes;
}

/** The text of UTF-8, as it is to the byte. @throws {TypeError} when it is none. */
export const textOf = (bytes: Uint8Array): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
