import { type Position, stretchesOf, type Walked, walk } from "../engine/list-jobs.ts";
import type { Plugin } from "../engine/plugin.ts";
import type { Program } from "../engine/store.ts";
import { compareKeys } from "../engine/store-operations.ts";
import type { Transaction } from "../engine/transaction.ts";
import type { JobPage, ListQuery } from "../engine/verbs.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { invalidOption } from "../job/errors.ts";
import type { JobKey, JobRecord } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import { integer, oneOf } from "../job/option-checks.ts";
import { STATES, toJobRecord } from "../job/transitions.ts";

/** Lists a queue's jobs in pages: the read `list`. */
export const inspect: Plugin = { name: "inspect", reads: { list } };

/**
 * Number of records after which a page stops reading and ends early, with a cursor. The read that reaches this number
 * may exceed it; the total stays below the 10,000 records that one call may read (R32).
 */
const READ_LIMIT = 8_000;
/** Number of records per read, because records may be large and a filter may exclude most of them. */
const SEARCH = 100;

/**
 * Returns a page of jobs: running ones first, then ready and delayed ones in claim order, then ended ones, newest
 * first. The page ends early if the reply has no more room (R31), but has at least one job.
 */
function* list(tx: Transaction, query: ListQuery): Program<JobPage> {
  const { queue, state, tags, limit = DEFAULTS.pageLimit, cursor, positions, bytes } = query;
  integer(limit, 1, LIMITS.page, "limit");
  if (state !== undefined) oneOf(state, STATES, "state");
  let at: Position | undefined = cursor === undefined ? { stretch: 0 } : decodeCursor(cursor);
  // A made-up cursor outside of the query's ranges would show other states, or jobs of other queues (R32).
  const range = stretchesOf(queue, state)[at.stretch]?.range;
  if (!range || (at.key && (compareKeys(at.key, range.from) < 0 || compareKeys(at.key, range.to) >= 0))) throw madeUp();
  tx.reply?.atMost(bytes);
  const jobs: JobRecord[] = [];
  const shown: string[] = [];
  let last: Position | undefined;
  // Reads one more than requested, to see whether there is another page.
  let least = tags ? SEARCH : 1;
  for (let total = 0; at && at !== last && total < READ_LIMIT; ) {
    const want = Math.min(Math.max(limit + 1 - jobs.length, least), SEARCH + 1);
    const { found, next }: Walked = yield* walk(tx, queue, state, at, want);
    at = next;
    for (const { job, position } of found) {
      if (tags?.some((tag) => !job.tags?.includes(tag))) continue;
      const record = toJobRecord(job, tx.now, (yield* tx.holderOf(job.key))?.held);
      if (jobs.length === limit || (tx.reply?.refuses(record) && jobs.length > 0)) {
        at = last;
        break;
      }
      jobs.push(record);
      last = position;
      if (positions) shown.push(encodeCursor(position));
    }
    total += want;
    if (!found.length) least = SEARCH;
  }
  return { jobs, ...(at && { cursor: encodeCursor(at) }), ...(positions && { positions: shown }) };
}

/**
 * Compares two cursors of a list by the order of the list (negative: `a` is first). Used to merge lists of several
 * stores.
 */
export function comparePositions(a: string, b: string): number {
  const [one, other] = [decodeCursor(a), decodeCursor(b)];
  if (one.stretch !== other.stretch || !one.key || !other.key) return one.stretch - other.stretch;
  // Each store numbers its ended jobs by itself: those of several stores are merged by time.
  return one.key[0] === "finished"
    ? compareKeys(other.key.slice(3), one.key.slice(3))
    : compareKeys(one.key, other.key);
}

const encodeCursor = ({ stretch, key }: Position): string =>
  encodeURIComponent(JSON.stringify([stretch, ...(key ?? [])]));

function decodeCursor(cursor: string): Position {
  try {
    const parts = JSON.parse(decodeURIComponent(cursor)) as [number, ...JobKey];
    const types = parts
      .map((part) => (Number.isSafeInteger(part) ? "n" : typeof part === "string" ? "t" : "?"))
      .join("");
    const [stretch, ...key] = parts;
    if (/^n(ttnnnt)?$/.test(types)) return key.length > 0 ? { stretch, key } : { stretch };
  } catch {
    // Continues with the error below, which is clearer.
  }
  throw madeUp();
}

const madeUp = () => invalidOption("cursor", "cursor is not of this list: leave it out to begin.");
