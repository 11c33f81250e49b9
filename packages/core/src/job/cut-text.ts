const CUT = "… (cut)";

/** Returns well-formed text of at most `bytes` bytes of UTF-8. Cut text ends in a mark. */
export function cutText(text: string, bytes: number): string {
  // A UTF-16 unit is at most 3 bytes of UTF-8.
  if (text.length * 3 <= bytes) return text.toWellFormed();
  const encoder = new TextEncoder();
  const { read } = encoder.encodeInto(text, new Uint8Array(bytes));
  if (read === text.length) return text.toWellFormed();
  // "…" takes 3 bytes, each other character of the mark 1 byte.
  const kept = encoder.encodeInto(text, new Uint8Array(bytes - CUT.length - 2)).read;
  return `${text.slice(0, kept).toWellFormed()}${CUT}`;
}

/** Converts any value to text for people. Never throws, even for proxies and throwing getters. */
export function describe(value: unknown): string {
  if (typeof value === "string") return value;
  try {
    if (typeof value !== "object" || value === null) return String(value);
    if (value instanceof Error) return String(value);
    return JSON.stringify(value) ?? Object.prototype.toString.call(value);
  } catch {
    try {
      return Object.prototype.toString.call(value);
    } catch {
      return "a value that cannot be read";
    }
  }
}
