import type { Context } from "hono";

/** Time in which the rest of a refused request's body is read. */
const LIMIT_MS = 10_000;

/**
 * Reads the rest of a request's body beside its answer, and drops it. A connection that is cut while the body is still
 * on its way shows as a broken one to the client or proxy, in place of the answer (RFC 9112 §9.6). The answer does not
 * wait, because a body may take any time. After more than `limit` bytes, or 10 s, the connection is cut.
 */
export function discardBody(c: Context, limit: number): void {
  const { bodyUsed, body } = c.req.raw;
  if (bodyUsed || body === null) return;
  const reading = discard(body.getReader(), limit);
  try {
    c.executionCtx.waitUntil(reading);
  } catch {
    // Hono outside a Worker, as in a test: there is nothing to keep alive.
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
    // The caller has hung up.
  } finally {
    clearTimeout(timer);
  }
}
