import type { Collection, Key, Program, Records } from "./store.ts";
import { after, type Range, remove, scan } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";

/** When to look for a plugin's lapsed records, and how far the search has come. Stored in the settings of a queue. */
export interface Lapse {
  readonly at: number;
  /** Where the search continues. Absent: it begins at the first record. */
  readonly from?: Key | undefined;
  /** The earliest time at which a record that the search has passed will lapse. */
  readonly least: number;
}

/** Name of the setting that holds a plugin's {@link Lapse}. */
export type LapseSetting = `lapse.${string}`;

/** The time of a record that lapses for another reason than time. */
export const NEVER = Number.MAX_SAFE_INTEGER;
/** Number of records per step (R32). */
const STEP = 256;
/** After a step that found fewer lapsed records, the search pauses. */
const WORTHWHILE = 32;
/** Pause of a search, and shortest time between two, in ms. */
const PAUSE_MS = 60_000;

const NOTHING: Lapse = { at: NEVER, least: NEVER };

/**
 * Creates a program that deletes lapsed records in bounded steps (R42): run in claims from the queue and whenever such
 * a record is stored, one step per transaction. It reads at most eight records per deleted one, besides one step per
 * minute. Its `until` is the time at which a new record lapses.
 *
 * @param untilOf returns when a record lapses; a past time: it has.
 */
export const lapsing = <C extends Collection>(
  name: LapseSetting,
  collection: C,
  rangeOf: (queue: string) => Range,
  untilOf: (record: Records[C], now: number) => number,
) =>
  function* (tx: Transaction, { queue }: { readonly queue: string }, until = NEVER): Program<void> {
    const { now } = tx;
    const { [name]: before = NOTHING, ...rest } = yield* tx.settings(queue);
    let { at, from, least } = before;
    if (at <= now && tx.sweepAt > now) {
      const range = rangeOf(queue);
      const page = yield* scan(collection, { from: from ?? range.from, to: range.to }, STEP);
      const lapsed: Records[C]["key"][] = [];
      for (const record of page) {
        const end = untilOf(record, now);
        if (end > now) least = Math.min(least, end);
        else lapsed.push(record.key);
      }
      yield* remove(collection, lapsed);
      const last = page[STEP - 1];
      from = last && after(last.key);
      at = now + PAUSE_MS;
      if (!last) {
        at = Math.max(at, least);
        least = NEVER;
      } else if (lapsed.length >= WORTHWHILE) at = now;
    }
    // A search that has begun may have passed the new record.
    if (from) least = Math.min(least, until);
    else at = Math.min(at, until + PAUSE_MS);
    if (at !== before.at || from !== before.from || least !== before.least)
      yield* tx.configure(queue, at < NEVER ? { ...rest, [name]: { at, from, least } } : rest);
    if (at < NEVER) tx.sweepAt = Math.min(tx.sweepAt, at);
  };
