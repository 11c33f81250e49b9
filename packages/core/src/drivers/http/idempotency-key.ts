import type { NumberedRequest } from "../../engine/verbs.ts";

/** Maximum number of characters of an idempotency key. */
const KEY_LIMIT = 255;

/** Returns a unique random key. Used in place of `randomUUID`, which is missing on pages without HTTPS. */
export function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Creates an `Idempotency-Key` (a structured field string) from texts and numbers. Equal parts give equal keys. The end
 * of a long key is replaced by a hash.
 */
export function idempotencyKey(...parts: readonly (string | number)[]): string {
  const key = parts.map((part) => encodeURIComponent(`${part}`.toWellFormed())).join("/");
  return key.length <= KEY_LIMIT ? `"${key}"` : `"${key.slice(0, KEY_LIMIT - 33)}~${hash(key)}"`;
}

/**
 * Returns the headers of one part of a numbered request that is sent in several parts. Each part counts as a sender of
 * its own.
 */
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

/**
 * Returns a 128-bit hash in hex: FNV-1a with four start values. Not cryptographic, because `crypto.subtle` is missing
 * on plain HTTP and the hash protects no secret.
 */
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
