import { type Clock, Timer } from "../engine/clock.ts";
import type { Change } from "../engine/store.ts";
import type { ClaimedJob, ClaimQueue, ExchangeReply, ExchangeRequest } from "../engine/verbs.ts";
import * as LIMITS from "../job/limits.ts";
import { backoffDelay } from "../job/retry.ts";
import { RESEND } from "./session.ts";
import type { SlotMember, Slots } from "./slots.ts";
import type { WorkerQueue } from "./worker-options.ts";

/**
 * Maximum number of successive empty claims without a pause. A store that moves blocked jobs answers such a claim with
 * a request to claim again.
 */
const EMPTY_AT_ONCE = 100;

/** The added jobs of one change, shared by the workers that listen to one driver. */
interface Offer {
  /** Number of jobs that no worker has accepted. Undefined: any number. */
  left: number | undefined;
  /** Workers that have ignored the change. */
  readonly others: ClaimsListener[];
}

/** The driver calls each of its listeners with the same object. */
const OFFERS = new WeakMap<Change, Offer>();

/** Longest time until accepted jobs are claimed, in ms. After it, the other workers claim too. */
const ACCEPTED_MS = 1_000;

/** The number of jobs that may still be claimed, by one worker or by all workers that share the budget. */
export interface JobBudget {
  left: number;
  /** The number of jobs, of `left`, that exchanges in flight claim. */
  asked: number;
  /** Called when the budget is used up and no job runs. */
  readonly spent?: (() => void) | undefined;
}

export interface ClaimsOptions {
  readonly clock: Clock;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  readonly slots: Slots;
  /** Queues in the order of the first claim. */
  readonly queues: readonly Pick<WorkerQueue, "name" | "concurrency" | "names" | "batch" | "isBatched">[];
  /** Number of jobs to hold beyond the running ones. */
  readonly prefetch: number;
  /** Longest time between two claims of an idle worker, in ms. */
  readonly sleepMs: number;
  /** Whether the worker sets a timer for jobs that become due. False if something else wakes it. */
  readonly alarm?: boolean | undefined;
}

/** The methods of the exchange loop that the claims call. */
export interface ClaimsListener extends SlotMember {
  /** Makes the worker claim now. */
  wake(): void;
  readonly attempts: {
    /** Returns the number of a queue's running jobs. */
    runningOf(queue: string): number;
  };
}

/** A claim that is being sent. */
export interface Claim {
  /** Number of slots taken for the claim. */
  readonly slots: number;
  readonly budget: JobBudget;
  readonly request: ExchangeRequest["claim"];
}

/**
 * Decides how many jobs a worker may claim, by its slots and budget. Holds the jobs that are claimed and not started.
 */
export class Claims {
  /** The number of jobs that may still be claimed. Set at each start of the worker. */
  budget: JobBudget = { left: 0, asked: 0 };
  /** The only queue to claim from; undefined: all queues. Set at each start of the worker. */
  only: string | undefined;
  /** Whether there may be jobs to claim now. */
  mayBeDue = false;
  readonly #options: ClaimsOptions;
  readonly #listener: ClaimsListener;
  readonly #wakeTimer: Timer;
  /** Timer that runs while claims are paused after fruitless ones. */
  readonly #pause: Timer;
  /** Number of successive fruitless claims: refused, lost, or empty although more jobs are due. */
  #fruitless = 0;
  /** Number of added jobs that this worker claims for all workers of its driver. All are of `#queue`. */
  #accepted = 0;
  #queue: string | undefined;
  /** For each change with such jobs, the workers that have ignored it. */
  #others: ClaimsListener[][] = [];
  /** Timer that runs until the accepted jobs are claimed. */
  readonly #late: Timer;
  /** Held jobs, in the order in which they were claimed. */
  #held: readonly ClaimedJob[] = [];
  /** Counts claims that returned jobs, after which the next claim begins with another queue. */
  #turn = 0;

  constructor(options: ClaimsOptions, listener: ClaimsListener) {
    this.#options = options;
    this.#listener = listener;
    this.#late = new Timer(options.clock);
    this.#wakeTimer = new Timer(options.clock);
    this.#pause = new Timer(options.clock);
  }

  open(): void {
    this.#options.slots.join(this.#listener);
  }

  /** Drops the held jobs. The worker is not woken until the next claim. */
  close(): void {
    this.#held = [];
    this.rest();
    this.#pause.disarm();
    this.#options.slots.leave(this.#listener);
  }

  /** Jobs that are claimed and not started. */
  get held(): readonly ClaimedJob[] {
    return this.#held;
  }

  get isSpent(): boolean {
    return this.budget.left <= 0;
  }

  /** Whether claims are paused after fruitless ones. */
  get isPaused(): boolean {
    return this.#pause.armed;
  }

  /** Whether there may be jobs to claim, and free slots for them. */
  get isDue(): boolean {
    const free = this.#free;
    return this.mayBeDue && !this.isPaused && free + this.#ahead(free) > 0;
  }

  /** Queues for a free slot, if the worker needs one. */
  wait(): void {
    const wants = this.#held.length > 0 || (this.mayBeDue && !this.isPaused);
    if (wants && !this.isSpent) this.#options.slots.wait(this.#listener);
  }

  /** Takes a slot for each held job, as long as slots are free. Returns the jobs that got one, to be started. */
  start(): readonly ClaimedJob[] {
    const count = this.#options.slots.take(this.#listener, this.#held.length);
    const jobs = this.#held.slice(0, count);
    this.#held = this.#held.slice(count);
    return jobs;
  }

