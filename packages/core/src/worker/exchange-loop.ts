import { type Clock, Timer } from "../driver/clock.ts";
import { QuaysideError } from "../job/errors.ts";
import { handlerScope } from "../job/handler-scope.ts";
import { backoffDelay } from "../job/retry.ts";
import { Room, type Slots } from "../job/slots.ts";
import type { Change } from "../store/store.ts";
import type { AttemptReport, ClaimedJob, ClaimQueue, ExchangeReply } from "../store/verbs.ts";
import { Attempts, type AttemptsListener, type AttemptsOptions } from "./attempts.ts";
import type { Settled, WorkerQueue } from "./events.ts";
import { type ExchangeClient, RESEND, type RefusedPart } from "./exchange-client.ts";

/** Microtask turns before an exchange, so that handlers that end together are settled together. */
const GATHER_TURNS = 8;

export interface ExchangeLoopOptions<Ctx extends object> extends AttemptsOptions<Ctx> {
  readonly clock: Clock;
  readonly queues: readonly WorkerQueue<Ctx>[];
  readonly slots: Slots;
  /** How many jobs to hold beyond those that run. */
  readonly prefetch: number;
  readonly leaseMs: number;
  /** Looks for work at least this often. */
  readonly sleepMs: number;
  /** Whether it wakes by itself for jobs that fall due. */
  readonly alarm?: boolean | undefined;
  /** Whether the worker is started, and not stopping. */
  readonly wanted: () => boolean;
  /** Called when the store did not answer for longer than the lease. Returns a new client, unless the worker ends. */
  readonly storeLost: (error: unknown) => Promise<ExchangeClient | undefined>;
}

/**
 * A worker's exchanges with its driver. One exchange settles what ended, renews what runs and claims more. There is never
 * more than one in flight, and none without a reason.
 */
export class ExchangeLoop<Ctx extends object> implements AttemptsListener {
  readonly attempts: Attempts<Ctx>;
  /** Slots and quota; the quota is set at each start of the worker. */
  readonly room: Room;
  /** The one queue to claim from; undefined: all. */
  only: string | undefined;
  readonly #options: ExchangeLoopOptions<Ctx>;
  readonly #waiters = new Set<() => void>();
  #client: ExchangeClient | undefined;
  /** Jobs that are held and not started, in the order in which they were claimed. */
  #prefetched: readonly ClaimedJob[] = [];
  #looping: Promise<void> | undefined;
  /** The loop waits for a turn of the event loop, or for the reply of an exchange. */
  #waitsFor: "turn" | "reply" | undefined;
  /** Resolves once the event loop has had a turn since the last exchange (R40). */
  #turned: Promise<void> | undefined;
  /** There may be something to claim. */
  #mayBeDue = false;
  /** The driver is to get the list of running jobs and their reports, or to say which are cancelled. */
  #renew = false;
  /** `idle` was emitted, and nothing was claimed since. */
  #idle = false;
  /** By the monotonic clock. */
  #renewedAt = 0;
  /** Most attempts that one exchange settles. Finite after one was refused, until all that had ended is settled: no claims meanwhile. */
  #most = Number.POSITIVE_INFINITY;
  /** Exchanges in a row of which the claim alone was refused. */
  #claimRefusals = 0;
  /** Counts claims that brought jobs: the next claim begins with another queue. */
  #turn = 0;
  readonly #wakeTimer: Timer;
  readonly #renewalTimer: Timer;
  /** Armed while no claims are made because they were refused. */
  readonly #claimPause: Timer;

