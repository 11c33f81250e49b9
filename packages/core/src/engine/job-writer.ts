import { append } from "../job/append-to-list.ts";
import { decodeId, endStateOf, escapePart, finishedLane, queueOf, sameKey, spellId } from "../job/job-keys.ts";
import type { JobKey, StoredJob } from "../job/job-record.ts";
import { END_STATES, type Ending, ended, isUndelayed, keepOf } from "../job/transitions.ts";
import type { IdRecord, Program } from "./store.ts";
import {
  after,
  compareKeys,
  get,
  put,
  remove,
  removeRange,
  scan,
  scanKeys,
  startingWith,
  together,
} from "./store-operations.ts";
import type { TallyPlace, Transaction } from "./transaction.ts";

/**
 * The only functions that write `jobs` (R1): `insertJobs`, `moveJobs`, `endJobs`, `endPlainJobs` and `deleteFinished`.
 * Each also updates `ids` and the tallies, and calls the plugins. The caller removes the lease entries of jobs that
 * move or end, in the same program.
 */

const idKey = ({ queue, id }: Named): IdRecord["key"] => [escapePart(queue), id];

/** Returns whether a job's id contains its key, so that it needs no entry in `ids`. */
const spellsItsKey = (job: { readonly key: JobKey; readonly id: string }): boolean =>
  job.key[0] === "ready" && spellId(job.key) === job.id;

const placeOf = (key: JobKey): TallyPlace => (key[0] === "finished" ? endStateOf(key) : key[0]);

/** Returns whether a job has no record in addition to its own: no `ids` entry, no record of a plugin, no `keep`. */
export const isPlain = (tx: Transaction, job: StoredJob): boolean =>
  spellsItsKey(job) && !job.keep && tx.plugins.for("marks", "marks", [job]).length === 0;

/** The queue and id of a job. */
export type Named = Pick<StoredJob, "queue" | "id">;

/**
 * Reads jobs by id, in any place; undefined for those that do not exist. Reads at the key in `ids`, else at the key
 * that a generated id contains, if the job there has that id (R5).
 */
export function* locate(named: readonly Named[]): Program<readonly (StoredJob | undefined)[]> {
  const entries = yield* get("ids", named.map(idKey));
  const keys = named.map(({ queue, id }, index) => entries[index]?.at ?? decodeId(queue, id));
  const found = yield* get(
    "jobs",
    keys.filter((key) => key !== undefined),
  );
  let next = 0;
  return keys.map((key, index) => {
    const job = key && found[next++];
    return job?.id === named[index]?.id ? job : undefined;
  });
}

/** Stores new jobs. `spelt`: the ids of all these jobs contain their keys, so that no entry in `ids` is needed. */
export function* insertJobs(tx: Transaction, added: readonly StoredJob[], spelt = false): Program<void> {
  const jobs = yield* placing(tx, added, true);
  yield* together([
    tx.readTallies(new Set(jobs.map(({ queue }) => queue))),
    put("jobs", jobs),
    putIds(spelt && jobs === added ? [] : jobs),
  ]);
  for (const lane of lanesOf(jobs.map(keyOf))) {
    const queue = queueOf(lane[0]);
    tx.tally(queue, placeOf(lane[0]), lane.length);
    tx.changed(queue, "ready", lane.every(isUndelayed) ? lane.length : undefined);
  }
}

/** Writes the `ids` entries of those jobs whose ids do not contain their key. */
const putIds = (jobs: readonly StoredJob[]): Program<void> =>
  put(
    "ids",
    jobs.filter((job) => !spellsItsKey(job)).map((job) => ({ key: idKey(job), at: job.key })),
  );

function* placing(tx: Transaction, asked: readonly StoredJob[], isNew: boolean): Program<readonly StoredJob[]> {
  let jobs = asked;
  for (const plugin of tx.plugins.for("placing", "marks", asked)) jobs = yield* plugin.placing(tx, jobs, isNew);
  return jobs;
}

const keyOf = ({ key }: StoredJob): JobKey => key;

type Lane = readonly [JobKey, ...JobKey[]];

/** Splits a list of keys into runs of the same place, lane and rank. A batch usually has one lane. */
function lanesOf(keys: readonly JobKey[]): readonly Lane[] {
  const lanes: [JobKey, ...JobKey[]][] = [];
  let lane: [JobKey, ...JobKey[]] | undefined;
  for (const key of keys) {
    if (lane && sameLane(lane[0], key)) lane.push(key);
    else {
      lane = [key];
      lanes.push(lane);
    }
  }
  return lanes;
}

