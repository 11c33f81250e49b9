import { append } from "../job/append-to-list.ts";
import { decodeId, endStateOf, escapePart, finishedLane, keyText, queueOf, sameKey, spellId } from "../job/job-keys.ts";
import type { EndState, JobKey, StoredJob } from "../job/job-record.ts";
import { END_STATES, type Ending, ended, keepOf } from "../job/transitions.ts";
import { SET_BACK_MS } from "./sequence-generator.ts";
import type { IdRecord, Key, Program } from "./store.ts";
import {
  after,
  get,
  put,
  type Range,
  remove,
  removeRange,
  scan,
  scanKeys,
  startingWith,
  together,
} from "./store-operations.ts";
import type { TallyPlace, Transaction } from "./transaction.ts";

/**
 * The one door (R1): `insertJobs`, `moveJobs`, `endJobs` and `deleteFinished` are the only code that writes `jobs`, and each keeps `ids`,
 * and the tallies true as it does, and tells the plugins. Lease entries of jobs that move or end are dropped by the caller, which has
 * the lease, in the same program.
 */

const idKey = (queue: string, id: string): IdRecord["key"] => [escapePart(queue), id];

/** True when the job's id leads to its key, so that it needs no entry in `ids`. */
const spellsItsKey = (job: { readonly key: JobKey; readonly id: string }): boolean =>
  job.key[0] === "ready" && spellId(job.key) === job.id;

const placeOf = (key: JobKey): TallyPlace => (key[0] === "finished" ? endStateOf(key) : key[0]);

/** A plain job has no record besides its own: no `ids` entry, nothing of a plugin, no `keep`. */
export const isPlain = (tx: Transaction, job: StoredJob): boolean =>
  spellsItsKey(job) && !job.keep && !tx.plugins.with("marks").some((plugin) => plugin.marks(job));

/** Finds jobs by id, wherever they are: through `ids`, else where a generated id spells, if that job bears it (R5). */
export function* locate(queue: string, ids: readonly string[]): Program<readonly (StoredJob | undefined)[]> {
  const entries = yield* get(
    "ids",
    ids.map((id) => idKey(queue, id)),
  );
  const keys = ids.map((id, index) => entries[index]?.at ?? decodeId(queue, id));
  const present = keys.filter((key) => key !== undefined);
  const found = yield* get("jobs", present);
  const byKey = new Map(present.map((key, index) => [keyText(key), found[index]]));
  return keys.map((key, index) => {
    const job = key && byKey.get(keyText(key));
    return job?.id === ids[index] ? job : undefined;
  });
}

/**
 * Stores new jobs. What their tallies are is asked in the same trip and first: an engine answers in order, and the
 * answer, with which the program ends, need not wait for the jobs to be written.
 *
 * @param spelt whether their ids spell their keys, as they come.
 */
export function* insertJobs(tx: Transaction, added: readonly StoredJob[], spelt = false): Program<void> {
  const jobs = yield* placing(tx, added, true);
  const indexed = spelt && jobs === added ? [] : jobs.filter((job) => !spellsItsKey(job));
  yield* together(
    tx.readTallies(new Set(jobs.map(({ queue }) => queue))),
    put("jobs", jobs),
    put(
      "ids",
      indexed.map((job) => ({ key: idKey(job.queue, job.id), at: job.key })),
    ),
  );
  tally(tx, jobs.map(keyOf), 1, (queue) => tx.changed(queue, "ready"));
}

function* placing(tx: Transaction, asked: readonly StoredJob[], isNew: boolean): Program<readonly StoredJob[]> {
  let jobs = asked;
  for (const plugin of tx.plugins.with("placing")) jobs = yield* plugin.placing(tx, jobs, isNew);
  return jobs;
}

function leaving(tx: Transaction, job: StoredJob, next?: StoredJob): void {
  for (const plugin of tx.plugins.with("leaving")) plugin.leaving(tx, job, next);
}

const keyOf = ({ key }: StoredJob): JobKey => key;

/** Notes that a job came to (or left) the place of each key, in one for each stretch of one lane: a batch is mostly that. */
function tally(
  tx: Transaction,
  keys: readonly JobKey[],
  difference: 1 | -1,
  tell: (queue: string, from: number, to: number) => void,
): void {
  for (let from = 0, to = 0; from < keys.length; from = to) {
    const key = keys[from] as JobKey;
    while (to < keys.length && sameLane(keys[to] as JobKey, key)) to++;
    tx.tally(queueOf(key), placeOf(key), (to - from) * difference);
    tell(queueOf(key), from, to);
  }
}

/** A job before and after a move. */
export interface Move {
  readonly before: StoredJob;
  readonly job: StoredJob;
}

