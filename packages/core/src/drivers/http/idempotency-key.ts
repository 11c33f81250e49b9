import type { NumberedRequest } from "../../engine/verbs.ts";

/** Characters of a key that any server takes. */
const KEY_LIMIT = 255;

/** Returns a random key, which no other request has. Not `randomUUID`, which is missing on plain HTTP. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * An `Idempotency-Key` (a structured field string) made of `parts`, of whatever characters: the same for the same parts,
 * another for others. What would be too long ends in a hash of the whole.
 */
export function idempotencyKey(...parts: readonly (string | number)[]): string {
  const key = parts.map((part) => encodeURIComponent(`${part}`.toWellFormed())).join("/");
  return key.length <= KEY_LIMIT ? `"${key}"` : `"${key.slice(0, KEY_LIMIT - 33)}~${hash(key)}"`;
}

/** The parts of a request are numbered as one, each under a sender of its own. */
export function numberedHeaders(request: NumberedRequest, part: number): Readonly<Record<string, string>> {
  const { number, digest, ttlMs, subject } = request;
  const sender = `${request.sender}/${part}`;
  const said = {
    sender,
    number: `${number}`,
    digest,
    ...(ttlMs !== undefined && { ttlMs: `${ttlMs}` }),
    ...(subject !== undefined && { subject }),
  };
  return { "quayside-request": `${new URLSearchParams(said)}`, "idempotency-key": idempotencyKey(sender, number) };
}

/** FNV-1a with four starting values, 128 bits in hex: `crypto.subtle` is missing on plain HTTP. Nothing secret hangs on it. */
function hash(text: string): string {
  return [0x811c9dc5, 0x9e3779b9, 0x7f4a7c15, 0x165667b1]
    .map((start) => {
      let value = start;
      for (let index = 0; index < text.length; index++) {
        value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
        value ^= value >>> 15;
      }
      return (value >>> 0).toString(16).padStart(8, "0");
    })
    .join("");
}
