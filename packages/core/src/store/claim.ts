import { blockedLane } from "../job/place.ts";
import type { StoredJob } from "../job/record.ts";
import { blocked, EXPIRED, interruptionsOf, isExpired, maxInterruptionsOf, returned } from "../job/transitions.ts";
import { end } from "./door.ts";
import { DueJobs } from "./due-jobs.ts";
import { type Group, groupsOf, SEATS, toBlocked } from "./groups.ts";
import { moveEach } from "./moves.ts";
import { scan, startingWith } from "./operations.ts";
import { allowance } from "./rate-limit.ts";
import { bringBack, isStranded } from "./set-back.ts";
import type { Held, Program, QueueSettings } from "./store.ts";
import type { Turn } from "./turn.ts";
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
}

/** Jobs with unknown names, or of full groups, that one claim moves out of the way, at most. */
const STEP_ASIDE = 100;
/** Expired jobs that one claim ends, at most (R32). */
const EXPIRE_STEP = 256;
/** Jobs that come back from `blocked` in one exchange, at most. */
const RETURN_STEP = 256;
/** From this interruption on a job is claimed alone: it may be what kills its process. */
const ALONE_FROM = 2;

/**
 * Takes the first due jobs of the queues, in the order given. `held` is what the worker already runs; it has settled so
 * many in this round: as many more are likely to be due.
 */
export function* claim(
  turn: Turn,
  request: ExchangeRequest["claim"],
  held: readonly Held[],
  settled: number,
): Program<Claimed> {
  const taking = new Taking(turn, held, request, settled);
  for (const queue of request.queues) yield* fromQueue(taking, queue);
  return taking;
}

