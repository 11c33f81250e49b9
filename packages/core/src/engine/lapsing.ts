import { getCell, kind, putCells, removeCells } from "./cells.ts";
import type { Collection, Key, Program, Records } from "./store.ts";
import { after, type Range, remove, scan } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";

/** Records of a plugin that lapse: a search deletes them when their time is over (R42). */
export interface Lapsing {
  readonly collection: Collection;
  /** The ranges of keys that have all such records. */
  readonly ranges: readonly Range[];
  /** Returns when a record lapses; a time that is not in the future: it has lapsed. */
  until(record: never, now: number): number;
}

/** The time of a record that does not lapse by time alone. */
export const NEVER = Number.MAX_SAFE_INTEGER;

/** The next search of a store for lapsed records, or the search that has begun. */
interface Search {
  /** When the search begins or continues. */
  readonly at: number;
  /** The first range that is not read yet. Absent: the search has not begun. */
  readonly range?: string | undefined;
  readonly from?: Key | undefined;
  /** The earliest time at which a record that the search has passed lapses. */
  readonly least: number;
}

const SEARCH = kind<Search>("lapse");

/** Number of records that one step of a search reads (R32). */
const STEP = 100;
/** Number of lapsed records in a step after which the search continues at once. */
const WORTHWHILE = 16;
/** Pause of a search after a step with fewer, and from the time when a record lapses to its search, in ms. */
const PAUSE_MS = 60_000;
/** Time after which a search needs a process awake, in ms. */
const WAKE_MS = 86_400_000;

/**
 * Deletes lapsed records: one step of the store's search, if it is due. Returns whether the search has more steps.
 *
 * @param isHurried whether to continue a search that pauses.
 */
export function* sweepLapsed(tx: Transaction, isHurried = false): Program<boolean> {
  const { now } = tx;
  const before = yield* getCell(SEARCH, "");
  tx.searchAt = before?.at ?? NEVER;
  if (!before || (before.at > now && !(isHurried && before.range))) return false;
  const all = tx.plugins
    .with("lapsing")
    .flatMap(({ lapsing }) =>
      lapsing.ranges.map((range) => ({ lapsing, range, id: `${lapsing.collection} ${range.from}` })),
    );
  const first = Math.max(
    0,
    all.findIndex(({ id }) => id === before.range),
  );
  let { from, least } = before;
  let left = STEP;
  let deleted = 0;
  let next: Pick<Search, "range" | "from"> | undefined;
  for (const { lapsing, range, id } of all.slice(first)) {
    const { collection } = lapsing;
    const page: readonly Records[Collection][] = yield* scan(collection, { ...range, ...(from && { from }) }, left);
    const lapsed = page.filter((record) => {
      const until = lapsing.until(record as never, now);
      if (until > now) least = Math.min(least, until);
      return until <= now;
    });
    yield* remove(
      collection,
      lapsed.map(({ key }) => key),
    );
    deleted += lapsed.length;
    const last = page[left - 1];
    if (last) {
      next = { range: id, from: after(last.key) };
      break;
    }
    left -= page.length;
    from = undefined;
  }
  if (next) yield* store(tx, { ...next, least, at: deleted < WORTHWHILE ? now + PAUSE_MS : now });
  else yield* store(tx, { least: NEVER, at: least < NEVER ? Math.max(now, least) + PAUSE_MS : NEVER });
  return next !== undefined;
}

/** Plans the search for a stored record that lapses at `until`. */
export function* planSearch(tx: Transaction, until: number): Program<void> {
  const before = (yield* getCell(SEARCH, "")) ?? { at: NEVER, least: NEVER };
  // A search that has begun may have passed the record.
  const next = before.range
    ? { ...before, least: Math.min(before.least, until) }
    : { ...before, at: Math.min(before.at, until + PAUSE_MS) };
  tx.searchAt = next.at;
  if (next.at < before.at || next.least < before.least) yield* store(tx, next);
}

function* store(tx: Transaction, search: Search): Program<void> {
  tx.searchAt = search.at;
  yield* search.at < NEVER ? putCells(SEARCH, [["", search]]) : removeCells(SEARCH, [""]);
}

/** Returns when a process must be awake for the search: a day after its time, if nothing else has run it. */
export function* searchNeededAt(): Program<number> {
  const search = yield* getCell(SEARCH, "");
  return search ? search.at + WAKE_MS : Number.POSITIVE_INFINITY;
}