  constructor(options: ExchangeLoopOptions<Ctx>) {
    this.#options = options;
    this.#wakeTimer = new Timer(options.clock);
    this.#renewalTimer = new Timer(options.clock);
    this.#claimPause = new Timer(options.clock);
    this.room = new Room(options.slots, () => this.#pump());
    this.attempts = new Attempts(options, this);
  }

  // Reasons for an exchange

  /** Makes exchanges over this client, from the first reason on. */
  open(client: ExchangeClient): void {
    this.#client = client;
    this.#idle = false;
    this.room.open();
  }

  /** Looks for work now. */
  wake(): void {
    this.#mayBeDue = true;
    this.#pump();
  }

  /** Makes an exchange now, with or without room for jobs: it takes back the jobs of workers that are gone. */
  poll(): void {
    this.#renew = true;
    this.wake();
  }

  /** Another client changed the store. */
  onChange({ queue, kind }: Change): void {
    if (!this.#options.queues.some(({ name }) => name === queue)) return;
    if (kind === "cancel") this.#renew ||= this.attempts.running > 0;
    else if (kind === "ready" || kind === "settings") this.#mayBeDue = true;
    // The queue may be paused now, or limited: what has not started is claimed again if it may be.
    if (kind === "settings") this.#giveBack();
    this.#pump();
  }

  changed(): void {
    this.ask();
    this.#pump();
  }

  returned(): void {
    this.#mayBeDue = true;
    this.room.give(1);
    this.changed();
  }

  reportsDue(): void {
    this.#renew = true;
    this.#pump();
  }

  // Waiting

  /** Resolves when `test` holds, now or at a later `ask`. */
  until(test: () => boolean): Promise<void> {
    if (test()) return Promise.resolve();
    return new Promise((resolve) => {
      const waiter = () => {
        if (!test()) return;
        this.#waiters.delete(waiter);
        resolve();
      };
      this.#waiters.add(waiter);
    });
  }

  ask(): void {
    for (const waiter of this.#waiters) waiter();
  }

  /** Looks for work, and resolves once nothing runs and nothing is due, or `over` holds. */
  untilIdle(over: () => boolean): Promise<void> {
    this.#idle = false;
    this.wake();
    return this.until(() => this.#idle || over());
  }

  // Ending

  /** Gives back what has not started, and claims nothing more. */
  stopClaiming(): void {
    this.#wakeTimer.disarm();
    this.#giveBack();
    this.#pump();
  }

  /** Interrupts the handlers, settles all, and gives up the lease. */
  async leave(): Promise<void> {
    const { attempts } = this;
    this.#client?.leave();
    // A claim that was on its way brings more attempts.
    do {
      attempts.stop();
      await this.until(() => attempts.live.length === 0);
      while (this.#looping) await this.#looping;
    } while (attempts.live.length > 0);
    const client = this.#client;
    // No other reason (the death of another worker, say) causes an exchange beside the last one, or after it.
    this.#client = undefined;
    if (client) await this.#leave(client);
  }

  /**
   * Interrupts the handlers without a grace, and gives back all jobs, uncounted, in one last exchange. That is on its way
   * when this returns, unless an earlier one still is.
   */
  async abort(): Promise<void> {
    const client = this.#client;
    if (!client) return;
    // First of all: what ends now belongs into the last exchange, and no other is to begin.
    this.#client = undefined;
    client.leave();
    this.attempts.abortNow();
    const holds = this.#prefetched.length > 0 || this.#looping !== undefined || this.attempts.haveEnded;
    this.#prefetched = [];
    // A page that is put aside may have no other task: a loop that waits for one is not waited for.
    while (this.#looping && this.#waitsFor !== "turn") await this.#looping;
    // A page that is put aside with a transaction on its way is not kept: a worker that holds nothing makes none.
    if (holds) await this.#leave(client);
    this.close();
  }

  /** Sends now the exchange that waits to be sent again. */
  retryNow(): void {
    this.#client?.retryNow();
  }

  /** Makes no exchanges until `open`. */
  close(): void {
    this.#client = undefined;
    this.room.close();
    this.#prefetched = [];
    this.attempts.close();
    this.#wakeTimer.disarm();
    this.#renewalTimer.disarm();
    this.#claimPause.disarm();
    this.#most = Number.POSITIVE_INFINITY;
  }

  async #leave(client: ExchangeClient): Promise<void> {
    do await this.#exchange(client);
    while (this.attempts.haveEnded);
  }

  // The loop

  /** Makes exchanges while there is a reason. Called whenever there may be a new one. */
  #pump(): void {
    if (!this.#client) return;
    if (this.#looping) {
      if (this.#waitsFor === "reply") this.#start(this.#startable());
    } else if (this.#hasReason()) this.#begin();
    else {
      this.#start(this.#startable());
      if (this.#claiming && (this.#prefetched.length > 0 || (this.#mayClaim && this.#mayBeDue))) this.room.wait();
      this.#settleDown();
    }
  }

  /** A method of its own: it keeps this closure out of `#pump`, which runs twice per job. */
  #begin(): void {
    // Its cause may be a handler (one that adds a job): the loop is not part of that handler.
    this.#looping = handlerScope.run(undefined, () =>
      this.#loop().finally(() => {
        this.#looping = undefined;
        this.#pump();
      }),
    );
  }

  async #loop(): Promise<void> {
    for (let client = this.#client; client && this.#hasReason(); client = this.#client) {
      this.#waitsFor = "turn";
      await this.#turned;
      this.#waitsFor = undefined;
      for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
      // Other workers may have taken the slots meanwhile, or the client was given up.
      if (client === this.#client && this.#hasReason()) await this.#exchange(client);
    }
  }

  #hasReason(): boolean {
    return (
      this.attempts.haveEnded ||
      this.#renew ||
      (this.#mayBeDue && this.#mayClaim && this.room.free + this.#ahead(this.room.free) > 0)
    );
  }

  get #claiming(): boolean {
    return this.#client !== undefined && this.#options.wanted();
  }

  get #mayClaim(): boolean {
    return this.#claiming && this.#most === Number.POSITIVE_INFINITY && !this.#claimPause.armed;
  }

  /** How many more jobs to hold than there are slots for. */
  #ahead(free: number): number {
    return this.room.ahead(free, this.#options.prefetch - this.#prefetched.length);
  }

  /** Takes as many of the prefetched jobs as there are slots for. */
  #startable(): readonly ClaimedJob[] {
    const count = this.#claiming ? this.room.take(this.#prefetched.length) : 0;
    const jobs = this.#prefetched.slice(0, count);
    this.#prefetched = this.#prefetched.slice(count);
    return jobs;
  }

  #start(jobs: readonly ClaimedJob[]): void {
    for (const claimed of jobs) this.attempts.start(claimed);
  }

