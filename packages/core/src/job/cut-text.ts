const CUT = "… (cut)";

/** `text` as well-formed Unicode of at most so many bytes in UTF-8; what is cut is marked as cut. */
export function cutText(text: string, bytes: number): string {
  // A UTF-16 unit is at most 3 bytes in UTF-8.
  if (text.length * 3 <= bytes) return text.toWellFormed();
  const encoder = new TextEncoder();
  const { read } = encoder.encodeInto(text, new Uint8Array(bytes));
  if (read === text.length) return text.toWellFormed();
  // "…" takes 3 bytes, each other character of the mark one.
  const kept = encoder.encodeInto(text, new Uint8Array(bytes - CUT.length - 2)).read;
  return `${text.slice(0, kept).toWellFormed()}${CUT}`;
}

/** A value of any kind as text to be read by people. Never throws, whatever the value does when it is looked at. */
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
