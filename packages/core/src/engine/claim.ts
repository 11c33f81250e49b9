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
  /** Whether the claimed job is isolated: it was interrupted before, so the worker runs no other job with it. */
  readonly alone: boolean;
  /**
   * Whether the worker may claim no other job, because an isolated job runs or waits until the worker runs nothing
   * else.
   */
  readonly closed: boolean;
  /** When the next claim could succeed, in ms since epoch; infinite if unknown. */
  readonly wakeAt: number;
  readonly unknown: readonly { readonly queue: string; readonly name: string }[];
  /** Jobs with too many interruptions, recovered by another worker, that this worker ends: see `recover`. */
  readonly over: readonly End[];
}

/** The claim from one queue, as plugins receive it. */
export interface QueueClaim {
  readonly tx: Transaction;
  readonly queue: string;
  readonly names: readonly string[] | undefined;
  readonly batch: ClaimQueue["batch"];
  readonly settings: QueueSettings;
  /** Called when a job's name has no handler in the worker. The name is listed in `unknown` of the reply. */
  readonly foundUnknown: (name: string) => void;
}

/** A plugin's part in the claim from one queue. */
export interface ClaimPart {
  /** Maximum number of jobs of this queue that may start now. Absent: no limit. */
  readonly capacity?: number;
  /** The jobs to claim, in place of the due jobs of the queue. `stranded` is absent. */
  readonly due?: Pick<DueJobs, "next" | "wakeAt"> & { readonly stranded?: undefined };
  /**
   * Returns the earliest time at which another job may start after `started` jobs have started now. Absent: the next
   * job can start when a running one ends, and that worker claims again.
   */
  nextAt?(started: number): number;
  /** Reads the plugin's records for the jobs of this page, before `takes` is called with them. */
  read?(page: readonly StoredJob[]): Program<void>;
  /** Returns whether a job may be claimed. A refused job is passed to `finish`. */
  takes?(job: StoredJob): boolean;
  /** Maximum number of jobs that the plugin refuses in one claim. Default: 100. */
  readonly asideStep?: number;
  /** Returns whether a job must start at once when it is claimed, so that it is never claimed ahead. */
  startsOnly?(job: StoredJob): boolean;
  /** Called with a claimed job. */
  taken?(job: StoredJob): void;
  /**
   * Writes the plugin's changes after `started` jobs were claimed. `aside`: the jobs that `takes` refused, which must
   * be moved. Returns true if a worker should claim again at once.
   */
  finish?(started: number, aside: readonly StoredJob[]): Program<unknown>;
}

/** Maximum number of due jobs per read, because records may be large. */
const READ_STEP = 256;
/** Default of `asideStep`: maximum number of jobs that one plugin refuses in a claim from one queue (R32). */
const ASIDE_STEP = 100;
/** Delay before a worker claims again because the reply had no room for more jobs, in ms. */
const FULL_MS = 1_000;
/** Number of interruptions from which a job is isolated when it is claimed, because it may crash its process. */
const ALONE_FROM = 2;

/**
 * Claims the first due jobs of the queues, in the given order. `held`: the worker's running jobs. `settled`: the number
 * of jobs that it has just settled, which is about the number to claim.
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

/** The state of a claim that is in progress. */
class Taking implements Claimed {
  readonly tx: Transaction;
  readonly jobs: StoredJob[] = [];
  readonly unknown: { queue: string; name: string }[] = [];
  readonly over: End[] = [];
  wakeAt = Number.POSITIVE_INFINITY;
  alone = false;
  left: number;
  readonly settled: number;
  /** Number of jobs, the last of the limit, that may be claimed ahead. */
  readonly #prefetch: number;
  /** Whether the worker may claim no other job: an isolated job runs, or waits until this worker runs nothing else. */
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

  /**
   * Returns the number of jobs to look for in a queue. If a plugin limits the queue, it is one more than can start, to
   * see whether a job must wait.
   */
  wanted(limited: boolean): number {
    return limited ? Math.max(this.left - this.#prefetch, Math.min(1, this.left)) : this.left;
  }

  /**
   * Claims a job if the limits allow it. Returns whether the job was claimed.
   *
   * @param startsOnly the job must not be claimed ahead.
   */
  take(job: StoredJob, startsOnly: boolean): boolean {
    // This job is the next to start, so no job behind it may be claimed ahead of it (R18). Also ends the claim if the
    // reply has no room (R31).
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
  const { tx, left } = taking;
  const { queue, names } = request;
  const settings = yield* tx.settings(queue);
  // A worker at its limit for the queue unblocks no jobs, or it and a worker that blocks them would wake each other.
  if (settings.paused || request.limit === 0) return;
  const possible = { ...request, limit: Math.min(request.limit ?? left, left) };
  for (const plugin of tx.plugins.with("beforeClaim")) yield* plugin.beforeClaim(tx, possible);
  if (left <= 0) taking.wakeAt = tx.now;
  if (taking.done) return;

  const claim: QueueClaim = {
    tx,
    queue,
    names,
    batch: request.batch,
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
  const own = parts.find((part) => part.due)?.due;
  const due = own ?? new DueJobs(tx, queue, taking.settled);
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
  // Running jobs keep their key, so searching again now would find them again.
  if (due.stranded && (yield* bringBack(tx, queue, due.stranded, isStranded)).moved > 0) again = true;
  if (again) {
    taking.wakeAt = tx.now;
    return;
  }

  const spent = limits.filter((part) => taken >= (part.capacity ?? 0));
  const timed = spent.filter((part) => part.nextAt);
  // A worker that frees a slot claims again without a wake-up.
  if (spent.length > 0 && capacity <= 0 && timed.length < spent.length) return;
  if (timed.length > 0) {
    // The next possible start matters only if a job is due by then.
    let free = tx.now;
    for (const part of timed) free = Math.max(free, part.nextAt?.(taken) ?? free);
    const more = !own && (yield* due.next(1)).length > 0;
    taking.wakeAt = Math.min(taking.wakeAt, more ? free : Math.max(free, due.wakeAt));
  } else if (spent.length === 0) taking.wakeAt = Math.min(taking.wakeAt, due.wakeAt);
}

function takeWith(taking: Taking, parts: readonly ClaimPart[], job: StoredJob, limited: boolean): void {
  const startsOnly = limited || parts.some((part) => part.startsOnly?.(job));
  if (taking.take(job, startsOnly)) for (const part of parts) part.taken?.(job);
}

/**
 * Returns whether a job must not be claimed ahead: it was interrupted before, or it allows few interruptions. After a
 * crash it would be unknown whether a job that was claimed ahead had started (R10).
 */
const isNeverAhead = (job: StoredJob): boolean =>
  interruptionsOf(job) >= ALONE_FROM || maxInterruptionsOf(job) <= ALONE_FROM;
