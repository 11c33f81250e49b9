import { escapePart, finishedLane, queueOf, readyLane } from "../job/job-keys.ts";
import type { EndState, JobRecord, JobState, StoredJob } from "../job/job-record.ts";
import { END_STATES, isUndelayed, stateOf, toJobRecord } from "../job/transitions.ts";
import { DueJobs } from "./claim-order.ts";
import { locate, type Named } from "./job-writer.ts";
import { everyLease } from "./leases.ts";
import type { Plugins } from "./plugin.ts";
import { type Judge, lookAgainAt } from "./recover.ts";
import { SequenceGenerator } from "./sequence-generator.ts";
import type { Held, Key, LeaseRecord, Operation, Program } from "./store.ts";
import { after, countKeys, get, type Range, scanKeys, startingWith } from "./store-operations.ts";
import { Transaction } from "./transaction.ts";
import type { JobCounts } from "./verbs.ts";

/** An attempt that runs, and its worker. */
export interface Run {
  readonly worker: string;
  readonly held: Held;
}

/** Finds a job and, while it runs, its lease entry. */
export function* lookUp(
  tx: Transaction,
  named: Named,
): Program<{ readonly job?: StoredJob | undefined; readonly run?: Run | undefined; readonly state?: JobState }> {
  const [job] = yield* locate([named]);
  const run = job && (yield* tx.leases()).holderOf(job.key);
  return job ? { job, run, state: stateOf(job.key, tx.now, run !== undefined) } : {};
}

/** Returns the public record of a job. */
export function* getJob(tx: Transaction, queue: string, id: string): Program<JobRecord | undefined> {
  const { job, run } = yield* lookUp(tx, { queue, id });
  return job && toJobRecord(job, tx.now, run?.held);
}

/** Keys of delayed jobs that one program reads, at most (R32). */
const COUNT_STEP = 8_000;

/** A count of delayed jobs that has to go on, in another program. */
export interface Counting {
  readonly delayed: number;
  readonly from: Key;
}

/** The counts of a queue; or where to go on, when more is delayed than one program may read. */
export function* counts(tx: Transaction, queue: string, before?: Counting): Program<JobCounts | Counting> {
  const delayed = yield* countDelayed(tx, queue, before);
  if (typeof delayed === "object") return delayed;
  const held = yield* countRunning(tx, queue);
  const { ready, blocked, finished } = yield* tallies(tx, queue);
  const { paused = false } = yield* tx.settings(queue);
  return { waiting: Math.max(0, ready + blocked - held - delayed), delayed, active: held, ...finished, paused };
}

/** How many jobs lie in each place. In a program that may write, they are known from then on. */
export function* tallies(
  tx: Transaction,
  queue: string,
): Program<{ readonly ready: number; readonly blocked: number; readonly finished: Record<EndState, number> }> {
  const ready = yield* tx.tallied(queue, "ready", () => countKeys(startingWith("ready", readyLane(queue))));
  const blocked = yield* tx.tallied(queue, "blocked", () => countKeys(blockedLanes(queue)));
  const finished: Record<EndState, number> = { completed: 0, failed: 0, cancelled: 0 };
  for (const state of END_STATES)
    finished[state] = yield* tx.tallied(queue, state, () =>
      countKeys(startingWith("finished", finishedLane(queue, state))),
    );
  return { ready, blocked, finished };
}

/** The lease of a process that died may list jobs that had ended before: see `deferrable` of `Operation`. */
export function* countRunning(tx: Transaction, queue: string): Program<number> {
  let running = 0;
  for (const { held, liveness } of (yield* tx.leases()).all()) {
    const keys = held.map(({ key }) => key).filter((key) => queueOf(key) === queue);
    running += liveness === "process" ? (yield* get("jobs", keys)).filter(Boolean).length : keys.length;
  }
  return running;
}

/** Returns the range of all blocked jobs of a queue. */
export const blockedLanes = (queue: string): Range => ({
  from: ["blocked", `${escapePart(queue)}/`],
  to: ["blocked", `${escapePart(queue)}0`],
});

