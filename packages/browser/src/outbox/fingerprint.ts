/** Start value and odd multiplier of each 32-bit hash, so that the four hashes of a text differ. */
const LANES = [
  [0x811c9dc5, 0x01000193],
  [0x9e3779b9, 0x85ebca6b],
  [0x7f4a7c15, 0xc2b2ae35],
  [0x165667b1, 0x27d4eb2f],
] as const;

/**
 * Returns a 128-bit hash in hex, by which batches are compared. Not cryptographic: `crypto.subtle` is missing on plain
 * HTTP, and the hash protects no secret.
 */
export function fingerprint(...texts: readonly string[]): string {
  // Includes the lengths, so that ["ab", "c"] and ["a", "bc"] differ.
  const whole = texts.map((text) => `${text.length}:${text}`).join("");
  return LANES.map(([start, factor]) => mix(whole, start, factor).toString(16).padStart(8, "0")).join("");
}

function mix(text: string, start: number, factor: number): number {
  let hash = start;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), factor);
    // Multiplication only spreads bits upwards; this spreads them down.
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