  /**
   * Drops all held jobs, or those with these tokens. Returns their number. The next exchange does not list them, so
   * they are released.
   */
  drop(tokens?: readonly string[]): number {
    const dropped = tokens && new Set(tokens);
    const left = dropped ? this.#held.filter(({ token }) => !dropped.has(token)) : [];
    const count = this.#held.length - left.length;
    this.#held = left;
    return count;
  }

  /**
   * Handles a change of jobs that may be claimed. Of a number of added jobs, accepts as many as slots are free, and
   * ignores the change if other workers of its driver have accepted all. Accepts jobs of one queue at a time.
   *
   * @param may whether the next exchange can claim.
   */
  heed(change: Change, may: boolean): void {
    const offer = OFFERS.get(change) ?? { left: change.jobs, others: [] };
    OFFERS.set(change, offer);
    const { left = 0, others } = offer;
    if (offer.left === 0) others.push(this.#listener);
    else this.mayBeDue = true;
    const { queue } = change;
    const accepts = may && (this.#accepted === 0 || this.#queue === queue);
    const count = accepts ? Math.min(left, this.#free - this.#accepted) : 0;
    if (count <= 0) return;
    this.#queue = queue;
    offer.left = left - count;
    this.#accepted += count;
    this.#others.push(others);
    this.#late.arm(ACCEPTED_MS, () => this.#endOffers(0));
  }

  /**
   * Wakes the other workers if a claim returned fewer jobs of the queue than were accepted: one of them may be able to
   * run these.
   */
  #endOffers(count: number): void {
    const others = count < this.#accepted ? this.#others.flat() : [];
    this.#accepted = 0;
    this.#others = [];
    this.#late.disarm();
    for (const other of others) other.wake();
  }

  /** Takes the slots for the next claim. If `may` is false, the claim requests no jobs. */
  begin(may: boolean): Claim {
    const { budget } = this;
    const claims = may && !this.isPaused;
    const slots = claims ? this.#options.slots.take(this.#listener, this.#free) : 0;
    const prefetch = claims ? this.#ahead(slots) : 0;
    const limit = slots + prefetch;
    budget.asked += limit;
    if (limit > 0) this.mayBeDue = false;
    this.rest();
    const queues = limit > 0 ? this.#queues() : [];
    return { slots, budget, request: { limit, ...(prefetch > 0 && { prefetch }), queues } };
  }

  /** Ends a claim that returned these jobs. Returns the jobs to start, and holds the others. */
  end({ slots, budget, request }: Claim, jobs: readonly ClaimedJob[]): readonly ClaimedJob[] {
    const { length } = jobs;
    this.#endOffers(jobs.filter(({ job }) => job.queue === this.#queue).length);
    budget.asked -= request.limit;
    budget.left -= length;
    if (length > 0) this.#turn++;
    this.#held = [...this.#held, ...jobs.slice(slots)];
    this.#options.slots.give(Math.max(0, slots - length));
    return jobs.slice(0, slots);
  }

  /**
   * Records the reply to a claim that returned `count` jobs. If these are fewer than the slots, sets a timer for the
   * next possible claim.
   */
  answered({ slots, request }: Claim, count: number, reply: ExchangeReply): void {
    const { alarm, sleepMs } = this.#options;
    const { nextWakeMs = Number.POSITIVE_INFINITY, unknown, interrupted } = reply;
    const goesOn = count + unknown.length + interrupted.length > 0;
    if (request.limit > 0 && (goesOn || count >= slots || nextWakeMs > 0)) this.#fruitless = 0;
    if (count >= slots) return;
    if (nextWakeMs === 0) {
      this.mayBeDue = true;
      this.fruitless(EMPTY_AT_ONCE);
    }
    const ms = alarm === false ? sleepMs : Math.min(nextWakeMs, sleepMs);
    if (nextWakeMs > 0 && ms < Number.POSITIVE_INFINITY) this.#wakeTimer.arm(ms, () => this.#listener.wake());
  }

  /** Counts a fruitless claim, and pauses claims if at least `before` were fruitless before it. */
  fruitless(before = 0): void {
    const count = ++this.#fruitless - before;
    if (count > 0) this.#pause.arm(backoffDelay(RESEND, count, this.#options.random()), () => this.#listener.wake());
  }

  /** Stops the timer of the next claim, until a claim is answered. */
  rest(): void {
    this.#wakeTimer.disarm();
  }

  get #left(): number {
    return this.budget.left - this.budget.asked;
  }

  get #free(): number {
    return Math.max(0, Math.min(this.#options.slots.freeFor(this.#listener), this.#left));
  }

  /** Returns the number of jobs to claim ahead, in addition to `free`, the number of jobs that start at once. */
  #ahead(free: number): number {
    const wanted = this.#options.prefetch - this.#held.length;
    return Math.max(0, Math.min(wanted, this.#left - free, LIMITS.claim - free));
  }

  /** Returns the queues of the next claim. After each claim that returned jobs, another queue comes first. */
  #queues(): readonly ClaimQueue[] {
    const queues = this.#options.queues.filter(({ name }) => this.only === undefined || name === this.only);
    const first = this.#turn % Math.max(1, queues.length);
    return [...queues.slice(first), ...queues.slice(0, first)].flatMap(
      ({ name, concurrency, names, batch, isBatched }) => {
        const known = names?.();
        // Without a handler, no job can be claimed and no name is unknown.
        if (known?.length === 0 && !isBatched) return [];
        const limit = concurrency && { limit: Math.max(0, concurrency - this.#listener.attempts.runningOf(name)) };
        return [{ queue: name, ...limit, ...(known && { names: known }), ...(batch && { batch: batch() }) }];
      },
    );
  }
}
