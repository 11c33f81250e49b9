import { integer, oneOf } from "../job/checks.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { invalidOption } from "../job/errors.ts";
import { LIMITS } from "../job/limits.ts";
import { finishedLane, readyLane } from "../job/place.ts";
import type { EndState, JobKey, JobRecord, JobState, StoredJob } from "../job/record.ts";
import { END_STATES, isUndelayed, STATES, toJobRecord } from "../job/transitions.ts";
import { append } from "./append.ts";
import { blockedLanes } from "./inspect.ts";
import type { Leases } from "./leases.ts";
import { compareKeys } from "./memory-store.ts";
import { after, get, type Range, scan, startingWith } from "./operations.ts";
import type { Program } from "./store.ts";
import type { Turn } from "./turn.ts";
import type { JobPage, ListQuery } from "./verbs.ts";

/** A part of the queue that a list walks through. */
interface Stretch {
  readonly range: Range;
  /** Only what runs, which stands in line with the rest. */
  readonly running?: boolean;
  readonly shows?: "waiting" | "delayed";
}

/** Where a walk over a queue's jobs goes on: after `key` in this stretch. */
export interface Position {
  readonly stretch: number;
  readonly key?: JobKey;
}

/**
 * Records read before a page is returned short, with a cursor. The last step may add some: both together stay below the
 * 10,000 records that one call may read (R32).
 */
const READ_LIMIT = 8_000;
/** Records read at a time: each may be large, and a filter may leave out most of them. */
const SEARCH = 100;
const MOST = Number.MAX_SAFE_INTEGER;

/**
 * A page of jobs: running ones first, then those in line in claim order, then the ended ones, newest first. It is cut short
 * where the reply has no room for more (R31), but has one job.
 */
export function* list(turn: Turn, query: ListQuery): Program<JobPage> {
  const { queue, state, tags, limit = DEFAULTS.pageLimit, cursor, positions, bytes } = query;
  integer(limit, 1, LIMITS.page, "limit");
  if (state !== undefined) oneOf(state, STATES, "state");
  const leases = yield* turn.leases();
  let at: Position | undefined = cursor === undefined ? { stretch: 0 } : decodeCursor(cursor);
  // The caller may have made it up: one that lies elsewhere would show other states, or the jobs of other queues (R32).
  const range = stretchesOf(queue, state)[at.stretch]?.range;
  if (!range || (at.key && (compareKeys(at.key, range.from) < 0 || compareKeys(at.key, range.to) >= 0))) throw madeUp();
  turn.reply?.atMost(bytes);
  const jobs: JobRecord[] = [];
  const shown: string[] = [];
  let last: Position | undefined;
  // One more than asked tells whether there is another page.
  let least = tags ? SEARCH : 1;
  for (let total = 0; at && at !== last && total < READ_LIMIT; ) {
    const want = Math.min(Math.max(limit + 1 - jobs.length, least), SEARCH + 1);
    const { found, next }: Walked = yield* walk(turn, queue, state, at, want);
    at = next;
    for (const { job, position } of found) {
      if (tags?.some((tag) => !job.tags?.includes(tag))) continue;
      const record = toJobRecord(job, turn.now, leases.holderOf(job.key)?.held);
      if (jobs.length === limit || (turn.reply?.refuses(record) && jobs.length > 0)) {
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
 * Which of two positions of a list comes first (negative: `a`): the order of the list itself, also between pages of
 * different stores.
 */
export function comparePositions(a: string, b: string): number {
  const [one, other] = [decodeCursor(a), decodeCursor(b)];
  if (one.stretch !== other.stretch || !one.key || !other.key) return one.stretch - other.stretch;
  const order = compareKeys(one.key, other.key);
  return one.key[0] === "finished" ? -order : order;
}

interface Found {
  readonly job: StoredJob;
  readonly position: Position;
}

interface Walked {
  readonly found: readonly Found[];
  readonly next?: Position;
}

/**
 * Reads at most `want` records of a queue, or of one state of it, and answers the jobs among them; `next` is where to go
 * on, absent at the end.
 */
export function* walk(
  turn: Turn,
  queue: string,
  state: JobState | undefined,
  from: Position | undefined,
  want: number,
): Program<Walked> {
  const leases = yield* turn.leases();
  const stretches = stretchesOf(queue, state);
  const found: Found[] = [];
  let at = from ?? { stretch: 0 };
  let count = 0;
  for (let stretch = stretches[at.stretch]; stretch && count < want; stretch = stretches[at.stretch]) {
    const { stretch: index } = at;
    const read: Read = yield* readStretch(turn, leases, queue, stretch, at.key, want - count);
    append(
      found,
      read.jobs.map((job) => ({ job, position: { stretch: index, key: job.key } })),
    );
    at = read.last ? { stretch: index, key: read.last } : { stretch: index + 1 };
    count += read.count;
  }
  return at.stretch < stretches.length ? { found, next: at } : { found };
}

function stretchesOf(queue: string, state: JobState | undefined): readonly Stretch[] {
  const range = startingWith("ready", readyLane(queue));
  const running = { range, running: true };
  const blocked = { range: blockedLanes(queue) };
  const ended = (end: EndState) => ({ range: startingWith("finished", finishedLane(queue, end)) });
  switch (state) {
    case undefined:
      return [running, { range }, blocked, ...END_STATES.map(ended)];
    case "active":
      return [running];
    case "waiting":
      return [{ range, shows: state }, blocked];
    case "delayed":
      return [{ range, shows: state }];
    default:
      return [ended(state)];
  }
}

interface Read {
  readonly jobs: readonly StoredJob[];
  /** Where to read on: absent when the stretch is done. */
  readonly last?: JobKey | undefined;
  readonly count: number;
}

/** Reads up to `want` records of a stretch after `key`. */
function* readStretch(
  turn: Turn,
  leases: Leases,
  queue: string,
  stretch: Stretch,
  key: JobKey | undefined,
  want: number,
): Program<Read> {
  if (stretch.running) {
    const keys = leases
      .heldOf(queue)
      .map((held) => held.key)
      .sort(compareKeys);
    const rest = keys.filter((candidate) => !key || compareKeys(candidate, key) > 0).slice(0, want);
    const jobs = (yield* get("jobs", rest)).filter((job) => job !== undefined);
    return { jobs, last: rest[want - 1], count: rest.length };
  }
  const { from, to } = stretch.range;
  const ended = from[0] === "finished";
  const page: readonly StoredJob[] = yield* ended
    ? scan("jobs", { from, to: key ?? to }, want, "reverse")
    : scan("jobs", { from: key ? after(key) : from, to }, want);
  const count = page.length;
  const last = page[want - 1]?.key;
  if (ended) return { jobs: page, last, count };
  const jobs: StoredJob[] = [];
  for (const job of page) {
    const [place, lane, rank, due] = job.key;
    const delayed = due > turn.now && !isUndelayed(job.key);
    if (stretch.shows && delayed !== (stretch.shows === "delayed")) {
      // In a priority, what is due comes before what is not: leap over the part that is not shown. Where the clock was
      // set back, up to where it had been, both lie mixed.
      const leap: JobKey = [place, lane, rank, delayed && due > turn.horizon ? MOST : turn.now, MOST, ""];
      if (compareKeys(leap, job.key) > 0) return { jobs, last: leap, count };
    } else if (!leases.holderOf(job.key)) jobs.push(job);
  }
  return { jobs, last, count };
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
    // Falls through to the error below, which says more.
  }
  throw madeUp();
}

const madeUp = () => invalidOption("cursor", "cursor is not of this list: leave it out to begin.");
