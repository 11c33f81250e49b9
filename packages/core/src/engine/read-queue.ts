import { escapePart, finishedLane, queueOf, readyLane } from "../job/job-keys.ts";
import type { EndState, JobRecord, JobState, StoredJob } from "../job/job-record.ts";
import { END_STATES, isUndelayed, stateOf, toJobRecord } from "../job/transitions.ts";
import { DueJobs } from "./claim-order.ts";
import { locate, type Named } from "./job-writer.ts";
import { searchNeededAt } from "./lapsing.ts";
import { everyLease } from "./leases.ts";
import type { Plugins } from "./plugin.ts";
import { type Judge, lookAgainAt } from "./recover.ts";
import { SequenceGenerator } from "./sequence-generator.ts";
import type { Held, Key, LeaseRecord, Operation, Program } from "./store.ts";
import { after, countKeys, get, type Range, scanKeys, startingWith } from "./store-operations.ts";
import { Transaction } from "./transaction.ts";
import type { JobCounts } from "./verbs.ts";

/** A running attempt: the lease entry of its job, and the worker that has the lease. */
export interface Run {
  readonly worker: string;
  readonly held: Held;
}

/** Finds a job by queue and id, and its lease entry while it runs. */
export function* lookUp(
  tx: Transaction,
  named: Named,
): Program<{ readonly job?: StoredJob | undefined; readonly run?: Run | undefined; readonly state?: JobState }> {
  const [job] = yield* locate([named]);
  const run = job && (yield* tx.holderOf(job.key));
  return job ? { job, run, state: stateOf(job.key, tx.now, run !== undefined) } : {};
}

/** Returns the public record of a job. */
export function* getJob(tx: Transaction, queue: string, id: string): Program<JobRecord | undefined> {
  const { job, run } = yield* lookUp(tx, { queue, id });
  return job && toJobRecord(job, tx.now, run?.held);
}

/** Maximum number of keys of delayed jobs that one program reads (R32). */
const COUNT_STEP = 8_000;

/** Where an unfinished count of delayed jobs stopped. Another program continues it. */
export interface Counting {
  readonly delayed: number;
  readonly from: Key;
}

/** Returns the counts of a queue, or where to continue if more jobs are delayed than one program may read. */
export function* counts(tx: Transaction, queue: string, before?: Counting): Program<JobCounts | Counting> {
  const delayed = yield* countDelayed(tx, queue, before);
  if (typeof delayed === "object") return delayed;
  const held = yield* countRunning(tx, queue);
  const { ready, blocked, finished } = yield* tallies(tx, queue);
  const { paused = false } = yield* tx.settings(queue);
  return { waiting: Math.max(0, ready + blocked - held - delayed), delayed, active: held, ...finished, paused };
}

/**
 * Returns the numbers of a queue's jobs by place. A program that may write also stores the numbers that it had to
 * count.
 */
export function* tallies(
  tx: Transaction,
  queue: string,
): Program<{ readonly ready: number; readonly blocked: number; readonly finished: Record<EndState, number> }> {
  const unended = yield* unendedTallies(tx, queue);
  const finished: Record<EndState, number> = { completed: 0, failed: 0, cancelled: 0 };
  for (const state of END_STATES)
    finished[state] = yield* tx.tallied(queue, state, () =>
      countKeys(startingWith("finished", finishedLane(queue, state))),
    );
  return { ...unended, finished };
}

/** Returns the numbers of a queue's jobs that have not ended, by place. */
export function* unendedTallies(
  tx: Transaction,
  queue: string,
): Program<{ readonly ready: number; readonly blocked: number }> {
  const ready = yield* tx.tallied(queue, "ready", () => countKeys(startingWith("ready", readyLane(queue))));
  const blocked = yield* tx.tallied(queue, "blocked", () => countKeys(blockedLanes(queue)));
  return { ready, blocked };
}

/**
 * Returns the number of a queue's running jobs. Checks the jobs of a `process` lease, because it may list jobs that had
 * already ended: see `deferrable` of `Operation`.
 */
export function* countRunning(tx: Transaction, queue: string): Program<number> {
  let running = 0;
  for (const { held, liveness } of (yield* tx.leases()).all()) {
    const keys = held.map(({ key }) => key).filter((key) => queueOf(key) === queue);
    running += liveness === "process" ? (yield* get("jobs", keys)).filter(Boolean).length : keys.length;
  }
  return running;
}

/** Returns the key range of all blocked jobs of a queue. */
export const blockedLanes = (queue: string): Range => ({
  from: ["blocked", `${escapePart(queue)}/`],
  to: ["blocked", `${escapePart(queue)}0`],
});

/**
 * Counts the delayed jobs of a queue: for each priority, the keys after the current time. Continues the count `before`.
 */
function* countDelayed(tx: Transaction, queue: string, before?: Counting): Program<number | Counting> {
  const leases = yield* tx.leases();
  const lane: Key = ["ready", readyLane(queue)];
  let { delayed, from } = before ?? { delayed: 0, from: lane };
  for (let left = COUNT_STEP; left > 0; ) {
    const [first] = yield* scanKeys("jobs", { from, to: after(lane) }, 1);
    if (!first) return delayed;
    const rank = [...lane, first[2]];
    const range = { from: first[3] > tx.now ? first : [...rank, tx.now + 1], to: after(rank) };
    const keys = yield* scanKeys("jobs", range, 1_000);
    left -= keys.length;
    delayed += keys.filter((key) => !isUndelayed(key) && !leases.holderOf(key)).length;
    from = after(keys[999] ?? rank);
  }
  return { delayed, from };
}

