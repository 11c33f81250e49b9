import { QuaysideError, toStoredError } from "../job/errors.ts";
import { backoffDelay } from "../job/retry.ts";
import type { Change } from "../store/store.ts";
import type { AttemptReport, ClaimedJob, ExchangeReply } from "../store/verbs.ts";
import { Attempts, type AttemptsOptions } from "./attempts.ts";
import { type ClaimLimits, Claims } from "./claims.ts";
import { type ExchangeLine, isForbidden, isRefusal, RESEND } from "./exchange-line.ts";
import type { FailureHooks } from "./failure-hooks.ts";
import { handlerScope } from "./handler-scope.ts";
import { Prefetched } from "./prefetched.ts";
import type { Slots } from "./slots.ts";
import { Timer } from "./timer.ts";
import type { WaitingRoom } from "./waiting-room.ts";
import type { Settled } from "./worker-events.ts";
import type { WorkerQueue, WorkerStatus } from "./worker-options.ts";

/** Microtask turns granted before an exchange, so that handlers that end together are settled together. */
const GATHER_TURNS = 8;

export interface RoundsOptions<Ctx extends object> extends AttemptsOptions<Ctx> {
  readonly queues: readonly WorkerQueue<Ctx>[];
  readonly slots: Slots;
  readonly hooks: FailureHooks;
  readonly waiting: WaitingRoom;
  /** How many jobs to hold beyond those that run. */
  readonly prefetch: number;
  readonly leaseMs: number;
  /** Looks for work at least this often. */
  readonly sleepMs: number;
  /** Whether it wakes by itself for jobs that fall due. */
  readonly alarm: boolean;
  readonly status: () => WorkerStatus;
  /** The store was out of reach for longer than the lease: answers a new line, where there is one to go on with. */
  readonly storeLost: (error: unknown) => Promise<ExchangeLine | undefined>;
  /** Nothing runs, and nothing is left of the quota. */
  readonly spent: () => void;
}

/**
 * A worker's exchanges with its driver. What ended, what runs on and what to claim next go into one round; there is never
 * more than one in flight, and none at all while there is no reason for one.
 */
export class Rounds<Ctx extends object> {
  readonly attempts: Attempts<Ctx>;
  readonly #options: RoundsOptions<Ctx>;
  readonly #claims: Claims<Ctx>;
  readonly #prefetched = new Prefetched();
  readonly #wakeTimer: Timer;
  readonly #renewalTimer: Timer;
  #line: ExchangeLine | undefined;
  #looping: Promise<void> | undefined;
  /** A round is on its way: what falls free meanwhile is filled with what is here. */
  #sent = false;
  /** There may be something to claim. */
  #look = false;
  /** The driver is to hear of the running jobs, or to say whether they are cancelled. */
  #renew = false;
  /** The last reply said that more is due. */
  #due = false;
  #idle = false;
  /** By the monotonic clock. */
  #renewedAt = 0;
  /** How many attempts one exchange settles at most: fewer after one was refused, until it is known which. */
  #most = Number.POSITIVE_INFINITY;
  /** An exchange was refused: no claims until all that has ended is settled. */
  #dividing = false;
  /** Armed while claims are not made because they alone were refused, so many times in a row. */
  readonly #claimPause: Timer;
  #claimRefusals = 0;
  /** Resolves once the event loop has had a turn since the last exchange (R40). */
  #turned: Promise<void> = Promise.resolve();
  /** The loop waits for that turn. */
  #pausing = false;

  constructor(options: RoundsOptions<Ctx>) {
    const { clock, slots, queues } = options;
    this.#options = options;
    this.#wakeTimer = new Timer(clock);
    this.#renewalTimer = new Timer(clock);
    this.#claimPause = new Timer(clock);
    this.attempts = new Attempts(options, {
      ended: () => this.notice(),
      returned: () => {
        this.#look = true;
        this.#claims.give(1);
        this.notice();
      },
      reportsDue: () => {
        this.#renew = true;
        this.#pump();
      },
    });
    this.#claims = new Claims(slots, queues, (queue) => this.attempts.runningOf(queue));
  }

  /** Has a line to make rounds on. The first one takes a reason, such as `wake`. Without limits those from before hold. */
  open(line: ExchangeLine, limits: ClaimLimits | undefined): void {
    this.#line = line;
    this.#idle = false;
    this.#claims.open(limits, () => this.#pump());
  }

  /** Looks for work now. */
  wake(): void {
    this.#look = true;
    this.#pump();
  }

  /** Somebody else has died: what it held is taken back, by whoever has room for it or not. */
  look(): void {
    this.#renew = true;
    this.wake();
  }