  /** Drops prefetched jobs: all, or those of these tokens. The next exchange does not name them: they are released. */
  #giveBack(tokens?: ReadonlySet<string>): void {
    const left = tokens ? this.#prefetched.filter(({ token }) => !tokens.has(token)) : [];
    const count = this.#prefetched.length - left.length;
    this.#prefetched = left;
    this.room.quota.left += count;
    this.#renew ||= count > 0;
  }

  /** Without a client of this loop it is the last exchange, which claims nothing. */
  async #exchange(client: ExchangeClient): Promise<void> {
    const { attempts, room } = this;
    const { quota } = room;
    const ended = attempts.takeEnded(this.#most);
    const reports = attempts.takeReports(ended);
    const unsettled = attempts.endedTokens;
    const starting = this.#startable();
    const free = this.#mayClaim ? room.take(room.free) : 0;
    const ahead = this.#mayClaim ? this.#ahead(free) : 0;
    const limit = free + ahead;
    const queues = limit > 0 ? this.#claimable() : [];
    const [known] = this.#options.queues;
    if (known && limit > 0 && this.#options.queues.every(({ names }) => names?.().length === 0))
      attempts.reporter.unknown(known.name);
    // Without room it claims nothing, and has to look again.
    if (limit > 0) this.#mayBeDue = false;
    quota.asked += limit;
    this.#renew = false;
    this.#wakeTimer.disarm();
    const before = this.#waitsFor;
    try {
      const sent = client.send({
        settle: ended.map(({ settlement }) => settlement),
        running: [...attempts.live, ...starting, ...this.#prefetched].map(({ token }) => token).concat(unsettled),
        ...(reports.length > 0 && { progress: reports }),
        claim: { limit, ...(ahead > 0 && { prefetch: ahead }), queues },
        ...(client !== this.#client && unsettled.length === 0 && { leave: true }),
      });
      this.#waitsFor = "reply";
      // Only now: the handlers run while the store is at work.
      this.#start(starting);
      const reply = await sent;
      this.#waitsFor = before;
      if ("refusedBy" in reply) {
        room.give(free);
        this.#mayBeDue ||= limit > 0;
        this.#divide(reply, ended, reports);
      } else {
        // Without its client it starts nothing more: what it does not name next time is released.
        const jobs = client === this.#client ? reply.jobs : [];
        this.#apply({ ...reply, jobs }, ended, free);
        room.give(free - Math.min(free, jobs.length));
        this.#most = attempts.haveEnded ? this.#most * 2 : Number.POSITIVE_INFINITY;
        if (limit > 0) this.#claimRefusals = 0;
      }
    } catch (error) {
      this.#waitsFor = before;
      room.give(free);
      await this.#storeLost(error, ended);
    } finally {
      quota.asked -= limit;
      this.#turned = this.#options.clock.turn();
    }
  }

  /** The queues to claim from. After each claim that brought jobs another one comes first, so that none is always last. */
  #claimable(): readonly ClaimQueue[] {
    const queues = this.#options.queues.filter(({ name }) => this.only === undefined || name === this.only);
    const first = this.#turn % Math.max(1, queues.length);
    return [...queues.slice(first), ...queues.slice(0, first)].flatMap(({ name, concurrency, names }) => {
      const known = names?.();
      // Without any handler there is nothing to claim, and no name that is unknown.
      if (known?.length === 0) return [];
      const limit = concurrency && { limit: Math.max(0, concurrency - this.attempts.runningOf(name)) };
      return [{ queue: name, ...limit, ...(known && { names: known }) }];
    });
  }

  #apply(reply: ExchangeReply, ended: readonly Settled[], free: number): void {
    const { attempts, room } = this;
    const { reporter } = attempts;
    const lost = new Set(reply.lost);
    attempts.lose(lost);
    for (const settled of ended)
      if (lost.has(settled.attempt.token)) reporter.lost(settled.attempt);
      else reporter.settled(settled);
    const cancelled = new Set(reply.cancel);
    attempts.cancel(cancelled);
    this.#prefetched = this.#prefetched.filter(({ token }) => !lost.has(token));
    this.#giveBack(cancelled);
    for (const job of reply.interrupted) reporter.stalled(job);
    for (const { queue, name } of reply.unknown) reporter.unknown(queue, name);
    for (const error of reply.troubles ?? []) reporter.fault(error);

    const { length } = reply.jobs;
    room.quota.left -= length;
    if (length > 0) {
      this.#idle = false;
      this.#turn++;
    }
    this.#start(reply.jobs.slice(0, free));
    this.#prefetched = [...this.#prefetched, ...reply.jobs.slice(free)];
    if (!this.#claiming) this.#giveBack();
    if (length < free) this.#awaitMore(reply.nextWakeMs);
    this.#renewedAt = this.#options.clock.monotonic();
    if (attempts.running + this.#prefetched.length > 0) this.#armRenewal();
  }

  /** There was less to claim than there is room: looks again when there may be more. */
  #awaitMore(nextWakeMs = Number.POSITIVE_INFINITY): void {
    const { alarm, sleepMs } = this.#options;
    if (nextWakeMs === 0) this.#mayBeDue = true;
    else {
      const ms = alarm === false ? sleepMs : Math.min(nextWakeMs, sleepMs);
      if (ms < Number.POSITIVE_INFINITY) this.#wakeTimer.arm(ms, () => this.wake());
    }
  }

  /** Sends a part of a refused exchange next (R30). Where the claim alone was refused, the next claim waits. */
  #divide(
    { refusedBy, settle, progress }: RefusedPart,
    ended: readonly Settled[],
    reports: readonly AttemptReport[],
  ): void {
    const { clock, random, leaseMs } = this.#options;
    const { attempts } = this;
    if (ended.length + reports.length === 0) {
      attempts.fault(refusedBy);
      this.#claimPause.arm(backoffDelay(RESEND, ++this.#claimRefusals, random()), () => this.wake());
      // An exchange without a claim renews what the worker holds.
      this.#renew = clock.monotonic() - this.#renewedAt > leaseMs / 3;
      return;
    }
    if (progress.length < reports.length) attempts.fault(refusedBy);
    this.#most = Math.max(1, settle.length);
    this.#renew = true;
    const [first] = settle;
    const failed = first?.outcome === "failed" && first !== ended[0]?.settlement ? first : undefined;
    const error = failed && new QuaysideError(failed.error.code, failed.error.message, {}, refusedBy);
    const left = failed ? ended.map((one) => ({ ...one, settlement: failed, end: { error } })) : ended;
    attempts.restore(left, progress);
  }

  /** Other workers may have what this one held (R14). */
  async #storeLost(error: unknown, ended: readonly Settled[]): Promise<void> {
    this.attempts.fault(error);
    this.attempts.loseAll(ended);
    this.#prefetched = [];
    this.#renewalTimer.disarm();
    this.#client = undefined;
    this.#client = await this.#options.storeLost(error);
    if (this.#client) this.#mayBeDue = true;
  }

  /** Every exchange renews. So the timer stays armed while there is work, and then asks how long ago the last one was. */
  #armRenewal(inMs = this.#options.leaseMs / 3): void {
    if (this.#renewalTimer.armed) return;
    this.#renewalTimer.arm(inMs, () => {
      if (this.attempts.live.length + this.#prefetched.length === 0) return;
      const { clock, leaseMs } = this.#options;
      const left = this.#renewedAt + leaseMs / 3 - clock.monotonic();
      if (left > 0) return this.#armRenewal(left);
      this.reportsDue();
    });
  }

  /** Emits `idle` when nothing is left to do. */
  #settleDown(): void {
    const { attempts, room } = this;
    const holds = attempts.running + attempts.hooks + this.#prefetched.length > 0;
    // Other workers have all slots: there may be work.
    const mayBeDue = this.#mayBeDue && !room.isSpent;
    if (this.#idle || holds || mayBeDue || !this.#claiming) return;
    this.#idle = true;
    // There is nothing to renew, and where memory is billed by the second a timer alone keeps the process in it.
    this.#renewalTimer.disarm();
    this.#options.events.emit("idle", {});
    this.changed();
    if (room.isSpent) room.quota.spent?.();
  }
}
