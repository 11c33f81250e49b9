import { append } from "../job/append-to-list.ts";
import { finishedLane, readyLane } from "../job/job-keys.ts";
import type { EndState, JobKey, JobState, StoredJob } from "../job/job-record.ts";
import { END_STATES, isUndelayed } from "../job/transitions.ts";
import { blockedLanes } from "./read-queue.ts";
import type { Program } from "./store.ts";
import { after, compareKeys, get, type Range, scan, startingWith } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";

/** A key range of a queue; a list reads several of them in order. */
interface Stretch {
  readonly range: Range;
  /** Whether only the running jobs in the range are listed. */
  readonly running?: boolean;
  readonly shows?: "waiting" | "delayed";
}

/** A position in a list: the number of the key range, and the key after which to continue. */
export interface Position {
  readonly stretch: number;
  readonly key?: JobKey;
}

const MOST = Number.MAX_SAFE_INTEGER;

interface Found {
  readonly job: StoredJob;
  readonly position: Position;
}

export interface Walked {
  readonly found: readonly Found[];
  readonly next?: Position;
}

/**
 * Reads at most `want` records of a queue, or of one state, from a position. Returns those that are in the list, and
 * `next`: where to continue; absent at the end.
 */
export function* walk(
  tx: Transaction,
  queue: string,
  state: JobState | undefined,
  from: Position | undefined,
  want: number,
): Program<Walked> {
  const stretches = stretchesOf(queue, state);
  const found: Found[] = [];
  let at = from ?? { stretch: 0 };
  let count = 0;
  for (let stretch = stretches[at.stretch]; stretch && count < want; stretch = stretches[at.stretch]) {
    const { stretch: index } = at;
    const read: Read = yield* readStretch(tx, queue, stretch, at.key, want - count);
    append(
      found,
      read.jobs.map((job) => ({ job, position: { stretch: index, key: job.key } })),
    );
    at = read.last ? { stretch: index, key: read.last } : { stretch: index + 1 };
    count += read.count;
  }
  return at.stretch < stretches.length ? { found, next: at } : { found };
}

export function stretchesOf(queue: string, state: JobState | undefined): readonly Stretch[] {
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
  /** The last key read; absent at the end of the range. */
  readonly last?: JobKey | undefined;
  readonly count: number;
}

/** Reads up to `want` records of a range after `key`. */
function* readStretch(
  tx: Transaction,
  queue: string,
  stretch: Stretch,
  key: JobKey | undefined,
  want: number,
): Program<Read> {
  if (stretch.running) {
    const keys = (yield* tx.leases())
      .heldOf(queue)
      .map((held) => held.key)
      .sort(compareKeys);
    const rest = keys.filter((candidate) => !key || compareKeys(candidate, key) > 0).slice(0, want);
    const jobs = (yield* get("jobs", rest)).filter((job) => job !== undefined);
    return { jobs, last: rest[want - 1], count: rest.length };
  }
  const { from, to } = stretch.range;
  const ended = from[0] === "finished";
  // After a leap, one record shows whether the next priority has a job to list.
  const limit = key?.[4] === MOST ? 1 : want;
  const page: readonly StoredJob[] = yield* ended
    ? scan("jobs", { from, to: key ?? to }, limit, "reverse")
    : scan("jobs", { from: key ? after(key) : from, to }, limit);
  const count = page.length;
  const last = page[limit - 1]?.key;
  if (ended) return { jobs: page, last, count };
  const jobs: StoredJob[] = [];
  for (const job of page) {
    const [place, lane, rank, due] = job.key;
    const delayed = due > tx.now && !isUndelayed(job.key);
    if (stretch.shows && delayed !== (stretch.shows === "delayed")) {
      // Within a priority, due jobs come before delayed ones, so the part that is not listed is skipped. After the
      // clock was set back, both are mixed up to the previous time.
      const leap: JobKey = [place, lane, rank, delayed && due > tx.horizon ? MOST : tx.now, MOST, ""];
      if (compareKeys(leap, job.key) > 0) return { jobs, last: leap, count };
    } else if (!(yield* tx.holderOf(job.key))) jobs.push(job);
  }
  return { jobs, last, count };
}
