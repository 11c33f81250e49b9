import type { Schedule } from "@quayside/core";
import { jsonBytes } from "../json-bytes.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";

/**
 * Merges a page of recurrences from each shard. Ends where the first of the pages ends, because that shard's next
 * recurrences come before the others' remaining ones.
 */
export function mergeSchedules(pages: readonly (readonly Schedule[])[]): readonly Schedule[] {
  const ends = pages.flatMap((page) => page[page.length - 1]?.key ?? []);
  const end = ends.reduce((first, key) => (byCodePoints(key, first) < 0 ? key : first), ends[0] ?? "");
  const merged: Schedule[] = [];
  let bytes = 0;
  for (const schedule of pages.flat().sort((a, b) => byCodePoints(a.key, b.key))) {
    if (byCodePoints(schedule.key, end) > 0) break;
    bytes += jsonBytes(schedule);
    // Recurrences with the same key stay together, because the next page begins after the key.
    if (bytes > REPLY_BYTES && merged.length > 0 && merged[merged.length - 1]?.key !== schedule.key) break;
    merged.push(schedule);
  }
  return merged;
}

/** Compares texts by code points, which is SQLite's order of UTF-8; JavaScript compares by UTF-16 units. */
function byCodePoints(a: string, b: string): number {
  let index = 0;
  while (index < a.length && a[index] === b[index]) index++;
  return unitRank(a, index) - unitRank(b, index);
}

/** Returns the rank of a UTF-16 unit. Surrogates rank after all others. */
function unitRank(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (Number.isNaN(unit)) return -1;
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