/** A job's record before and after a move to another key. */
export interface Move {
  readonly before: StoredJob;
  readonly job: StoredJob;
}

/** Moves jobs to other keys, with other changes of their records. */
export function* moveJobs(tx: Transaction, moves: readonly Move[]): Program<void> {
  for (const plugin of tx.plugins.with("leaving")) for (const { before, job } of moves) plugin.leaving(tx, before, job);
  const jobs = yield* placing(
    tx,
    moves.map(({ job }) => job),
    false,
  );
  yield* replace(
    tx,
    moves.map(({ before }, index) => ({ before, job: jobs[index] })),
  );
}

/**
 * Replaces each job's record (`before`) by `job`, or deletes it if `job` is undefined. Updates `ids` and the counts.
 */
function* replace(
  tx: Transaction,
  changes: readonly { readonly before: StoredJob; readonly job?: StoredJob | undefined }[],
): Program<void> {
  const gone = changes.filter(({ before, job }) => !job || !sameKey(before.key, job.key));
  yield* removeJobs(gone.map(({ before }) => before.key));
  yield* put(
    "jobs",
    changes.flatMap(({ job }) => job ?? []),
  );
  yield* putIds(gone.flatMap(({ job }) => job ?? []));
  const unindexed = gone.filter(({ before, job }) => !spellsItsKey(before) && (!job || spellsItsKey(job)));
  yield* remove(
    "ids",
    unindexed.map(({ before }) => idKey(before)),
  );
  for (const { before, job } of gone) {
    tx.tally(before.queue, placeOf(before.key), -1);
    if (job) tx.tally(job.queue, placeOf(job.key), 1);
    if (job?.key[0] === "ready") tx.changed(job.queue, "ready");
  }
}

/** Moves each job to the key of the record that `change` returns. Returns the moved jobs. */
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

/**
 * Ends plain jobs that are not kept: deletes them by their keys, without reading them.
 *
 * @param ahead keys of one stretch of one lane that this program has read already.
 */
export function* endPlainJobs(tx: Transaction, keys: readonly JobKey[], ahead?: readonly JobKey[]): Program<void> {
  yield* removeJobs(keys, ahead);
  for (const lane of lanesOf(keys)) {
    const queue = queueOf(lane[0]);
    tx.tally(queue, placeOf(lane[0]), -lane.length);
    tx.changedEnded(queue, lane);
  }
}

/** A job, and how it ends. `trace: false`: the job is deleted, even if the queue's setting keeps ended jobs. */
export interface End {
  readonly job: StoredJob;
  readonly ending: Ending;
  readonly trace?: boolean;
}

/**
 * Ends jobs for any cause. A job to keep moves to its finished lane, whose jobs are numbered in the order of their ends.
 * The lane is then pruned to its limit.
 */
export function* endJobs(tx: Transaction, ends: readonly End[]): Program<readonly StoredJob[]> {
  if (ends.length === 0) return [];
  const records: StoredJob[] = [];
  const changes: { before: StoredJob; job: StoredJob | undefined }[] = [];
  /** For each lane, the key of its newest job. The last job of a lane decides its limit. */
  const lanes = new Map<string, { readonly key: JobKey; readonly limit: number }>();
  for (const { job, ending, trace = true } of ends) {
    const { queue, id } = job;
    const { state } = ending;
    tx.changedEnded(queue, [id]);
    const limit = keepOf(job, (yield* tx.settings(queue)).keep, state);
    const lane = finishedLane(queue, state);
    const isKept = trace && limit > 0;
    const newest = isKept ? (lanes.get(lane)?.key ?? (yield* newestOf(lane))) : undefined;
    const record = ended(job, ending, (newest?.[2] ?? 0) + 1, tx.nextPosition());
    records.push(record);
    changes.push({ before: job, job: isKept ? record : undefined });
    if (isKept) lanes.set(lane, { key: record.key, limit });
  }
  yield* replace(tx, changes);
  tx.ended(ends);
  for (const plugin of tx.plugins.with("leaving")) for (const { job } of ends) plugin.leaving(tx, job);
  for (const { key, limit } of lanes.values()) yield* prune(tx, key, limit, PRUNE_STEP + ends.length);
  return records;
}