/**
 * Returns the earliest time at which a claim from one of the queues could succeed, or at which another worker's jobs
 * may have to be recovered (R19).
 */
export function* wakeInstant(tx: Transaction, queues: readonly string[], judge: Judge): Program<number> {
  const leases = (yield* tx.leases()).all();
  judge.look(leases);
  return Math.min(lookAgainAt(leases, "", tx.now, judge), yield* firstDue(tx, queues));
}

function* firstDue(tx: Transaction, queues: readonly string[]): Program<number> {
  let wakeAt = Number.POSITIVE_INFINITY;
  for (const queue of queues) {
    if ((yield* tx.settings(queue)).paused) continue;
    let opensAt = tx.now;
    for (const plugin of tx.plugins.with("opensAt")) opensAt = Math.max(opensAt, yield* plugin.opensAt(tx, queue));
    // A worker that frees a slot of a full queue claims again without a wake-up.
    if (opensAt === Number.POSITIVE_INFINITY) continue;
    const due = new DueJobs(tx, queue);
    const dueAt = (yield* due.next(1)).length > 0 ? tx.now : due.wakeAt;
    wakeAt = Math.min(wakeAt, Math.max(dueAt, opensAt));
  }
  return wakeAt;
}

/**
 * Returns the earliest time at which the process must be awake: when a job is due (`now` if one is), a lease with
 * jobs expires, or lapsed records must be deleted. Undefined if never. A store with an alarm sets the alarm to this time, in the same transaction as the
 * write.
 */
export function* attentionAt(now: number, plugins: Plugins): Program<number | undefined> {
  const sequence = new SequenceGenerator(() => 0);
  const current = new Transaction({ now, horizon: now, sequence, random: () => 0, plugins });
  let wakeAt = Math.min(yield* firstDue(current, yield* readyQueues()), yield* searchNeededAt());
  for (const lease of (yield* current.leases()).all()) {
    // An expired lease is judged after some time, so it needs no immediate wake-up.
    if (yield* holdsAny(lease))
      wakeAt = Math.min(wakeAt, lease.expiresAt > now ? lease.expiresAt : now + lease.leaseMs / 3);
  }
  return wakeAt === Number.POSITIVE_INFINITY ? undefined : Math.ceil(wakeAt);
}

/**
 * Returns whether a lease lists jobs that exist. The lease of a worker in the store's own process may list deleted
 * jobs: see `deferrable` of `Operation`.
 */
function* holdsAny({ liveness, held }: LeaseRecord): Program<boolean> {
  if (liveness !== "process") return held.length > 0;
  for (const { key } of held) if ((yield* get("jobs", [key]))[0]) return true;
  return false;
}

/**
 * Returns whether a lease with jobs has expired and only its worker's silence must still be observed. The process must
 * stay awake for that, because its observations are in memory.
 */
export function* awaitsVerdict(now: number): Program<boolean> {
  const leases = yield* everyLease();
  return leases.some(({ held, expiresAt, liveness }) => liveness === "time" && held.length > 0 && expiresAt <= now);
}

/**
 * Returns the time to which a write may move `attentionAt` forward: the earliest time after `now` at which the written
 * records need a process awake; infinite: never; undefined: read `attentionAt` again.
 */
export function attentionOf(operation: Operation, now: number, plugins: Plugins): number | undefined {
  const { op, collection } = operation;
  // Settings affect existing jobs: paused or not, concurrency, rate.
  if (collection === "cells" && !isQuiet(operation, plugins)) return undefined;
  let first = Number.POSITIVE_INFINITY;
  if (op !== "put") return first;
  if (collection === "jobs") {
    for (const { key } of operation.records as readonly StoredJob[])
      if (key[0] === "ready" && key[3] > now) first = Math.min(first, key[3]);
  }
  if (collection === "leases") {
    for (const { held, expiresAt } of operation.records as readonly LeaseRecord[])
      if (held.length > 0) first = Math.min(first, expiresAt);
  }
  return first;
}

/**
 * Returns whether an operation on `cells` writes only values that cannot change when a job is due: `quietCells` of the
 * plugins.
 */
function isQuiet(operation: Operation, plugins: Plugins): boolean {
  const { op } = operation;
  const keys = op === "put" ? operation.records.map(({ key }) => key) : op === "delete" ? operation.keys : [[""]];
  const quiet = plugins.all.flatMap(({ quietCells = [] }) => quietCells);
  return keys.every(([name]) => quiet.some((kind) => name === kind || String(name).startsWith(`${kind}/`)));
}

/** Returns the queues with ready jobs, with one index search each. */
function* readyQueues(): Program<readonly string[]> {
  const queues: string[] = [];
  for (let from: Key = ["ready"]; ; ) {
    const [key] = yield* scanKeys("jobs", { from, to: after(["ready"]) }, 1);
    if (!key) return queues;
    queues.push(queueOf(key));
    from = after(["ready", key[1]]);
  }
}

/** Returns the queues with ready or blocked jobs, which the owner of the store must work. */
export function* storedQueues(): Program<ReadonlySet<string>> {
  const queues = new Set(yield* readyQueues());
  for (let from: Key = ["blocked"]; ; ) {
    const [key] = yield* scanKeys("jobs", { from, to: after(["blocked"]) }, 1);
    if (!key) return queues;
    queues.add(queueOf(key));
    from = blockedLanes(queueOf(key)).to;
  }
}
