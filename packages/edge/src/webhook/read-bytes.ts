import { systemClock } from "@quayside/core";

/**
 * Maximum number of empty chunks that are read of one body. A body of empty chunks only would never end and would block
 * timers.
 */
const EMPTY_CHUNKS = 1_000;

/** The reason why a body was not read to its end. */
export type Unread = "too_large" | "too_slow" | "broken";

export interface ReadLimits {
  readonly bytes: number;
  /** Time limit for the whole body, in ms. */
  readonly ms: number;
  /** Aborts the reading. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads the bytes of a body, or returns the reason why it was not read to its end. Never rejects.
 *
 * @param body an unread body of a request or a response.
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
    // Not awaited: cancelling a stream may take as long as reading it.
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

/** Decodes UTF-8 without changes. @throws {TypeError} if the bytes are not UTF-8. */
export const textOf = (bytes: Uint8Array): string =>
  new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
