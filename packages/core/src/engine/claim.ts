import type { StoredJob } from "../job/job-record.ts";
import { interruptionsOf, isOver, maxInterruptionsOf } from "../job/transitions.ts";
import { DueJobs } from "./claim-order.ts";
import { bringBack, isStranded } from "./clock-set-back.ts";
import type { End } from "./job-writer.ts";
import { overEnd } from "./recover.ts";
import type { Held, Program, QueueSettings } from "./store.ts";
import type { Transaction } from "./transaction.ts";
import type { ClaimQueue, ExchangeRequest } from "./verbs.ts";

export interface Claimed {
  readonly jobs: readonly StoredJob[];
  /** It was interrupted before, so it is the only one. */
  readonly alone: boolean;
  /** A job that was interrupted before runs, or must wait until this worker runs nothing else. */
  readonly closed: boolean;
  /** When the next claim could succeed; infinite when nothing is known to come. */
  readonly wakeAt: number;
  readonly unknown: readonly { readonly queue: string; readonly name: string }[];
  /** Jobs that another worker has taken back for the last time, for this one to end: see `recover`. */
  readonly over: readonly End[];
}

/** The claim from one queue, as its plugins see it. */
export interface QueueClaim {
  readonly tx: Transaction;
  readonly queue: string;
  readonly names: readonly string[] | undefined;
  readonly settings: QueueSettings;
  /** Tells the worker that it does not know this name. */
  readonly foundUnknown: (name: string) => void;
}

/** A plugin's part in the claim from one queue. */
export interface ClaimPart {
  /** How many jobs may start now. Absent: any number. */
  readonly capacity?: number;
  /** The first instant at which another may start when so many have started now. Absent: the worker that frees room looks again. */
  nextAt?(started: number): number;
  /** Reads what it needs to know of these jobs. */
  read?(page: readonly StoredJob[]): Program<void>;
  /** Returns whether this job may be taken. A job that may not be is passed to `finish`. */
  takes?(job: StoredJob): boolean;
  /** Jobs that it puts aside in one claim, at most. Default 100. */
  readonly asideStep?: number;
  /** Returns whether this job may be taken only to start at once. */
  startsOnly?(job: StoredJob): boolean;
  /** The job was taken. */
  taken?(job: StoredJob): void;
  /**
   * Writes what follows from the claim: `started` jobs were taken, and `takes` refused the jobs `aside`, which must not stay
   * where they are. Returns true if a worker is to claim again at once.
   */
  finish?(started: number, aside: readonly StoredJob[]): Program<unknown>;
}

/** Due jobs that are read at a time: each may be large. */
const READ_STEP = 256;
/** Jobs of one plugin that one claim from a queue puts aside, at most (R32). Default of `asideStep`. */
const ASIDE_STEP = 100;
/** After this a worker looks again whether there is room for more leases. */
const FULL_MS = 1_000;
/** From this interruption on a job is claimed alone: it may be what kills its process. */
const ALONE_FROM = 2;

/**
 * Takes the first due jobs of the queues, in the order given. `held` is what the worker already runs; it has settled so
 * many in this round: as many more are likely to be due.
 */
export function* claim(
  tx: Transaction,
  request: ExchangeRequest["claim"],
  held: readonly Held[],
  settled: number,
): Program<Claimed> {
  const taking = new Taking(tx, held, request, settled);
  if (tx.reply?.full(held, (yield* tx.leases()).all())) taking.wakeAt = tx.now + FULL_MS;
  else for (const queue of request.queues) yield* fromQueue(taking, queue);
  return taking;
}

/** A claim in the making. */
class Taking implements Claimed {
  readonly tx: Transaction;
  readonly jobs: StoredJob[] = [];
  readonly unknown: { queue: string; name: string }[] = [];
  readonly over: End[] = [];
  wakeAt = Number.POSITIVE_INFINITY;
  alone = false;
  left: number;
  readonly settled: number;
  /** Of what is left, the last so many are not to start yet. */
  readonly #prefetch: number;
  /** A job that was interrupted before and must wait until this worker runs nothing else. */
  closed: boolean;
  readonly #busy: boolean;

  constructor(
    tx: Transaction,
    held: readonly Held[],
    { limit, prefetch = 0, busy }: ExchangeRequest["claim"],
    settled: number,
  ) {
    this.tx = tx;
    this.settled = settled;
    this.left = limit;
    this.#prefetch = prefetch;
    this.closed = held.some((entry) => entry.alone);
    this.#busy = busy === true || held.length > 0;
  }

  get done(): boolean {
    return this.closed || this.left <= 0;
  }

