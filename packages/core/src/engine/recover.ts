import { append } from "../job/append-to-list.ts";
import * as DEFAULTS from "../job/defaults.ts";
import type { StoredJob } from "../job/job-record.ts";
import { interrupted, interruptedError, interruptionDelay, interruptionsOf, isOver } from "../job/transitions.ts";
import { type End, endJobs, type Move, moveJobs } from "./job-writer.ts";
import { endCancelled, seenOf } from "./settle.ts";
import type { Held, LeaseRecord, Program } from "./store.ts";
import { get } from "./store-operations.ts";
import type { Transaction } from "./transaction.ts";
import type { ClaimQueue, ExchangeRequest } from "./verbs.ts";

/** Decides which workers are dead, from their leases and from the observations of one process. */
export interface Judge {
  /** Records the current leases. Called before the other methods. */
  look(leases: readonly LeaseRecord[]): void;
  /** Returns whether a worker is certainly dead: its lock is free, or its process was replaced. */
  isDead(lease: LeaseRecord): boolean;
  /**
   * Returns the ms until the worker of a lease that is not renewed counts as dead; 0: now. This process itself must
   * have watched the lease for so long that a live worker would have renewed it, so a clock change alone ends no lease
   * (R23).
   */
  silentInMs(lease: LeaseRecord): number;
}

/** Maximum number of jobs that one exchange recovers, and maximum number of leases that it changes or removes (R32). */
export const RECOVER_STEP = 256;

export interface Recovered {
  /** The recovered jobs, as they are stored after the recovery. */
  readonly interrupted: StoredJob[];
  /** Whether jobs are left that the next exchange must recover. */
  readonly more: boolean;
}

/**
 * Recovers the jobs of dead workers. A worker that is known to be dead is dead at once; one judged by time, after its
 * lease expires; one with a lock, when it is silent for longer than the cap. A lease without jobs is removed by the
 * clock alone: no job is lost, and a process that sleeps most of the time could not watch it.
 */
export function* recover(tx: Transaction, { worker: self, claim }: ExchangeRequest, judge: Judge): Program<Recovered> {
  const leases = yield* tx.leases();
  const interrupted: StoredJob[] = [];
  let room = RECOVER_STEP;
  judge.look(leases.all().filter((lease) => lease.key[0] !== self));
  for (const found of leases.all()) {
    if (found.key[0] === self) continue;
    const lease = clamp(found, tx.now);
    const isOver =
      judge.isDead(lease) || (tx.now >= endOf(lease) && (lease.held.length === 0 || judge.silentInMs(lease) === 0));
    if (lease === found && !isOver) continue;
    if (room <= 0) break;
    let taken: readonly Held[] = isOver ? lease.held.slice(0, room) : [];
    if (tx.reply) taken = yield* tx.reply.fitting(taken);
    room -= Math.max(1, taken.length);
    if (isOver && taken.length === lease.held.length) leases.delete(lease.key[0]);
    else leases.set({ ...lease, held: lease.held.slice(taken.length) });
    append(interrupted, yield* takeBack(tx, claim, taken));
    if (isOver && taken.length < lease.held.length) room = 0;
  }
  return { interrupted, more: room <= 0 };
}

/**
 * Returns the end of a job that was interrupted too often. The worker of this exchange gets the job and runs its
 * `onFailed`.
 */
export const overEnd = (job: StoredJob, run?: Held): End => ({
  job,
  ending: { state: "failed", error: interruptedError(job), ...(run && seenOf(run)) },
});

/**
 * Returns the jobs of dead workers to the queue. A job that was interrupted too often ends here only if this worker can
 * run its `onFailed`; otherwise it waits until a worker with a handler for its name claims it.
 */
function* takeBack(
  tx: Transaction,
  claim: ExchangeRequest["claim"],
  taken: readonly Held[],
): Program<readonly StoredJob[]> {
  yield* endCancelled(
    tx,
    taken.filter((held) => held.cancel),
  );
  const held = taken.filter((entry) => !entry.cancel);
  const jobs = yield* get(
    "jobs",
    held.map((entry) => entry.key),
  );
  const ends: End[] = [];
  const moves: Move[] = [];
  for (const [index, job] of jobs.entries()) {
    const run = held[index];
    if (!job || !run) continue;
    const next = { ...job, interruptions: interruptionsOf(job) + 1 };
    const isOurs = ({ queue, names }: ClaimQueue) => queue === job.queue && names?.includes(job.name) !== false;
    if (isOver(next) && claim.queues.some(isOurs)) ends.push(overEnd(next, run));
    else {
      const stand = tx.nextPosition(interruptionDelay(next.interruptions, tx.random()));
      moves.push({ before: job, job: interrupted(next, stand, run) });
    }
  }
  yield* moveJobs(tx, moves);
  return [...moves.map(({ job }) => job), ...(yield* endJobs(tx, ends))];
}

/**
 * Returns the lease with an expiry of at most one lease period from now. A later expiry is from before the clock was
 * set back (R23).
 */
function clamp(lease: LeaseRecord, now: number): LeaseRecord {
  return lease.expiresAt > now + lease.leaseMs ? { ...lease, renewedAt: now, expiresAt: now + lease.leaseMs } : lease;
}

/**
 * Returns the time from which a worker that does not renew its lease counts as dead. A lease without jobs is kept for
 * at least the cap, because it is needed to answer repeated exchanges and keeps their numbers.
 */
function endOf({ liveness, held, expiresAt, renewedAt }: LeaseRecord): number {
  const cap = renewedAt + DEFAULTS.silenceCapMs;
  if (liveness !== "time") return cap;
  return held.length > 0 ? expiresAt : Math.max(expiresAt, cap);
}

/** Returns the time at which the leases of the other workers must be checked next. */
export function lookAgainAt(leases: readonly LeaseRecord[], self: string, now: number, judge: Judge): number {
  let wakeAt = Number.POSITIVE_INFINITY;
  for (const lease of leases) {
    if (lease.key[0] === self || lease.held.length === 0) continue;
    // Releasing a lock causes no event, so leases with locks are checked as often as they are renewed.
    const at =
      lease.liveness === "lock" ? now + lease.leaseMs / 3 : Math.max(endOf(lease), now + judge.silentInMs(lease));
    wakeAt = Math.min(wakeAt, at);
  }
  return wakeAt;
}