/** Counts the keys after now of each priority present, which one seek each finds. */
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

/** The first instant at which a claim on one of the queues could succeed, or another worker's jobs may have to be taken back (R19). */
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
    // A worker that frees a slot of a full queue looks again by itself.
    if (opensAt === Number.POSITIVE_INFINITY) continue;
    const due = new DueJobs(tx, queue);
    const dueAt = (yield* due.next(1)).length > 0 ? tx.now : due.wakeAt;
    wakeAt = Math.min(wakeAt, Math.max(dueAt, opensAt));
  }
  return wakeAt;
}

/**
 * The first instant at which anything in the store needs a process to be awake: a job that is due (`now` if one is), the
 * end of a lease that holds jobs. Undefined when nothing does. A store with an alarm sets it to this instant, in the transaction
 * of the write that made it so.
 */
export function* attentionAt(now: number, plugins: Plugins): Program<number | undefined> {
  const sequence = new SequenceGenerator(() => 0);
  const current = new Transaction({ now, horizon: now, sequence, random: () => 0, plugins });
  let wakeAt = yield* firstDue(current, yield* readyQueues());
  for (const lease of (yield* current.leases()).all()) {
    // A lease that has run out is judged at the next look but one: no use in looking all the time.
    if (yield* holdsAny(lease))
      wakeAt = Math.min(wakeAt, lease.expiresAt > now ? lease.expiresAt : now + lease.leaseMs / 3);
  }
  return wakeAt === Number.POSITIVE_INFINITY ? undefined : Math.ceil(wakeAt);
}

/** Returns true if a lease lists jobs. That of a process may list jobs that were gone before: see `deferrable` of `Operation`. */
function* holdsAny({ liveness, held }: LeaseRecord): Program<boolean> {
  if (liveness !== "process") return held.length > 0;
  for (const { key } of held) if ((yield* get("jobs", [key]))[0]) return true;
  return false;
}

/**
 * Whether a lease that holds jobs has run out, and only awaits that its silence is proved: by a process that stays awake
 * until then, since what it has seen is gone with it.
 */
export function* awaitsVerdict(now: number): Program<boolean> {
  const leases = yield* everyLease();
  return leases.some(({ held, expiresAt, liveness }) => liveness === "time" && held.length > 0 && expiresAt <= now);
}

/**
 * Returns the instant to which a write may bring that one forward: the first one after `now` at which what is written needs a process to
 * be awake, infinite where it needs none; undefined where its records do not say and only `attentionAt` can.
 */
export function attentionOf(operation: Operation, now: number, plugins: Plugins): number | undefined {
  const { op, collection } = operation;
  // Settings decide over jobs that were there before: paused or not, how many at once, how often.
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

/** Whether these cells decide over no job that is in line. */
function isQuiet(operation: Operation, plugins: Plugins): boolean {
  const { op } = operation;
  const keys = op === "put" ? operation.records.map(({ key }) => key) : op === "delete" ? operation.keys : [[""]];
  const quiet = plugins.all.flatMap(({ quietCells = [] }) => quietCells);
  return keys.every(([name]) => quiet.some((kind) => name === kind || String(name).startsWith(`${kind}/`)));
}

/** The queues that have jobs in line, by one seek each. */
function* readyQueues(): Program<readonly string[]> {
  const queues: string[] = [];
  for (let from: Key = ["ready"]; ; ) {
    const [key] = yield* scanKeys("jobs", { from, to: after(["ready"]) }, 1);
    if (!key) return queues;
    queues.push(queueOf(key));
    from = after(["ready", key[1]]);
  }
}

/** The queues that have jobs in line, or waiting beside it (for a name, a group, a child …): what a process that owns the store has to work. */
export function* storedQueues(): Program<ReadonlySet<string>> {
  const queues = new Set(yield* readyQueues());
  for (let from: Key = ["blocked"]; ; ) {
    const [key] = yield* scanKeys("jobs", { from, to: after(["blocked"]) }, 1);
    if (!key) return queues;
    queues.add(queueOf(key));
    from = blockedLanes(queueOf(key)).to;
  }
}
