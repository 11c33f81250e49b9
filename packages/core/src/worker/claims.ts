import { type Clock, Timer } from "../engine/clock.ts";
import type { ClaimedJob, ClaimQueue, ExchangeReply, ExchangeRequest } from "../engine/verbs.ts";
import * as LIMITS from "../job/limits.ts";
import { backoffDelay } from "../job/retry.ts";
import { RESEND } from "./session.ts";
import type { WorkerQueue } from "./worker-options.ts";

/** Claims in a row, at once, whose replies bring nothing and say that more is due. A store answers so while it moves jobs. */
const EMPTY_AT_ONCE = 100;

/** How many more jobs may be claimed: by one worker, or by all that share this. */
export interface JobBudget {
  left: number;
  /** Of those, asked for by exchanges that are on their way. */
  asked: number;
  /** Called when nothing is left and nothing runs. */
  readonly spent?: () => void;
}

export interface ClaimsOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly slots: Slots;
  /** In the order of the first claim. */
  readonly queues: readonly Pick<WorkerQueue, "name" | "concurrency" | "names">[];
  /** How many jobs to hold beyond those that run. */
  readonly prefetch: number;
  /** Looks for work at least this often. */
  readonly sleepMs: number;
  /** False where something else wakes the worker for jobs that fall due. */
  readonly alarm?: boolean | undefined;
}

/** The worker's exchanges, as its claims see them. */
export interface ClaimsListener extends SlotMember {
  /** Looks for work now. */
  wake(): void;
  /** Returns how many jobs of a queue run now. */
  runningOf(queue: string): number;
}

/** A claim on its way to the store. */
export interface Claim {
  /** Slots that were taken for it. */
  readonly slots: number;
  readonly budget: JobBudget;
  readonly request: ExchangeRequest["claim"];
}

/** Decides how many jobs a worker may claim, by its slots and its budget. Holds the jobs that are claimed and not started. */
export class Claims {
  /** Set at each start of the worker. */
  budget: JobBudget = { left: 0, asked: 0 };
  /** The one queue to claim from; undefined: all. Set at each start. */
  only: string | undefined;
  /** There may be something to claim. */
  mayBeDue = false;
  readonly #options: ClaimsOptions;
  readonly #listener: ClaimsListener;
  readonly #wakeTimer: Timer;
  /** Armed while no claims are made because they were fruitless. */
  readonly #pause: Timer;
  /** Claims in a row that were refused, lost, or answered with nothing while more is due. */
  #fruitless = 0;
  /** In the order in which they were claimed. */
  #held: readonly ClaimedJob[] = [];
  /** Counts claims that brought jobs: the next claim begins with another queue. */
  #turn = 0;

  constructor(options: ClaimsOptions, listener: ClaimsListener) {
    this.#options = options;
    this.#listener = listener;
    this.#wakeTimer = new Timer(options.clock);
    this.#pause = new Timer(options.clock);
  }

  open(): void {
    this.#options.slots.join(this.#listener);
  }

  /** Drops the held jobs, and does not wake until the next claim. */
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

  /** No claims are made because they were fruitless. */
  get isPaused(): boolean {
    return this.#pause.armed;
  }

  /** Whether there may be something to claim, and room for it. */
  get isDue(): boolean {
    const free = this.#free;
    return this.mayBeDue && !this.isPaused && free + this.#ahead(free) > 0;
  }

  /** Waits in line for a slot, where it needs one. */
  wait(): void {
    const wants = this.#held.length > 0 || (this.mayBeDue && !this.isPaused);
    if (wants && !this.isSpent) this.#options.slots.wait(this.#listener);
  }

  /** Takes a slot for each of the held jobs, as far as there are some; returns these jobs. */
  start(): readonly ClaimedJob[] {
    const count = this.#options.slots.take(this.#listener, this.#held.length);
    const jobs = this.#held.slice(0, count);
    this.#held = this.#held.slice(count);
    return jobs;
  }

  /** Drops held jobs: all, or those of these tokens; returns how many. The next exchange does not name them. */
  drop(tokens?: readonly string[]): number {
    const dropped = tokens && new Set(tokens);
    const left = dropped ? this.#held.filter(({ token }) => !dropped.has(token)) : [];
    const count = this.#held.length - left.length;
    this.#held = left;
    return count;
  }