/** Deletes ended jobs, with their `ids` entries and the records of plugins. */
export function* deleteFinished(tx: Transaction, jobs: readonly StoredJob[]): Program<void> {
  yield* replace(
    tx,
    jobs.map((before) => ({ before })),
  );
  for (const plugin of tx.plugins.for("deleted", "marks", jobs)) yield* plugin.deleted(tx, jobs);
  for (const { queue, id } of jobs) tx.changedEnded(queue, [id]);
}

/** Maximum number of ended jobs that one program prunes, besides as many as it ends (R32). */
const PRUNE_STEP = 256;

/** Prunes a queue's ended jobs to its setting `keep`, one step per state. Returns whether more may be left. */
export function* pruneAll(tx: Transaction, queue: string): Program<boolean> {
  const { keep } = yield* tx.settings(queue);
  for (const state of END_STATES) {
    const newest = yield* newestOf(finishedLane(queue, state));
    if (newest && (yield* prune(tx, newest, keepOf(undefined, keep, state), PRUNE_STEP))) return true;
  }
  return false;
}

/** Returns the key of the job that ended last in a finished lane. */
function* newestOf(lane: string): Program<JobKey | undefined> {
  return (yield* scanKeys("jobs", startingWith("finished", lane), 1, "reverse"))[0];
}

/**
 * Deletes at most `step` of the oldest jobs of a finished lane: those whose ends are not among the last `limit`. Returns
 * whether more may be left. Needs no count of the kept jobs, which a restarted object would have to make.
 */
function* prune(tx: Transaction, [place, lane, newest]: JobKey, limit: number, step: number): Program<boolean> {
  if (newest < limit) return false;
  const found = yield* scan("jobs", { from: [place, lane], to: [place, lane, newest - limit + 1] }, step);
  yield* deleteFinished(tx, found);
  return found.length === step;
}

/** When looking for runs of adjacent keys: the maximum number of keys to read per key to delete. */
const SPARSE = 2;

/** Reads the keys from one job to another of one lane and rank, unless too many other keys are between them. */
export const readStretch = (first: JobKey, last: JobKey, jobs: number): Program<readonly JobKey[]> =>
  scanKeys("jobs", { from: first, to: after(last) }, jobs * SPARSE + 1);

/**
 * Deletes jobs by key. Deletes runs of adjacent keys by range, which is nearly free in every store, but only if the
 * keys in the range, read in this program, are exactly those to delete (R2): a job may have been added in between.
 *
 * @param ahead keys of one stretch of one lane that this program has read already.
 */
function* removeJobs(keys: readonly JobKey[], ahead: readonly JobKey[] = []): Program<void> {
  if (keys.length < 3) return yield* remove("jobs", keys);
  const single: JobKey[] = [];
  for (const lane of lanesOf([...keys].sort(compareKeys))) {
    const [first] = lane;
    const last = lane[lane.length - 1] as JobKey;
    const [from, to] = [ahead[0], ahead[ahead.length - 1]];
    const isRead = from && to && compareKeys(from, first) <= 0 && compareKeys(last, to) <= 0;
    const present = isRead ? ahead : yield* readStretch(first, last, lane.length);
    // Both lists are in order: one walk finds the runs of `present` that are meant, and the keys of `lane` outside of runs.
    let run: JobKey[] = [];
    const runs = [run];
    let next = 0;
    for (const key of present) {
      while (next < lane.length && compareKeys(lane[next] as JobKey, key) < 0) single.push(lane[next++] as JobKey);
      if (next < lane.length && compareKeys(lane[next] as JobKey, key) === 0) run.push(lane[next++] as JobKey);
      else if (run.length > 0) {
        run = [];
        runs.push(run);
      }
    }
    append(single, lane.slice(next));
    for (const found of runs) {
      if (found.length < 3) append(single, found);
      else yield* removeRange("jobs", { from: found[0] as JobKey, to: after(found[found.length - 1] as JobKey) });
    }
  }
  yield* remove("jobs", single);
}

/** The rank of an ended job is its number, so one lane of ended jobs has many. */
const sameLane = (a: JobKey, b: JobKey): boolean =>
  a[1] === b[1] && a[0] === b[0] && (a[2] === b[2] || a[0] === "finished");