  /** How many jobs to look for in a queue. Of one with limits, one more than can start shows whether any has to wait. */
  wanted(limited: boolean): number {
    return limited ? Math.max(this.left - this.#prefetch, Math.min(1, this.left)) : this.left;
  }

  /** @param startsOnly it must not be taken ahead. */
  take(job: StoredJob, startsOnly: boolean): boolean {
    // It is the next to start: what is behind it, in any queue, is not to be taken ahead of it (R18). So is one for
    // which the reply has no room (R31).
    if ((this.left <= this.#prefetch && (startsOnly || isNeverAhead(job))) || this.tx.reply?.refusesClaim(job)) {
      this.left = 0;
      return false;
    }
    if (isOver(job)) {
      this.over.push(overEnd(job));
      this.left--;
      return false;
    }
    if (interruptionsOf(job) >= ALONE_FROM) {
      this.closed = true;
      if (this.#busy || this.jobs.length > 0) return false;
      this.alone = true;
    }
    this.jobs.push(job);
    this.left--;
    return true;
  }
}

function* fromQueue(taking: Taking, request: ClaimQueue): Program<void> {
  const { tx } = taking;
  const { queue, names } = request;
  const settings = yield* tx.settings(queue);
  if (settings.paused) return;
  for (const plugin of tx.plugins.with("beforeClaim")) yield* plugin.beforeClaim(tx, request);
  if (taking.left <= 0) taking.wakeAt = tx.now;
  if (taking.done) return;

  const claim: QueueClaim = {
    tx,
    queue,
    names,
    settings: yield* tx.settings(queue),
    foundUnknown: (name) => taking.unknown.push({ queue, name }),
  };
  const parts: ClaimPart[] = request.limit === undefined ? [] : [{ capacity: request.limit }];
  for (const plugin of tx.plugins.with("claiming")) {
    const part = yield* plugin.claiming(claim);
    if (part) parts.push(part);
  }
  const limits = parts.filter(({ capacity }) => capacity !== undefined);
  let capacity = Number.POSITIVE_INFINITY;
  for (const limit of limits) capacity = Math.min(capacity, limit.capacity ?? 0);
  const due = new DueJobs(tx, queue, taking.settled);
  const before = taking.jobs.length;
  const aside = parts.map((): StoredJob[] => []);
  let full = false;
  while (!taking.done && !full) {
    const want = Math.min(taking.wanted(limits.length > 0), capacity - (taking.jobs.length - before), READ_STEP);
    const page = want > 0 ? yield* due.next(want) : [];
    if (page.length === 0) break;
    for (const part of parts) if (part.read) yield* part.read(page);
    for (const job of page) {
      const refusing = parts.findIndex((part) => part.takes?.(job) === false);
      const refused = aside[refusing];
      if (refused) full = refused.push(job) >= (parts[refusing]?.asideStep ?? ASIDE_STEP);
      else takeWith(taking, parts, job, limits.length > 0);
      if (taking.done || full) break;
    }
  }
  const taken = taking.jobs.length - before;
  let again = full || taking.left <= 0;
  for (const [index, part] of parts.entries())
    if (part.finish && (yield* part.finish(taken, aside[index] ?? []))) again = true;
  // One that runs stays where it is: to look again at once would find it again, until it ends.
  if (due.stranded && (yield* bringBack(tx, queue, due.stranded, isStranded)).moved > 0) again = true;
  if (again) {
    taking.wakeAt = tx.now;
    return;
  }

  const spent = limits.filter((part) => taken >= (part.capacity ?? 0));
  const timed = spent.filter((part) => part.nextAt);
  // A worker that frees a slot looks again by itself: that needs no wake-up.
  if (spent.length > 0 && capacity <= 0 && timed.length < spent.length) return;
  if (timed.length > 0) {
    // The next start is of use only to a job that is due by then.
    let free = tx.now;
    for (const part of timed) free = Math.max(free, part.nextAt?.(taken) ?? free);
    const more = (yield* due.next(1)).length > 0;
    taking.wakeAt = Math.min(taking.wakeAt, more ? free : Math.max(free, due.wakeAt));
  } else if (spent.length === 0) taking.wakeAt = Math.min(taking.wakeAt, due.wakeAt);
}

function takeWith(taking: Taking, parts: readonly ClaimPart[], job: StoredJob, limited: boolean): void {
  const startsOnly = limited || parts.some((part) => part.startsOnly?.(job));
  if (taking.take(job, startsOnly)) for (const part of parts) part.taken?.(job);
}

/**
 * It is taken only to start at once: of one that few interruptions end, or that was interrupted before, no worker could tell
 * after a crash whether it had started (R10).
 */
const isNeverAhead = (job: StoredJob): boolean =>
  interruptionsOf(job) >= ALONE_FROM || maxInterruptionsOf(job) <= ALONE_FROM;
