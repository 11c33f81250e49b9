import type { Change } from "../../engine/store.ts";

/**
 * Reads changes from a stream of server-sent events until the stream ends or `signal` aborts. Ignores comments and all
 * fields but the data.
 */
export async function readChanges(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
  onChange: (change: Change) => void,
): Promise<void> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", cancel, { once: true });
  if (signal.aborted) cancel();
  try {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + decoder.decode(value, { stream: true })).split(/\r?\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const change = line.startsWith("data:") ? parseChange(line.slice(5)) : undefined;
        if (change && !signal.aborted) onChange(change);
      }
    }
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

/** Parses the JSON text of a change. Undefined for any other text. */
export function parseChange(text: string): Change | undefined {
  try {
    const value = JSON.parse(text) as Partial<Change> | null;
    if (typeof value?.queue !== "string" || typeof value.kind !== "string") return undefined;
    // An invalid list from a server is dropped, which means that any job may have ended.
    if (value.ended === undefined || Array.isArray(value.ended)) return value as Change;
    const { ended: _, ...rest } = value;
    return rest as Change;
  } catch {
    return undefined;
  }
}
