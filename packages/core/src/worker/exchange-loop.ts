import type { Settled } from "../attempt/attempt.ts";
import type { RefusedPart } from "../engine/refused-part.ts";
import type { Change } from "../engine/store.ts";
import type { AttemptReport, ClaimedJob, ExchangeReply } from "../engine/verbs.ts";
import { handlerScope } from "../job/handler-scope.ts";
import { Waiters } from "../job/waiters.ts";
import { type Claim, Claims, type ClaimsListener, type ClaimsOptions } from "./claims.ts";
import { Attempts, type AttemptsListener, type AttemptsOptions } from "./running-attempts.ts";
import type { ExchangeClient } from "./session.ts";
import type { WorkerQueue } from "./worker-options.ts";

/** Microtask turns before an exchange, so that handlers that end together are settled together. */
const GATHER_TURNS = 8;

export interface ExchangeLoopOptions<Ctx extends object> extends AttemptsOptions<Ctx>, ClaimsOptions {
  readonly queues: readonly WorkerQueue<Ctx>[];
  /** Whether the worker is started, and not stopping. */
  readonly wanted: () => boolean;
  /** Called when the store did not answer for longer than the lease. Calls `open`, unless the worker ends. */
  readonly storeLost: (error: unknown) => Promise<void>;
}

/**
 * A worker's exchanges with its driver. One exchange settles what ended, renews what runs and claims more. There is never
 * more than one in flight, and none without a reason.
 */
export class ExchangeLoop<Ctx extends object> implements AttemptsListener, ClaimsListener {
  readonly attempts: Attempts<Ctx>;
  readonly claims: Claims;
  readonly #options: ExchangeLoopOptions<Ctx>;
  /** Calls that wait for this loop. */
  readonly waiters = new Waiters();
  #client: ExchangeClient | undefined;
  /** The phase of the loop: it waits for a turn of the event loop, gathers ends, or waits for a reply. Undefined: it rests. */
  #phase: "turn" | "gather" | "reply" | undefined;
  /** Resolves when the loop rests. */
  #rested: Promise<void> | undefined;
  /** Resolves once the event loop has had a turn since the last exchange (R40). */
  #turned: Promise<void> | undefined;
  /** The driver is to get the list of running jobs and their reports, or to say which are cancelled. */
  #renew = false;
  /** `idle` was emitted, and nothing was claimed since. */
  #idle = false;
  /** Most attempts that one exchange settles. Finite after a refusal, until all that ended is settled: no claims meanwhile. */
  #most = Number.POSITIVE_INFINITY;

  constructor(options: ExchangeLoopOptions<Ctx>) {
    this.#options = options;
    this.attempts = new Attempts(options, this);
    this.claims = new Claims(options, this);
  }

  // The loop

