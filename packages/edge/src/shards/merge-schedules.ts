import type { Schedule } from "@quayside/core";
import { jsonBytes } from "../json-bytes.ts";
import { REPLY_BYTES } from "../rpc/reply-budget.ts";

/**
 * A page of the recurrences of a queue from a page of each shard: those up to where the first of the pages ends, for what
 * that shard has behind it comes before the rest of the others.
 */
export function mergeSchedules(pages: readonly (readonly Schedule[])[]): readonly Schedule[] {
  const ends = pages.flatMap((page) => page[page.length - 1]?.key ?? []);
  const end = ends.reduce((first, key) => (byCodePoints(key, first) < 0 ? key : first), ends[0] ?? "");
  const merged: Schedule[] = [];
  let bytes = 0;
  for (const schedule of pages.flat().sort((a, b) => byCodePoints(a.key, b.key))) {
    if (byCodePoints(schedule.key, end) > 0) break;
    bytes += jsonBytes(schedule);
    // Those under one key are not torn apart: the next page begins behind it.
    if (bytes > REPLY_BYTES && merged.length > 0 && merged[merged.length - 1]?.key !== schedule.key) break;
    merged.push(schedule);
  }
  return merged;
}

/** The order in which an object keeps texts: by their UTF-8, that is by code points, and not by UTF-16 units. */
function byCodePoints(a: string, b: string): number {
  let index = 0;
  while (index < a.length && a[index] === b[index]) index++;
  return unitRank(a, index) - unitRank(b, index);
}

/** Surrogates stand for what comes after all other units. */
function unitRank(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (Number.isNaN(unit)) return -1;
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
