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

/** Decides which workers are gone, by what a process has seen beside their lease records. */
export interface Judge {
  /** Takes note of the leases as they are; called first. */
  look(leases: readonly LeaseRecord[]): void;
  /** It is certain that this worker is gone: its lock is free, or its process was replaced. */
  isDead(lease: LeaseRecord): boolean;
  /**
   * Returns in how many ms the owner of a lease counts as silent if the lease is not renewed; 0: it counts as silent now. By
   * then this process has watched the lease for so long that a live owner would have renewed it: so a jump of the wall clock
   * alone condemns no worker (R23).
   */
  silentInMs(lease: LeaseRecord): number;
}

/** Jobs that one exchange takes back, and leases that it changes or removes, at most (R32). */
export const RECOVER_STEP = 256;

export interface Recovered {
  /** The jobs that were taken back, as they now stand. */
  readonly interrupted: StoredJob[];
  /** The next exchange has to go on. */
  readonly more: boolean;
}

/**
 * Takes back the jobs of workers that are gone: the dead at once, those judged by time after their lease, those that are
 * alive by their lock but silent after the cap. An empty lease goes by the clock alone: no worker loses a job by it, and a
 * process that sleeps most of the time would never watch it for long enough.
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

/** A job that was interrupted too often ends, and is reported to this worker (which runs its `onFailed`). */
export const overEnd = (job: StoredJob, run?: Held): End => ({
  job,
  ending: { state: "failed", error: interruptedError(job), ...(run && seenOf(run)) },
});

/**
 * A job that was interrupted too often ends here if this worker can run its `onFailed`. Otherwise it goes back in line too,
 * and ends when a worker of its queue and name meets it there.
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

/** After the clock was set back, a lease still ends one lease from now at the latest (R23). */
function clamp(lease: LeaseRecord, now: number): LeaseRecord {
  return lease.expiresAt > now + lease.leaseMs ? { ...lease, renewedAt: now, expiresAt: now + lease.leaseMs } : lease;
}

/**
 * The instant from which silence counts as death. An empty lease stays as long as its worker said it may be silent, and
 * no less than the cap: it answers repeats, and keeps the numbers going on.
 */
function endOf({ liveness, held, expiresAt, renewedAt }: LeaseRecord): number {
  const cap = renewedAt + DEFAULTS.silenceCapMs;
  if (liveness !== "time") return cap;
  return held.length > 0 ? expiresAt : Math.max(expiresAt, cap);
}

/** When there is next a reason to look at the other workers' leases. */
export function lookAgainAt(leases: readonly LeaseRecord[], self: string, now: number, judge: Judge): number {
  let wakeAt = Number.POSITIVE_INFINITY;
  for (const lease of leases) {
    if (lease.key[0] === self || lease.held.length === 0) continue;
    // Nothing tells of a lock that was let go: look as often as its owner would renew.
    const at =
      lease.liveness === "lock" ? now + lease.leaseMs / 3 : Math.max(endOf(lease), now + judge.silentInMs(lease));
    wakeAt = Math.min(wakeAt, at);
  }
  return wakeAt;
}
