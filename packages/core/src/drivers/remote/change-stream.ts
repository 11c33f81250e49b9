import type { Change } from "../../engine/store.ts";

/** Reads a stream of changes, as server-sent events, until it ends or `signal` aborts. Comments and other fields are passed over. */
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

/** Returns the change that a text tells of; undefined for any other text. */
export function parseChange(text: string): Change | undefined {
  try {
    const value = JSON.parse(text) as Partial<Change> | null;
    if (typeof value?.queue !== "string" || typeof value.kind !== "string") return undefined;
    // From a server: a list that is none means any job.
    if (value.ended === undefined || Array.isArray(value.ended)) return value as Change;
    const { ended: _, ...rest } = value;
    return rest as Change;
  } catch {
    return undefined;
  }
}
