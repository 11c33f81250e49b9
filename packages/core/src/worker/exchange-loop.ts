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

/** Number of microtasks before an exchange, so that handlers that end together are settled together. */
const GATHER_TURNS = 8;

export interface ExchangeLoopOptions<Ctx extends object> extends AttemptsOptions<Ctx>, ClaimsOptions {
  readonly queues: readonly WorkerQueue<Ctx>[];
  /** Returns whether the worker is started and not stopping. */
  readonly wanted: () => boolean;
  /** Called when the store did not answer for longer than the lease. Calls `open` again, unless the worker ends. */
  readonly storeLost: (error: unknown) => Promise<void>;
}

/**
 * A worker's exchanges with its driver. Each exchange settles ended attempts, renews running ones and claims more. At
 * most one is in flight, and none is made without a reason.
 */
export class ExchangeLoop<Ctx extends object> implements AttemptsListener, ClaimsListener {
  readonly attempts: Attempts<Ctx>;
  readonly claims: Claims;
  readonly #options: ExchangeLoopOptions<Ctx>;
  /** Calls, such as `drain`, that wait for a state of the worker. */
  readonly waiters = new Waiters();
  #client: ExchangeClient | undefined;
  /** The loop waits for a turn of the event loop, gathers ended attempts, or waits for a reply. Undefined: idle. */
  #phase: "turn" | "gather" | "reply" | undefined;
  /** Resolves when the loop is idle. */
  #rested: Promise<void> | undefined;
  /** Resolves when the event loop has had a turn since the last exchange (R40). */
  #turned: Promise<void> | undefined;
  /** Whether an exchange is due, to renew the lease, to send reports, or to read which jobs were cancelled. */
  #renew = false;
  /** Whether `idle` was emitted and no job was claimed since. */
  #idle = false;

  constructor(options: ExchangeLoopOptions<Ctx>) {
    this.#options = options;
    this.attempts = new Attempts(options, this);
    this.claims = new Claims(options, this);
  }

