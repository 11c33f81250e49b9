const [QUOTE, BACKSLASH, BRACKET, CLOSING_BRACKET, BRACE, CLOSING_BRACE] = [...'"\\[]{}'].map((char) =>
  char.charCodeAt(0),
);

/**
 * Returns whether JSON text nests arrays and objects deeper than `limit`. Scans the text, because parsed values that
 * are nested too deep overflow the stack of a schema check, `JSON.stringify` or an RPC.
 */
export function isDeeper(text: string, limit: number): boolean {
  let depth = 0;
  let quoted = false;
  for (let index = 0; index < text.length; index++) {
    const char = text.charCodeAt(index);
    if (quoted) {
      if (char === BACKSLASH) index++;
      else if (char === QUOTE) quoted = false;
    } else if (char === QUOTE) quoted = true;
    else if (char === BRACKET || char === BRACE) {
      if (++depth > limit) return true;
    } else if (char === CLOSING_BRACKET || char === CLOSING_BRACE) depth--;
  }
  return false;
}

/**
 * Returns the JSON text of a value with sorted object keys, so that equal values give equal digests. `value` must be
 * JSON.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const object = value as Readonly<Record<string, unknown>>;
  const members = Object.keys(object)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(object[key])}`);
  return `{${members.join(",")}}`;
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
