/**
 * Reads what is left of a request's body, and drops it. A server that answers while the body is still on its way has to
 * cut the connection, and a proxy or client that was still sending then reports a broken connection instead of the
 * answer (RFC 9112 §9.6). A body of more than `limit` bytes is not worth a connection, and is cut.
 */
export async function discardBody(request: Request, limit: number): Promise<void> {
  if (request.bodyUsed || request.body === null) return;
  const reader = request.body.getReader();
  try {
    for (let read = 0; read <= limit; ) {
      const { done, value } = await reader.read();
      if (done) return;
      read += value.byteLength;
    }
    await reader.cancel();
  } catch {
    // The caller has gone: there is nobody to be polite to.
  }
}
