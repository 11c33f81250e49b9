/** A starting value and an odd multiplier for each 32 bits, so that the four hashes of one text differ. */
const LANES = [
  [0x811c9dc5, 0x01000193],
  [0x9e3779b9, 0x85ebca6b],
  [0x7f4a7c15, 0xc2b2ae35],
  [0x165667b1, 0x27d4eb2f],
] as const;

/**
 * Returns a hash of 128 bits in hex, by which two batches are compared. It protects no secret, so it need not withstand
 * an attacker and does without `crypto.subtle`, which is absent on plain HTTP.
 */
export function fingerprint(...texts: readonly string[]): string {
  // With their lengths, so that ["ab", "c"] is not ["a", "bc"].
  const whole = texts.map((text) => `${text.length}:${text}`).join("");
  return LANES.map(([start, factor]) => mix(whole, start, factor).toString(16).padStart(8, "0")).join("");
}

function mix(text: string, start: number, factor: number): number {
  let hash = start;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), factor);
    // Multiplication carries upwards only: this brings it down again.
    hash ^= hash >>> 15;
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 13)) >>> 0;
}