  /** Takes the slots for a claim of all that it may claim; of nothing, where it may not claim now. */
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

  /** Ends a claim that brought these jobs. Returns those to start, and holds the others. */
  end({ slots, budget, request }: Claim, jobs: readonly ClaimedJob[]): readonly ClaimedJob[] {
    const { length } = jobs;
    budget.asked -= request.limit;
    budget.left -= length;
    if (length > 0) this.#turn++;
    this.#held = [...this.#held, ...jobs.slice(slots)];
    this.#options.slots.give(Math.max(0, slots - length));
    return jobs.slice(0, slots);
  }

  /** The claim was answered with these jobs. Where they are fewer than its slots, looks again when there may be more. */
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

  /** The claim brought nothing, and there may be something: the next one waits if that many in a row were fruitless before. */
  fruitless(before = 0): void {
    const count = ++this.#fruitless - before;
    if (count > 0) this.#pause.arm(backoffDelay(RESEND, count, this.#options.random()), () => this.#listener.wake());
  }

  /** Does not wake by itself until the next claim is answered. */
  rest(): void {
    this.#wakeTimer.disarm();
  }

  get #left(): number {
    return this.budget.left - this.budget.asked;
  }

  get #free(): number {
    return Math.max(0, Math.min(this.#options.slots.freeFor(this.#listener), this.#left));
  }

  /** How many jobs it may claim beside `free`, to be started later. */
  #ahead(free: number): number {
    const wanted = this.#options.prefetch - this.#held.length;
    return Math.max(0, Math.min(wanted, this.#left - free, LIMITS.claim - free));
  }

  /** After each claim that brought jobs another queue comes first, so that none is always last. */
  #queues(): readonly ClaimQueue[] {
    const queues = this.#options.queues.filter(({ name }) => this.only === undefined || name === this.only);
    const first = this.#turn % Math.max(1, queues.length);
    return [...queues.slice(first), ...queues.slice(0, first)].flatMap(({ name, concurrency, names }) => {
      const known = names?.();
      // Without any handler there is nothing to claim, and no name that is unknown.
      if (known?.length === 0) return [];
      const limit = concurrency && { limit: Math.max(0, concurrency - this.#listener.runningOf(name)) };
      return [{ queue: name, ...limit, ...(known && { names: known }) }];
    });
  }
}

/**
 * Room for so many handlers at once, shared by workers: together they never run more. A worker that found no slot waits in
 * line and goes before those that come later, so that none of them starves.
 */
export class Slots {
  readonly #members = new Set<SlotMember>();
  readonly #line = new Set<SlotMember>();
  #size: number;
  #free: number;

  constructor(size: number) {
    this.#size = this.#free = size;
  }

  /** Changes how many there are. Those that are taken stay taken, even if they are more. */
  resize(size: number): void {
    this.give(size - this.#size);
    this.#size = size;
  }

  join(member: SlotMember): void {
    this.#members.add(member);
  }

  leave(member: SlotMember): void {
    this.#members.delete(member);
    this.#line.delete(member);
    this.#announce();
  }

  /** Slots that a worker may take now: each worker before it in line has a claim to one. */
  freeFor(member: SlotMember): number {
    let free = this.#free;
    for (const other of this.#line) {
      if (other === member) break;
      free--;
    }
    return Math.max(0, free);
  }

  /** Takes up to `wanted` slots; returns how many it got. */
  take(member: SlotMember, wanted: number): number {
    const taken = Math.max(0, Math.min(wanted, this.freeFor(member)));
    this.#free -= taken;
    if (taken > 0) this.#line.delete(member);
    return taken;
  }

  /** Gives back slots, also of a worker that has left. */
  give(count: number): void {
    if (count === 0) return;
    this.#free += count;
    this.#announce();
  }

  wait(member: SlotMember): void {
    this.#line.add(member);
  }

  #announce(): void {
    for (const member of [...this.#members]) member.changed();
  }
}

export interface SlotMember {
  /** Called when there may be a free slot again. */
  changed(): void;
}