  /** Somebody else changed the store. */
  heed({ queue, kind }: Change): void {
    if (!this.#options.queues.some(({ name }) => name === queue)) return;
    if (kind === "cancel") this.#renew ||= this.attempts.running > 0;
    else if (kind === "ready" || kind === "settings") this.#look = true;
    // It may be paused now, or limited: what has not started is claimed again if it may be.
    if (kind === "settings") this.#giveBack();
    this.#pump();
  }

  /** Something has changed here: those who wait look again, and so does this. */
  notice(): void {
    this.#options.waiting.ask();
    this.#pump();
  }

  /** Looks again, and resolves once nothing runs and nothing is due, the worker has stopped, or `over` says so. */
  untilIdle(over: () => boolean): Promise<void> {
    this.#idle = false;
    this.wake();
    return this.#options.waiting.until(() => this.#idle || this.#options.status() === "stopped" || over());
  }

  /** Does not wake any more for jobs that fall due, and gives back what it has not started. */
  rest(): void {
    this.#wakeTimer.disarm();
    this.#giveBack();
    this.#pump();
  }

  /** Does not wait much longer for a store that does not answer. */
  hurry(): void {
    if (!this.#line) return;
    this.#line.leaving = true;
    this.#line.hurry();
  }

  /** Sends now what waits to be sent again. */
  resend(): void {
    this.#line?.hurry();
  }

  /** Resolves when no round is on its way. */
  async ended(): Promise<void> {
    while (this.#looping) await this.#looping;
  }

  /** The last round: settles what is left and gives up the lease. */
  async farewell(): Promise<void> {
    const line = this.#line;
    // Whatever comes up from now on (another worker's death, say) begins no other round, beside this one or after it.
    this.#line = undefined;
    if (line) await this.#leave(line);
  }

  async #leave(line: ExchangeLine): Promise<void> {
    do await this.#round(line, true);
    while (this.attempts.haveEnded);
  }

  /**
   * Lets go of everything at once: handlers are told and not waited for, and what they held goes back, uncounted, in one
   * last round. That is on its way when this returns, unless an earlier one still is.
   */
  async abandon(): Promise<void> {
    const line = this.#line;
    if (!line) return;
    // First of all: what ends now belongs into the last round, and no other is to begin.
    this.#line = undefined;
    line.leaving = true;
    line.hurry();
    this.attempts.letGo();
    const held = this.#prefetched.drop() > 0;
    const holds = held || this.#looping !== undefined || this.attempts.haveEnded;
    // A page that is put aside may have no other task: a loop that waits for one is not waited for.
    while (this.#looping && !this.#pausing) await this.#looping;
    // A page that is put aside with a transaction on its way is not kept: one that holds nothing needs none.
    if (holds) await this.#leave(line);
    this.close();
  }

  /** No rounds until it is opened again. */
  close(): void {
    this.#claims.close();
    this.#prefetched.drop();
    this.attempts.close();
    this.#wakeTimer.disarm();
    this.#renewalTimer.disarm();
    this.#claimPause.disarm();
    this.#dividing = false;
    this.#line = undefined;
  }

  /** Makes rounds while there is a reason to. One loop at a time: whoever finds a reason calls this. */
  #pump(): void {
    if (!this.#line) return;
    if (this.#looping) {
      if (this.#sent) this.#start(this.#startable());
      return;
    }
    if (!this.#hasReason()) {
      this.#start(this.#startable());
      if ((this.#mayClaim && this.#look) || (this.#claiming && this.#prefetched.count > 0)) this.#claims.stand();
      this.#settleDown();
      return;
    }
    this.#begin();
  }

  /** By itself, for who makes a function makes room for its variables at each call, and every job pumps twice. */
  #begin(): void {
    // Its cause may be a handler (one that adds a job): what the loop does is not part of that.
    this.#looping = handlerScope.run(undefined, () =>
      this.#loop().finally(() => {
        this.#looping = undefined;
        this.#pump();
      }),
    );
  }

  async #loop(): Promise<void> {
    for (let line = this.#line; line && this.#hasReason(); line = this.#line) {
      this.#pausing = true;
      await this.#turned;
      this.#pausing = false;
      for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
      // Others may have taken the room meanwhile, or the line been given up.
      if (line === this.#line && this.#hasReason()) await this.#round(line, false);
    }
  }

  #hasReason(): boolean {
    return (
      this.attempts.haveEnded || this.#renew || (this.#look && this.#mayClaim && this.#claims.free + this.#ahead() > 0)
    );
  }

  /** How many more jobs to hold than there is room to run. */
  #ahead(free = this.#claims.free): number {
    return this.#claims.beside(free, this.#options.prefetch - this.#prefetched.count);
  }