  /** Starts held jobs, and begins the loop if an exchange is needed. Called whenever one may be needed. */
  #pump(): void {
    if (!this.#client) return;
    // The cause may be a handler (one that adds a job): the loop is not part of that handler. Bound, since a closure in
    // here would take memory at each call, twice per job.
    if (!this.#phase && this.#hasReason()) this.#rested = handlerScope.run(undefined, this.#loop.bind(this));
    else if (!this.#phase || this.#phase === "reply") this.attempts.start(this.#startable());
    if (!this.#phase && this.#claiming) this.#settleDown();
  }

  async #loop(): Promise<void> {
    for (let client = this.#client; client && this.#hasReason(); client = this.#client) {
      this.#phase = "turn";
      await this.#turned;
      this.#phase = "gather";
      for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
      // Other workers may have taken the slots meanwhile, or the client may have been dropped.
      if (client === this.#client && this.#hasReason()) await this.#exchange(client);
    }
    this.#phase = undefined;
    this.#pump();
  }

  #hasReason(): boolean {
    return this.attempts.haveEnded || this.#renew || (this.#mayClaim && this.claims.isDue);
  }

  /** Makes one exchange and starts the jobs in its reply. If the client is dropped meanwhile, starts none. */
  async #exchange(client: ExchangeClient): Promise<void> {
    const { attempts, claims } = this;
    const { queues, clock, events, storeLost } = this.#options;
    const isLast = client !== this.#client;
    const { ended, reports } = attempts.takeEnded();
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
          running: [...attempts.tokens, ...[...starting, ...claims.held].map(({ token }) => token)],
          ...(reports.length > 0 && { progress: reports }),
          claim: request,
          ...(isLast && !attempts.haveEnded && { leave: true }),
        });
        if (!isLast) this.#phase = "reply";
        // Started now, so that the handlers run while the store works.
        attempts.start(starting);
        reply = await sent;
        // Jobs from a dropped client are not started. The next exchange does not list them, so they are released.
        if ("jobs" in reply && client === this.#client) jobs = reply.jobs;
      } finally {
        jobs = claims.end(claim, jobs);
      }
      if ("refusedBy" in reply) this.#divide(reply, ended, reports, claim);
      else this.#apply(reply, ended, jobs, claim);
    } catch (error) {
      // Other workers may have the jobs that this one held (R14).
      events.fault(error);
      attempts.loseAll(ended);
      claims.drop();
      this.#giveUp();
      await storeLost(error);
      if (this.#client) claims.fruitless(1);
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
  }

  /** Prepares the part of a refused exchange to send next (R30). Pauses claims if only the claim was refused. */
  #divide(part: RefusedPart, ended: readonly Settled[], reports: readonly AttemptReport[], { request }: Claim): void {
    const { attempts, claims } = this;
    const { refusedBy, settle, progress } = part;
    claims.mayBeDue ||= request.limit > 0;
    if (progress.length < reports.length || settle.length + reports.length === 0) this.#options.events.fault(refusedBy);
    const onlyClaim = ended.length + reports.length === 0;
    if (onlyClaim) claims.fruitless();
    else attempts.restore(ended, part);
    // An exchange without a claim renews the lease.
    this.#renew = !onlyClaim || this.#client?.renewInMs === 0;
  }

  /** Waits for a slot, or emits `idle` if no job runs or may be due. */
  #settleDown(): void {
    const { attempts, claims } = this;
    claims.wait();
    const holds = attempts.running + attempts.hooks + claims.held.length > 0;
    // Other workers have all slots: jobs may be due.
    const mayBeDue = claims.mayBeDue && !claims.isSpent;
    if (this.#idle || holds || mayBeDue) return;
    this.#idle = true;
    // No lease needs renewal, and a timer would keep the process in memory, which some platforms bill.
    this.#client?.renewNoMore();
    this.#options.events.emit("idle", {});
    this.changed();
    if (claims.isSpent) claims.budget.spent?.();
  }

  /** Drops the client, so that no event causes an exchange any more. */
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
    return this.#claiming && !this.attempts.areDivided;
  }

  #startable(): readonly ClaimedJob[] {
    return this.#claiming ? this.claims.start() : [];
  }

  /** Releases jobs that were not started: all, or those with these tokens. */
  #release(tokens?: readonly string[]): void {
    const count = this.claims.drop(tokens);
    this.claims.budget.left += count;
    this.#renew ||= count > 0;
  }

  /** Makes exchanges with this client from now on, and claims jobs. */
  open(client: ExchangeClient): void {
    this.#client = client;
    this.#idle = false;
    this.claims.open();
    this.wake();
  }

  /** Claims now. */
  wake(): void {
    this.claims.mayBeDue = true;
    this.#pump();
  }

  /** Makes an exchange now, even without free slots, to recover the jobs of dead workers. */
  poll(): void {
    this.#renew = true;
    this.wake();
  }

  /** Handles a change that another client of the store has made. */
  onChange(change: Change): void {
    const { queue, kind } = change;
    if (!this.#options.queues.some(({ name }) => name === queue)) return;
    if (kind === "cancel") this.#renew ||= this.attempts.running > 0;
    else if (kind === "ready" || kind === "settings") this.claims.heed(change, this.#mayClaim);
    // The queue may be paused or limited now: held jobs are released, and claimed again if they may be.
    if (kind === "settings") this.#release();
    this.#pump();
  }

  /** Wakes the waiting calls, and makes an exchange if there is a reason for one. */
  changed(): void {
    this.waiters.ask();
    this.#pump();
  }

  returned(): void {
    this.claims.mayBeDue = true;
    this.#options.slots.give(1);
    this.changed();
  }

  reportsDue(): void {
    this.#renew = true;
    this.#pump();
  }

  /** Repeats an exchange without a reply now. */
  retryNow(): void {
    this.#client?.retryNow();
  }

  /** Claims now. Resolves when no job runs or is due, or when `over` returns true. */
  untilIdle(over: () => boolean): Promise<void> {
    this.#idle = false;
    this.wake();
    return this.waiters.until(() => this.#idle || over());
  }

  /** Releases jobs that have not started, and claims no more. */
  stopClaiming(): void {
    this.claims.rest();
    this.#release();
    this.#pump();
  }

  /** Interrupts the handlers, settles all attempts, and deletes the lease. */
  async leave(): Promise<void> {
    const { attempts } = this;
    this.#client?.leave();
    // A claim that was in flight brings further attempts.
    do {
      attempts.stop();
      await this.waiters.until(() => attempts.live.length === 0);
      while (this.#phase) await this.#rested;
    } while (attempts.live.length > 0);
    await this.abort(true);
  }

  /**
   * Interrupts the handlers without a grace period, and releases all jobs in a last exchange; their attempts do not
   * count. The exchange has been sent when this returns, unless an earlier one is in flight. `always`: makes it even if
   * the worker holds nothing, so that it gives up its lease.
   */
  async abort(always = false): Promise<void> {
    // First, so that attempts that end now are settled in the last exchange, and no other begins.
    const client = this.#giveUp();
    if (!client) return;
    client.leave();
    this.attempts.abortNow();
    const holds = this.claims.drop() > 0 || this.#phase !== undefined || this.attempts.haveEnded;
    // A hidden page may have no further task, so a loop that waits for one is not awaited.
    while (this.#phase && this.#phase !== "turn") await this.#rested;
    // A transaction would keep the page out of the back/forward cache, so a worker without jobs makes none.
    if (holds || always)
      do await this.#exchange(client);
      while (this.attempts.haveEnded);
    this.close();
  }

  /** Makes no exchanges until `open`. */
  close(): void {
    this.#giveUp();
    this.attempts.close();
    this.claims.close();
  }
}