/** Takes jobs to other keys, with whatever else changed in their records. */
export function* moveJobs(tx: Transaction, asked: readonly Move[]): Program<void> {
  for (const { before, job } of asked) leaving(tx, before, job);
  const jobs = yield* placing(
    tx,
    asked.map(({ job }) => job),
    false,
  );
  const moves = jobs.map((job, index) => ({ from: (asked[index] as Move).before.key, job }));
  const gone = moves.filter(({ from, job }) => !sameKey(from, job.key));
  yield* removeJobs(gone.map(({ from }) => from));
  yield* put("jobs", jobs);
  const indexed = gone.filter(({ job }) => !spellsItsKey(job));
  yield* put(
    "ids",
    indexed.map(({ job }) => ({ key: idKey(job.queue, job.id), at: job.key })),
  );
  const home = gone.filter(({ from, job }) => spellsItsKey(job) && !spellsItsKey({ key: from, id: job.id }));
  yield* remove(
    "ids",
    home.map(({ job }) => idKey(job.queue, job.id)),
  );
  for (const { from, job } of gone) {
    tx.tally(job.queue, placeOf(from), -1);
    tx.tally(job.queue, placeOf(job.key), 1);
    if (job.key[0] === "ready") tx.changed(job.queue, "ready");
  }
}

/** Moves each of these jobs to where `change` puts it. */
export function* moveEachJob(
  tx: Transaction,
  jobs: readonly StoredJob[],
  change: (job: StoredJob) => StoredJob,
): Program<void> {
  yield* moveJobs(
    tx,
    jobs.map((before) => ({ before, job: change(before) })),
  );
}

/** Ends plain jobs of which nothing is kept, knowing only their keys. `present`: what was read ahead of where they lie. */
export function* endPlainJobs(tx: Transaction, keys: readonly JobKey[], present?: readonly JobKey[]): Program<void> {
  yield* removeJobs(keys, present);
  tally(tx, keys, -1, (queue, from, to) => tx.changedEnded(queue, keys.slice(from, to)));
}

/** A job and how it ends; `trace: false` keeps nothing of it, whatever the queue says. */
export interface End {
  readonly job: StoredJob;
  readonly ending: Ending;
  readonly trace?: boolean;
}

/** Ends jobs for whatever cause. Kept ones go to their finished lane, which is then pruned to its limit. */
export function* endJobs(tx: Transaction, ends: readonly End[]): Program<readonly StoredJob[]> {
  if (ends.length === 0) return [];
  const kept: StoredJob[] = [];
  const records: StoredJob[] = [];
  const unindexed: IdRecord["key"][] = [];
  const limits = new Map<string, Limit>();
  for (const { job, ending, trace = true } of ends) {
    const record = ended(job, ending, tx.nextPosition());
    records.push(record);
    tx.tally(job.queue, placeOf(job.key), -1);
    tx.changedEnded(job.queue, [job.id]);
    const settings = yield* tx.settings(job.queue);
    const limit = trace ? keepOf(job, settings.keep, ending.state) : 0;
    if (limit > 0) {
      kept.push(record);
      tx.tally(job.queue, ending.state, 1);
      limits.set(record.key[1], { queue: job.queue, state: ending.state, limit });
    } else if (!spellsItsKey(job)) {
      unindexed.push(idKey(job.queue, job.id));
    }
  }
  yield* removeJobs(ends.map(({ job }) => job.key));
  yield* put("jobs", kept);
  yield* put(
    "ids",
    kept.map((job) => ({ key: idKey(job.queue, job.id), at: job.key })),
  );
  yield* remove("ids", unindexed);
  tx.ended(ends);
  for (const { job } of ends) leaving(tx, job);
  for (const limit of limits.values()) yield* prune(tx, limit);
  return records;
}

/** Removes jobs that have ended already, with their entries. */
export function* deleteFinished(tx: Transaction, jobs: readonly StoredJob[]): Program<void> {
  const keys = jobs.map(keyOf);
  yield* removeJobs(keys);
  yield* remove(
    "ids",
    jobs.map((job) => idKey(job.queue, job.id)),
  );
  for (const plugin of tx.plugins.with("deleted")) yield* plugin.deleted(tx, jobs);
  const ids = jobs.map(({ id }) => id);
  tally(tx, keys, -1, (queue, from, to) => tx.changedEnded(queue, ids.slice(from, to)));
}

interface Limit {
  readonly queue: string;
  readonly state: EndState;
  readonly limit: number;
}

/** Most ended jobs that one program prunes, so that a limit set low on a long history does not make one long transaction. */
const PRUNE_STEP = 256;

/** Prunes every state to what the queue keeps by now, one step of it; true when there is more to do. */
export function* pruneAll(tx: Transaction, queue: string): Program<boolean> {
  const { keep } = yield* tx.settings(queue);
  for (const state of END_STATES) {
    // A tally, once known, costs a write with every batch: it is known already where there are any.
    const [any] = yield* scanKeys("jobs", laneOf(queue, state), 1);
    if (any && (yield* prune(tx, { queue, state, limit: keepOf(undefined, keep, state) })) > PRUNE_STEP) return true;
  }
  return false;
}

const laneOf = (queue: string, state: EndState): Range => startingWith("finished", finishedLane(queue, state));