  /** Takes from what waits here as many as there is room for. */
  #startable(): readonly ClaimedJob[] {
    return this.#claiming ? this.#prefetched.take(this.#claims.takeFor(this.#prefetched.count)) : [];
  }

  #start(jobs: readonly ClaimedJob[]): void {
    for (const claimed of jobs) this.attempts.start(claimed);
  }

  /** The next round does not name these, so that they are nobody's again: all, or those of which the driver wants so. */
  #giveBack(tokens?: ReadonlySet<string>): void {
    const count = this.#prefetched.drop(tokens);
    this.#claims.claimed(-count);
    this.#renew ||= count > 0;
  }

  get #claiming(): boolean {
    return this.#options.status() === "running";
  }

  get #mayClaim(): boolean {
    return this.#claiming && !this.#dividing && !this.#claimPause.armed;
  }

  async #round(line: ExchangeLine, leave: boolean): Promise<void> {
    const ended = this.attempts.takeEnded(this.#most);
    const progress = this.attempts.takeReports(ended);
    const waiting = this.attempts.endedTokens;
    const starting = leave ? [] : this.#startable();
    const claims = this.#mayClaim && !leave;
    const free = claims ? this.#claims.take() : 0;
    const ahead = claims ? this.#ahead(free) : 0;
    const limit = free + ahead;
    // Without room it has not looked: it still wants to.
    if (limit > 0) this.#look = false;
    const queues = limit > 0 ? this.#claims.queues() : [];
    const [known] = this.#options.queues;
    if (known && limit > 0 && this.#options.queues.every(({ names }) => names?.().length === 0))
      this.#options.reporter.unknown(known.name);
    this.#claims.asked(limit);
    this.#renew = false;
    this.#wakeTimer.disarm();
    const body = {
      settle: ended.map(({ settlement }) => settlement),
      running: [...this.attempts.live, ...starting].map(({ token }) => token).concat(this.#prefetched.tokens, waiting),
      ...(progress.length > 0 && { progress }),
      claim: { limit, ...(ahead > 0 && { prefetch: ahead }), queues },
      ...(leave && waiting.length === 0 && { leave }),
    };
    // A claim is left out while there is anything else to send.
    const claimed = limit > 0 && body.settle.length + body.running.length > 0;
    const [first] = ended;
    const divisible = (error: unknown): boolean =>
      isRefusal(error)
        ? claimed || progress.length > 0 || ended.length > 1 || (first !== undefined && !isLast(first))
        : claimed && isForbidden(error);
    try {
      const sent = line.send(body, divisible);
      this.#sent = true;
      // Only now: what they do is done while the store is at work.
      this.#start(starting);
      const reply = await sent;
      this.#sent = false;
      // Put aside meanwhile, it starts nothing more: what it does not name next time goes back.
      const jobs = this.#line === line ? reply.jobs : [];
      this.#apply({ ...reply, jobs }, ended, free);
      this.#claims.give(free - Math.min(free, jobs.length));
      this.#most *= 2;
      if (!this.attempts.haveEnded) this.#dividing = false;
      if (limit > 0) this.#claimRefusals = 0;
    } catch (error) {
      this.#sent = false;
      this.#claims.give(free);
      if (divisible(error)) {
        this.#look ||= limit > 0;
        this.#divide(error, ended, progress, claimed);
      } else await this.#storeLost(error, ended);
    } finally {
      this.#claims.asked(-limit);
      this.#turned = this.#options.clock.turn();
    }
  }

  /**
   * The driver refused the exchange as it was, and would again (R30). It goes without its claim, and half of what it
   * settles at a time; then without reports; then the one attempt whose end cannot be stored fails. Where the claim alone
   * was refused, the next one waits.
   */
  #divide(error: unknown, ended: readonly Settled[], reports: readonly AttemptReport[], claimed: boolean): void {
    const [first, second] = ended;
    const { clock, random, reporter } = this.#options;
    let left = reports;
    if (second) this.#most = Math.ceil(ended.length / 2);
    else if (!claimed && reports.length > 0) {
      left = [];
      reporter.fault(error);
    } else if (!claimed && first) {
      this.attempts.restore([refusedEnd(first, error)], []);
      return;
    } else if (!first && reports.length === 0) {
      reporter.fault(error);
      this.#due = true;
      this.#claimPause.arm(backoffDelay(RESEND, ++this.#claimRefusals, random()), () => this.wake());
      // What it holds is renewed by an exchange without a claim.
      this.#renew = clock.monotonic() - this.#renewedAt > this.#options.leaseMs / 3;
      return;
    }
    this.#dividing = true;
    this.#renew = true;
    this.attempts.restore(ended, left);
  }

  #apply(reply: ExchangeReply, ended: readonly Settled[], free: number): void {
    const { reporter } = this.#options;
    const lost = new Set(reply.lost);
    this.attempts.lose(lost);
    for (const entry of ended) {
      if (lost.has(entry.attempt.token)) reporter.lost(entry.attempt);
      else reporter.settled(entry);
    }
    const cancelled = new Set(reply.cancel);
    this.attempts.cancel(cancelled);
    this.#prefetched.drop(lost);
    this.#giveBack(cancelled);
    for (const job of reply.interrupted) reporter.stalled(job);
    for (const { queue, name } of reply.unknown) reporter.unknown(queue, name);
    for (const error of reply.troubles ?? []) reporter.fault(error);

    this.#claims.claimed(reply.jobs.length);
    if (reply.jobs.length > 0) this.#idle = false;
    this.#start(reply.jobs.slice(0, free));
    this.#prefetched.add(reply.jobs.slice(free));
    if (!this.#claiming) this.#giveBack();
    this.#due = false;
    if (reply.jobs.length < free) this.#awaitMore(reply.nextWakeMs);
    this.#renewedAt = this.#options.clock.monotonic();
    if (this.attempts.running + this.#prefetched.count > 0) this.#armRenewal();
  }

  /** There was less to claim than there is room: looks again when there may be more. */
  #awaitMore(nextWakeMs = Number.POSITIVE_INFINITY): void {
    if (nextWakeMs === 0) {
      this.#look = this.#due = true;
      return;
    }
    const { alarm, sleepMs } = this.#options;
    const ms = Math.min(alarm ? nextWakeMs : Number.POSITIVE_INFINITY, sleepMs);
    if (ms < Number.POSITIVE_INFINITY) this.#wakeTimer.arm(ms, () => this.wake());
  }

  /** Others may have what it held (R14). */
  async #storeLost(error: unknown, ended: readonly Settled[]): Promise<void> {
    this.#options.reporter.fault(error);
    this.attempts.loseAll(ended);
    this.#prefetched.drop();
    this.#renewalTimer.disarm();
    this.#line = undefined;
    this.#line = await this.#options.storeLost(error);
    if (this.#line) this.#look = true;
  }

  /** Every round renews. So the timer is left armed while there is work, and asks when it rings how long ago the last one was. */
  #armRenewal(inMs = this.#options.leaseMs / 3): void {
    if (this.#renewalTimer.armed) return;
    this.#renewalTimer.arm(inMs, () => {
      if (this.attempts.live.length + this.#prefetched.count === 0) return;
      const left = this.#renewedAt + this.#options.leaseMs / 3 - this.#options.clock.monotonic();
      if (left > 0) return this.#armRenewal(left);
      this.#renew = true;
      this.#pump();
    });
  }

  /** Nothing left to do: tells those who wait for it. */
  #settleDown(): void {
    const { hooks, events, spent } = this.#options;
    if (
      this.#idle ||
      this.#due ||
      this.attempts.running + hooks.running + this.#prefetched.count > 0 ||
      !this.#claiming
    )
      return;
    // Other workers have all the room: it has not seen yet whether there is work.
    if (this.#look && !this.#claims.spent) return;
    this.#idle = true;
    // There is nothing to renew, and where memory is billed by the second a timer alone keeps the process in it.
    this.#renewalTimer.disarm();
    events.emit("idle", {});
    this.notice();
    if (this.#claims.spent) spent();
  }
}

/** Whether it is as little as the end of an attempt can be: there is nothing more to leave out of it. */
const isLast = ({ refused, settlement }: Settled): boolean =>
  refused && settlement.outcome === "failed" && settlement.retryMs === undefined;

/**
 * How an attempt ends whose own end the driver does not take: failed, for good unless it was to be tried again; for good
 * if that is refused, too.
 */
function refusedEnd(settled: Settled, error: unknown): Settled {
  const { settlement } = settled;
  const { code, message } = toStoredError(error);
  const cause = new QuaysideError(
    code === "too_large" ? "result_too_large" : code === "handler_failed" ? "invalid_result" : code,
    `How this attempt ended could not be stored: ${message}`.slice(0, 1_000),
    {},
    error,
  );
  const retryMs = settlement.outcome === "failed" && !settled.refused ? settlement.retryMs : undefined;
  return {
    ...settled,
    settlement: {
      token: settlement.token,
      outcome: "failed",
      error: { code: cause.code, message: cause.message },
      ...(retryMs !== undefined && { retryMs }),
    },
    end: { error: cause },
    refused: true,
  };
}