  /** Starts what may start, and makes exchanges while there is a reason. Called whenever there may be a new one. */
  #pump(): void {
    if (!this.#client) return;
    if (!this.#phase && this.#hasReason()) this.#begin();
    else if (!this.#phase || this.#phase === "reply") this.attempts.start(this.#startable());
    if (!this.#phase && this.#claiming) this.#settleDown();
  }

  /** A method of its own: it keeps this closure out of `#pump`, which runs twice per job. */
  #begin(): void {
    // Its cause may be a handler (one that adds a job): the loop is not part of that handler.
    this.#rested = handlerScope.run(undefined, () => this.#loop());
  }

  async #loop(): Promise<void> {
    for (let client = this.#client; client && this.#hasReason(); client = this.#client) {
      this.#phase = "turn";
      await this.#turned;
      this.#phase = "gather";
      for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
      // Other workers may have taken the slots meanwhile, or the client was given up.
      if (client === this.#client && this.#hasReason()) await this.#exchange(client);
    }
    this.#phase = undefined;
    this.#pump();
  }

  #hasReason(): boolean {
    return this.attempts.haveEnded || this.#renew || (this.#mayClaim && this.claims.isDue);
  }

  /**
   * Makes one exchange: settles what ended, renews what runs, claims more, and runs what it brought. Over a client that the
   * loop has given up it is the last one: it claims nothing and starts nothing.
   */
  async #exchange(client: ExchangeClient): Promise<void> {
    const { attempts, claims } = this;
    const { queues, clock } = this.#options;
    const isLast = client !== this.#client;
    const ended = attempts.takeEnded(this.#most);
    const reports = attempts.reports.take(ended.map(({ attempt }) => attempt.token));
    const starting = this.#startable();
    const claim = claims.begin(this.#mayClaim);
    const { request } = claim;
    const first = claims.only ?? queues[0]?.name;
    if (request.limit > 0 && request.queues.length === 0 && first !== undefined) attempts.reporter.noHandler(first);
    this.#renew = false;
    let jobs: readonly ClaimedJob[] = [];
    try {
      let reply: ExchangeReply | RefusedPart;
      try {
        const sent = client.send({
          settle: ended.map(({ settlement }) => settlement),
          running: [...attempts.live, ...starting, ...claims.held]
            .map(({ token }) => token)
            .concat(attempts.endedTokens),
          ...(reports.length > 0 && { progress: reports }),
          claim: request,
          ...(isLast && !attempts.haveEnded && { leave: true }),
        });
        if (!isLast) this.#phase = "reply";
        // Only now: the handlers run while the store is at work.
        attempts.start(starting);
        reply = await sent;
        // Over a client that was given up nothing is started: the next exchange does not name these jobs, so they are released.
        if ("jobs" in reply && client === this.#client) jobs = reply.jobs;
      } finally {
        jobs = claims.end(claim, jobs);
      }
      if ("refusedBy" in reply) this.#divide(reply, ended, reports, claim);
      else this.#apply(reply, ended, jobs, claim);
    } catch (error) {
      await this.#storeLost(error, ended);
    }
    this.#turned = clock.nextTask();
  }

  #apply(reply: ExchangeReply, ended: readonly Settled[], starting: readonly ClaimedJob[], claim: Claim): void {
    const { attempts, claims } = this;
    attempts.apply(reply, ended);
    claims.drop(reply.lost);
    this.#release(reply.cancel);
    if (starting.length + claims.held.length > 0) this.#idle = false;
    attempts.start(starting);
    if (!this.#claiming) this.#release();
    claims.answered(claim, starting.length, reply);
    if (attempts.live.length + claims.held.length > 0) this.#client?.renewLater(() => this.reportsDue());
    this.#most = attempts.haveEnded ? this.#most * 2 : Number.POSITIVE_INFINITY;
  }

  /** Sends a part of a refused exchange next (R30). Where the claim alone was refused, the next claim waits. */
  #divide(part: RefusedPart, ended: readonly Settled[], reports: readonly AttemptReport[], { request }: Claim): void {
    const { attempts, claims } = this;
    const { refusedBy, settle, progress, failure } = part;
    claims.mayBeDue ||= request.limit > 0;
    if (progress.length < reports.length || settle.length + reports.length === 0) this.#options.events.fault(refusedBy);
    if (ended.length + reports.length === 0) {
      claims.fruitless();
      // An exchange without a claim renews what the worker holds.
      this.#renew = this.#client?.renewInMs === 0;
      return;
    }
    this.#most = Math.max(1, settle.length);
    this.#renew = true;
    const [settlement] = settle;
    const failed = failure && settlement ? { settlement, end: { error: failure } } : {};
    attempts.restore(
      ended.map((one) => ({ ...one, ...failed })),
      progress,
    );
  }

  /** Other workers may have what this one held (R14). */
  async #storeLost(error: unknown, ended: readonly Settled[]): Promise<void> {
    this.#options.events.fault(error);
    this.attempts.loseAll(ended);
    this.claims.drop();
    this.#giveUp();
    await this.#options.storeLost(error);
  }

  /** Waits for a slot, or emits `idle` when nothing is left to do. */
  #settleDown(): void {
    const { attempts, claims } = this;
    claims.wait();
    const holds = attempts.running + attempts.hooks + claims.held.length > 0;
    // Other workers have all slots: there may be work.
    const mayBeDue = claims.mayBeDue && !claims.isSpent;
    if (this.#idle || holds || mayBeDue) return;
    this.#idle = true;
    // There is nothing to renew, and where memory is billed by the second a timer alone keeps the process in it.
    this.#client?.renewNoMore();
    this.#options.events.emit("idle", {});
    this.changed();
    if (claims.isSpent) claims.budget.spent?.();
  }

  /** Gives up the client: no reason (the death of another worker, say) causes an exchange any more. */
  #giveUp(): ExchangeClient | undefined {
    const client = this.#client;
    this.#client = undefined;
    client?.renewNoMore();
    return client;
  }