/** A claim in the making. */
class Taking implements Claimed {
  readonly turn: Turn;
  readonly jobs: StoredJob[] = [];
  readonly unknown: { queue: string; name: string }[] = [];
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
    turn: Turn,
    held: readonly Held[],
    { limit, prefetch = 0, busy }: ExchangeRequest["claim"],
    settled: number,
  ) {
    this.turn = turn;
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

  /** @param limited by its queue. */
  take(job: StoredJob, limited: boolean): boolean {
    // It is the next to start: what stands behind it, in any queue, is not to be taken ahead of it (R18).
    if (this.left <= this.#prefetch && (limited || isNeverAhead(job))) {
      this.left = 0;
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
  const { turn } = taking;
  const settings = yield* turn.settings(request.queue);
  if (settings.paused) return;
  yield* returnKnown(turn, request.queue, request.names);
  if (taking.left <= 0) taking.wakeAt = turn.now;
  if (taking.done) return;

  const running = (yield* turn.leases()).heldOf(request.queue).length;
  const slots = Math.min(
    request.limit ?? Number.POSITIVE_INFINITY,
    (settings.maxActive ?? Number.POSITIVE_INFINITY) - running,
  );
  const rate = settings.rateLimit && (yield* allowance(turn, request.queue, settings.rateLimit));
  const tokens = rate ? rate.free : Number.POSITIVE_INFINITY;
  // Whoever frees a slot looks again by itself: that needs no wake-up.
  if (slots <= 0) {
    if (rate) yield* rate.take(0);
    return;
  }

  const limited = hasLimits(settings, request);
  const sieve = new Sieve(taking, request, limited);
  const due = new DueJobs(turn, request.queue, taking.settled);
  const before = taking.jobs.length;
  const quota = Math.min(slots, tokens);
  while (!taking.done && !sieve.full) {
    const want = Math.min(taking.wanted(limited), quota - (taking.jobs.length - before));
    const page = want > 0 ? yield* due.next(want) : [];
    if (page.length === 0) break;
    yield* sieve.pour(page);
  }
  const taken = taking.jobs.length - before;
  if (rate) yield* rate.take(taken);
  yield* sieve.empty();
  if (due.stranded) {
    // One that runs stays where it stands: to look again at once would find it again, until it ends.
    const { moved } = yield* bringBack(turn, request.queue, due.stranded, isStranded);
    if (moved > 0) taking.wakeAt = turn.now;
  }

  if (sieve.full || taking.left <= 0) taking.wakeAt = turn.now;
  else if (rate && taken === tokens) {
    // The next start is of use only to a job that is due by then.
    const free = rate.nextAt(taken);
    const more = (yield* due.next(1)).length > 0;
    taking.wakeAt = Math.min(taking.wakeAt, more ? free : Math.max(free, due.wakeAt));
  } else if (taken < slots) taking.wakeAt = Math.min(taking.wakeAt, due.wakeAt);
}

/**
 * It is taken only to start at once: one of a group would take room from others; of one that few interruptions end, or
 * that was interrupted before, nobody could tell after a crash whether it had started (R10).
 */
const isNeverAhead = (job: StoredJob): boolean =>
  job.group !== undefined || interruptionsOf(job) >= ALONE_FROM || maxInterruptionsOf(job) <= ALONE_FROM;

/** Its jobs cannot be held by a worker without taking room from others. */
const hasLimits = ({ rateLimit, maxActive }: QueueSettings, { limit }: ClaimQueue): boolean =>
  rateLimit !== undefined || maxActive !== undefined || limit !== undefined;

/** Sorts the due jobs that a claim meets: taken, expired, or moved out of the way of those behind them. */
class Sieve {
  readonly #taking: Taking;
  readonly #limited: boolean;
  readonly #queue: string;
  readonly #names: ReadonlySet<string> | undefined;
  readonly #unknown: StoredJob[] = [];
  readonly #saturated: StoredJob[] = [];
  readonly #expired: StoredJob[] = [];
  /** How many jobs of each group run. */
  #running: Map<string, number> | undefined;

  constructor(taking: Taking, { queue, names }: ClaimQueue, limited: boolean) {
    this.#taking = taking;
    this.#limited = limited;
    this.#queue = queue;
    this.#names = names && new Set(names);
  }

  /** As many were moved aside as one claim may. */
  get full(): boolean {
    return this.#unknown.length + this.#saturated.length >= STEP_ASIDE || this.#expired.length >= EXPIRE_STEP;
  }

  *pour(page: readonly StoredJob[]): Program<void> {
    const { turn } = this.#taking;
    const groups = yield* groupsOf(turn, page);
    for (const job of page) {
      const group = groups.get(job);
      if (isExpired(job, turn.now)) this.#expired.push(job);
      else if (this.#names && !this.#names.has(job.name)) this.#unknown.push(job);
      else if (group && (yield* this.#isFull(group))) this.#saturated.push(job);
      else if (this.#taking.take(job, this.#limited) && group) {
        this.#count(group.key);
        if (group.limit > SEATS) turn.room(this.#queue, group.key);
      }
      if (this.#taking.done || this.full) return;
    }
  }

  /** Writes what was found besides jobs to take. */
  *empty(): Program<void> {
    const { turn, unknown } = this.#taking;
    yield* end(
      turn,
      this.#expired.map((job) => ({ job, ending: { state: "failed", error: EXPIRED } })),
    );
    yield* moveEach(turn, this.#saturated, toBlocked);
    yield* moveEach(turn, this.#unknown, (job) => blocked(job, "name", job.name));
    if (this.#unknown.length === 0) return;
    const names = new Set(this.#unknown.map(({ name }) => name));
    const settings = yield* turn.settings(this.#queue);
    yield* turn.configure(this.#queue, {
      ...settings,
      blockedNames: [...new Set([...(settings.blockedNames ?? []), ...names])],
    });
    for (const name of names) unknown.push({ queue: this.#queue, name });
    // A worker that knows these names may be waiting.
    turn.changed(this.#queue, "ready");
  }

  *#isFull({ key, limit }: Group): Program<boolean> {
    if (!this.#running) {
      this.#running = new Map();
      for (const { group } of (yield* this.#taking.turn.leases()).heldOf(this.#queue))
        if (group !== undefined) this.#count(group);
    }
    return (this.#running.get(key) ?? 0) >= limit;
  }

  #count(key: string): void {
    this.#running?.set(key, (this.#running.get(key) ?? 0) + 1);
  }
}

/** What had stepped aside comes back for a worker that declares its name, or that takes any. */
function* returnKnown(turn: Turn, queue: string, names: readonly string[] | undefined): Program<void> {
  const settings = yield* turn.settings(queue);
  const known = settings.blockedNames?.filter((name) => !names || names.includes(name)) ?? [];
  if (known.length === 0) return;
  const drained = new Set<string>();
  for (const name of known) {
    const jobs = yield* scan("jobs", startingWith("blocked", blockedLane(queue, "name", name)), RETURN_STEP);
    yield* moveEach(turn, jobs, returned);
    if (jobs.length < RETURN_STEP) drained.add(name);
  }
  const { blockedNames = [], ...rest } = settings;
  const left = blockedNames.filter((name) => !drained.has(name));
  yield* turn.configure(queue, left.length > 0 ? { ...rest, blockedNames: left } : rest);
}
