import type { Context } from "hono";

/** Longest time for reading the rest of the body of a refused request, in ms. */
const LIMIT_MS = 10_000;

/**
 * Reads and drops the rest of a request's body while the response is sent. If the connection were closed during the
 * upload, the client or proxy would report a broken connection in place of the response (RFC 9112 §9.6). Closes the
 * connection after `limit` bytes or 10 s.
 */
export function discardBody(c: Context, limit: number): void {
  const { bodyUsed, body } = c.req.raw;
  if (bodyUsed || body === null) return;
  const reading = discard(body.getReader(), limit);
  try {
    c.executionCtx.waitUntil(reading);
  } catch {
    // Outside a Worker, as in a test, Hono has no execution context, and none is needed.
  }
}

async function discard(reader: ReadableStreamDefaultReader<Uint8Array>, limit: number): Promise<void> {
  const timer = setTimeout(() => void reader.cancel().catch(() => {}), LIMIT_MS);
  try {
    for (let read = 0; read <= limit; ) {
      const { done, value } = await reader.read();
      if (done) return;
      read += value.byteLength;
    }
    await reader.cancel();
  } catch {
    // The caller has disconnected.
  } finally {
    clearTimeout(timer);
  }
}