  get #claiming(): boolean {
    return this.#client !== undefined && this.#options.wanted();
  }

  get #mayClaim(): boolean {
    return this.#claiming && this.#most === Number.POSITIVE_INFINITY;
  }

  #startable(): readonly ClaimedJob[] {
    return this.#claiming ? this.claims.start() : [];
  }

  /** Gives back jobs that were not started: all, or those of these tokens. */
  #release(tokens?: readonly string[]): void {
    const count = this.claims.drop(tokens);
    this.claims.budget.left += count;
    this.#renew ||= count > 0;
  }

  // Reasons for an exchange

  /** Makes exchanges over this client, and looks for work. */
  open(client: ExchangeClient): void {
    this.#client = client;
    this.#idle = false;
    this.claims.open();
    this.wake();
  }

  /** Looks for work now. */
  wake(): void {
    this.claims.mayBeDue = true;
    this.#pump();
  }

  /** Makes an exchange now, with or without slots: it takes back the jobs of workers that are gone. */
  poll(): void {
    this.#renew = true;
    this.wake();
  }

  /** Another client changed the store. */
  onChange({ queue, kind }: Change): void {
    if (!this.#options.queues.some(({ name }) => name === queue)) return;
    if (kind === "cancel") this.#renew ||= this.attempts.running > 0;
    else if (kind === "ready" || kind === "settings") this.claims.mayBeDue = true;
    // The queue may be paused now, or limited: what has not started is claimed again if it may be.
    if (kind === "settings") this.#release();
    this.#pump();
  }

  /** Wakes the calls that wait, and looks for a reason. See `AttemptsListener`, as the next two. */
  changed(): void {
    this.waiters.ask();
    this.#pump();
  }

  returned(): void {
    this.claims.mayBeDue = true;
    this.#options.slots.give(1);
    this.changed();
  }

  runningOf(queue: string): number {
    return this.attempts.runningOf(queue);
  }

  reportsDue(): void {
    this.#renew = true;
    this.#pump();
  }

  /** Sends now the exchange that waits to be sent again. */
  retryNow(): void {
    this.#client?.retryNow();
  }

  /** Looks for work, and resolves once nothing runs and nothing is due, or `over` holds. */
  untilIdle(over: () => boolean): Promise<void> {
    this.#idle = false;
    this.wake();
    return this.waiters.until(() => this.#idle || over());
  }

  // Ending

  /** Gives back what has not started, and claims nothing more. */
  stopClaiming(): void {
    this.claims.rest();
    this.#release();
    this.#pump();
  }

  /** Interrupts the handlers, settles all, and gives up the lease. */
  async leave(): Promise<void> {
    const { attempts } = this;
    this.#client?.leave();
    // A claim that was on its way brings more attempts.
    do {
      attempts.stop();
      await this.waiters.until(() => attempts.live.length === 0);
      while (this.#phase) await this.#rested;
    } while (attempts.live.length > 0);
    await this.abort(true);
  }

  /**
   * Interrupts the handlers without a grace, and gives back all jobs, uncounted, in one last exchange. That is on its way
   * when this returns, unless an earlier one still is.
   *
   * @param always makes that exchange even if the worker holds nothing: it gives up the lease.
   */
  async abort(always = false): Promise<void> {
    // First of all: what ends now belongs into the last exchange, and no other is to begin.
    const client = this.#giveUp();
    if (!client) return;
    client.leave();
    this.attempts.abortNow();
    const dropped = this.claims.drop();
    const holds = dropped > 0 || this.#phase !== undefined || this.attempts.haveEnded;
    // A page that is put aside may have no other task: a loop that waits for one is not waited for.
    while (this.#phase && this.#phase !== "turn") await this.#rested;
    // A page that is put aside with a transaction on its way is not kept: a worker that holds nothing makes none.
    if (holds || always)
      do await this.#exchange(client);
      while (this.attempts.haveEnded);
    this.close();
  }

  /** Makes no exchanges until `open`. */
  close(): void {
    this.#giveUp();
    this.attempts.loseUnsettled();
    this.claims.close();
    this.attempts.reports.close();
    this.#most = Number.POSITIVE_INFINITY;
  }
}