/** Deletes the oldest ended jobs over the limit, one step of them; returns how many were over it. */
function* prune(tx: Transaction, { queue, state, limit }: Limit): Program<number> {
  const lane = laneOf(queue, state);
  const excess = (yield* tx.tallied(queue, state, () => countKeys(lane))) - limit;
  yield* forgetOldest(tx, lane, excess);
  return excess;
}

/** Deletes the oldest ended jobs of a lane. Those with an instant ahead of the clock ended before it was set back: they go first. */
function* forgetOldest(tx: Transaction, { from, to }: Range, excess: number): Program<void> {
  const limit = Math.min(excess, PRUNE_STEP);
  if (limit <= 0) return;
  const found: StoredJob[] = [];
  function* read(start: Key): Program<void> {
    append(found, yield* scan("jobs", { from: start, to }, limit));
  }
  yield* together(read([...from, 0, tx.now + SET_BACK_MS]), read(from));
  yield* deleteFinished(tx, found.slice(0, limit));
}

const COUNT_STEP = 10_000;

/** Counts by reading every key in the range: for lanes that are short, or once, before a tally exists. */
export function* countKeys(range: Range): Program<number> {
  let count = 0;
  for (let from = range.from; ; ) {
    const keys = yield* scanKeys("jobs", { from, to: range.to }, COUNT_STEP);
    count += keys.length;
    const last = keys[keys.length - 1];
    if (keys.length < COUNT_STEP || !last) return count;
    from = after(last);
  }
}

/** How many foreign keys between the first and the last are read at most to find runs, per key to delete. */
const SPARSE = 2;

/** All keys from the first to the last of so many jobs of one lane and rank, unless many others lie among them. */
export function* readStretch(first: JobKey, last: JobKey, jobs: number): Program<readonly JobKey[] | undefined> {
  const limit = jobs * SPARSE + 1;
  const keys = yield* scanKeys("jobs", { from: first, to: after(last) }, limit);
  return keys.length < limit ? keys : undefined;
}

function covers(stretch: readonly JobKey[], first: JobKey, last: JobKey): boolean {
  const [from, to] = [stretch[0], stretch[stretch.length - 1]];
  if (!from || !to || from[1] !== first[1] || from[2] !== first[2]) return false;
  return inLine(from, first) <= 0 && inLine(last, to) <= 0;
}

/**
 * Deletes jobs by key, as range deletes where they lie side by side: nearly free in every engine. A run is trusted only
 * after its keys, read here and now, are exactly those meant (R2): anything may have been added in between.
 */
function* removeJobs(keys: readonly JobKey[], ahead?: readonly JobKey[]): Program<void> {
  if (keys.length < 3) return yield* remove("jobs", keys);
  const single: JobKey[] = [];
  for (const lane of byLane(keys)) {
    const sorted = lane.sort(inLine);
    const first = sorted[0] as JobKey;
    const last = sorted[sorted.length - 1] as JobKey;
    const present =
      ahead && covers(ahead, first, last)
        ? ahead
        : yield* scanKeys("jobs", { from: first, to: after(last) }, sorted.length * SPARSE + 1);
    // Both lists are in order: one walk finds the stretches of `present` that are meant, and what of `sorted` is not in it.
    const runs: JobKey[][] = [];
    let run: JobKey[] | undefined;
    let next = 0;
    for (const key of present) {
      while (next < sorted.length && inLine(sorted[next] as JobKey, key) < 0) single.push(sorted[next++] as JobKey);
      if (next < sorted.length && inLine(sorted[next] as JobKey, key) === 0) {
        next++;
        if (!run) {
          run = [];
          runs.push(run);
        }
        run.push(key);
      } else run = undefined;
    }
    append(single, sorted.slice(next));
    for (const stretch of runs) {
      if (stretch.length < 3) append(single, stretch);
      else yield* removeRange("jobs", { from: stretch[0] as JobKey, to: after(stretch[stretch.length - 1] as JobKey) });
    }
  }
  yield* remove("jobs", single);
}

/** The order of keys of one lane and rank. */
const inLine = (a: JobKey, b: JobKey): number => a[3] - b[3] || a[4] - b[4] || (a[5] < b[5] ? -1 : a[5] > b[5] ? 1 : 0);

const sameLane = (a: JobKey, b: JobKey): boolean => a[1] === b[1] && a[2] === b[2] && a[0] === b[0];

/** Keys of the same place, lane and rank lie in one line. */
function byLane(keys: readonly JobKey[]): Iterable<JobKey[]> {
  const lanes = new Map<string, JobKey[]>();
  let lane: JobKey[] = [];
  for (const key of keys) {
    const last = lane[0];
    // Mostly all are of one lane: its name is made once.
    if (!last || !sameLane(key, last)) {
      const name = `${key[0]}\n${key[1]}\n${key[2]}`;
      lane = lanes.get(name) ?? [];
      lanes.set(name, lane);
    }
    lane.push(key);
  }
  return lanes.values();
}
