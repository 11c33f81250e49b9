import { checkDriver } from "../driver/check-driver.ts";
import { type Clock, systemClock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { able, callable, fields, integer, list, positiveMs } from "../job/checks.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { hasCode, QuaysideError } from "../job/errors.ts";
import { LIMITS } from "../job/limits.ts";
import { checkName } from "../job/place.ts";
import type { JobRecord } from "../job/record.ts";
import type { ClaimLimits } from "./claims.ts";
import { Duty } from "./duty.ts";
import { Emitter } from "./emitter.ts";
import { type ExchangeLine, isLasting } from "./exchange-line.ts";
import { FailureHooks } from "./failure-hooks.ts";
import { handlerScope } from "./handler-scope.ts";
import { Network } from "./network.ts";
import { Rounds } from "./rounds.ts";
import { Slots } from "./slots.ts";
import { WaitingRoom } from "./waiting-room.ts";
import { checkListener, Reporter, type WorkerEvents } from "./worker-events.ts";
import {
  CONCURRENCY,
  type WorkerOptions,
  type WorkerQueue,
  type WorkerStatus,
  type WorkPlace,
} from "./worker-options.ts";

/**
 * Claims jobs from one or many queues and runs their handlers. It speaks to its driver in rounds, one exchange at a time,
 * and not at all while nothing happens.
 *
 * @example
 * const worker = new Worker(driver, { queues: [{ name: "mail", run: (job) => send(job.payload) }] });
 * await worker.start();
 */
export class Worker<Ctx extends object = object> {
  readonly #driver: Driver;
  readonly #options: WorkerOptions<Ctx>;
  readonly #clock: Clock;
  readonly #events: Emitter<WorkerEvents>;
  readonly #reporter: Reporter;
  readonly #hooks: FailureHooks;
  readonly #waiting: WaitingRoom;
  readonly #rounds: Rounds<Ctx>;
  readonly #duty: Duty;
  readonly #network: Network | undefined;
  #status: WorkerStatus = "stopped";
  /** The state that the last call asked for; every call in progress ends in it (R34). */
  #wanted: "running" | "stopped" = "stopped";
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  /** Ends what `stop` waits for at once. */
  #endWait: () => void = () => {};
  /** Disarms the timers of `stop`: one left armed would keep a Node process alive. */
  #stopTimers: (() => void)[] = [];
  /** Counts lives, so that an opening that fails late does not end the next one. */
  #life = 0;
  /** Calls of `drain` in progress. They keep the worker running although `#wanted` is "stopped". */
  #drains = 0;
  #processing: Promise<void> | undefined;
  #closedBy: unknown;
  /** Why its store cannot be used. */
  #lostBy: unknown;

  constructor(driver: Driver, options: WorkerOptions<Ctx>) {
    this.#driver = checkDriver(driver, "A worker");
    for (const queue of list(fields(options, "options").queues, "queues")) {
      checkName(fields(queue, "queues").name, "queue name");
      callable(queue.run, "run");
      if (queue.concurrency !== undefined) integer(queue.concurrency, 1, LIMITS.claim, "concurrency");
    }
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const random = options.random ?? Math.random;
    const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency");
    const prefetch = integer(options.prefetch ?? 0, 0, LIMITS.claim, "prefetch");
    const sleepMs = options.sleep === undefined ? Number.POSITIVE_INFINITY : toMs(options.sleep, "sleep");
    const leaseMs = positiveMs(options.lease ?? DEFAULTS.leaseMs, "lease", 100);
    if (options.name !== undefined) checkName(options.name, "name");
    if (options.maxJobs !== undefined) integer(options.maxJobs, 1, Number.MAX_SAFE_INTEGER, "maxJobs");
    this.#events = options.events ?? new Emitter();
    this.#reporter = new Reporter({
      events: this.#events,
      metrics: options.metrics,
      onFailed: (job, error) => void this.#hooks.run(job, error),
    });
    this.#hooks = new FailureHooks({
      find: (job) => this.#queueOf(job)?.onFailed,
      report: (error) => this.#reporter.fault(error),
      returned: () => this.#rounds.notice(),
    });
    this.#waiting = new WaitingRoom(this.#clock);
    const connectivity = options.connectivity ?? driver.connectivity;
    if (connectivity) able(connectivity, "connectivity", "isOnline");
    const back = (jobs: readonly JobRecord[]) => void this.#promote(driver, jobs);
    this.#network =
      connectivity &&
      new Network({ clock: this.#clock, random, connectivity, back, report: (error) => this.#reporter.fault(error) });
    this.#rounds = new Rounds<Ctx>({
      clock: this.#clock,
      random,
      events: this.#events,
      reporter: this.#reporter,
      hooks: this.#hooks,
      waiting: this.#waiting,
      slots: options.slots ?? new Slots(concurrency),
      queues: options.queues,
      queueOf: (job) => this.#queueOf(job),
      network: this.#network,
      worker: options,
      prefetch,
      leaseMs,
      sleepMs,
      alarm: options.alarm !== false,
      status: () => this.#status,
      storeLost: (error) => this.#storeLost(error),
      spent: () => {
        // That of `processNext` is its own.
        if (this.#processing) return;
        if (options.quota) options.quota.spent();
        else if (options.maxJobs !== undefined) void this.stop();
      },
    });
    this.#duty = new Duty({
      driver,
      enlist: {
        clock: this.#clock,
        random,
        report: (error, sends = 0) => this.#failed(error, sends),
        name: options.name,
        leaseMs,
      },
      rounds: () => this.#rounds as unknown as Rounds<object>,
      wanted: () => this.#status === "running",
      failed: (error) => {
        this.#reporter.fault(error);
        if (hasCode(error, "closed")) void this.#storeLost(error);
      },
    });
  }

  /** Random per start; empty before the first. */
  get id(): string {
    return this.#duty.id;
  }

  get status(): WorkerStatus {
    return this.#status;
  }

  /** Where it works: its driver, and its queues. */
  get places(): readonly WorkPlace[] {
    return [{ driver: this.#driver, queues: this.#options.queues.map(({ name }) => name) }];
  }

  /** Jobs that it completed since construction. */
  get processedCount(): number {
    return this.#reporter.processedCount;
  }

  /** Jobs that failed for good in its hands since construction. */
  get failedCount(): number {
    return this.#reporter.failedCount;
  }

  /** Attempts whose handlers have not come back yet. */
  get activeCount(): number {
    return this.#rounds.attempts.running;
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    checkListener(name, listener);
    return this.#events.on(name, listener);
  }

  /**
   * Starts claiming. Resolves when it may claim (its lock is held), or stands in line for it where one tab works for all,
   * or when a later `stop()` has overruled it. While it stops, it starts once that is over. Throws `closed` on a closed
   * driver. In one of this worker's own handlers it resolves at once.
   */
  start(): Promise<void> {
    this.#wanted = "running";
    const started = this.#start();
    if (!this.hasScope()) return started;
    // What it waits for may be that handler.
    started.catch((error) => this.#reporter.fault(error));
    return Promise.resolve();
  }

  async #start(): Promise<void> {
    while (this.#wanted === "running") {
      if (this.#stopping) await this.#stopping;
      else if (this.#processing) await this.#processing;
      else if (this.#status === "running") return this.#starting;
      else return this.#begin(this.#limits);
    }
  }

  /**
   * Stops claiming, waits for running handlers up to `timeout` (default 30 s), then aborts them and gives their jobs
   * back. Resolves when all is settled. A further call with a shorter timeout shortens the wait. Called by one of this
   * worker's own handlers it stops the worker, too, but awaiting it throws `conflict`: it would wait for itself.
   */
  stop(options: { readonly timeout?: Duration } = {}): Promise<void> {
    let timeoutMs: number;
    try {
      timeoutMs = toMs(fields(options, "options", ["timeout"]).timeout ?? DEFAULTS.stopTimeoutMs, "timeout");
    } catch (error) {
      return Promise.reject(error);
    }
    this.#wanted = "stopped";
    if (this.#status !== "stopped") {
      this.#stopping ??= this.#end().finally(() => {
        this.#stopping = undefined;
      });
      if (timeoutMs === 0) this.#endWait();
      else this.#stopTimers.push(this.#clock.after(timeoutMs, this.#endWait));
    }
    return this.refuseOwn("stop()") ?? this.#stopping ?? Promise.resolve();
  }

  /**
   * Works until nothing runs and nothing is due, then resolves; the worker is then as it was before, or as it was told
   * meanwhile. Throws `closed` on a closed driver, and `conflict` in one of this worker's own handlers: in Node at any time,
   * elsewhere before the handler's first `await`. After that it would wait until the handler's `timeout`.
   */
  drain(): Promise<void> {
    return this.refuseOwn("drain()") ?? this.#drain();
  }

  async #drain(): Promise<void> {
    this.#drains++;
    try {
      while (this.#stopping ?? this.#processing) await (this.#stopping ?? this.#processing);
      if (this.#status === "stopped") await this.#begin(this.#limits, true);
      else await this.#starting;
      await this.#duty.urge();
      await this.#untilIdle();
    } finally {
      this.#drains--;
      if (this.#drains === 0) await (this.#wanted === "stopped" ? this.stop() : this.#duty.calm());
    }
  }

  /** Runs the next due job, of `queue` or of any, and settles it. False when none was due. For a stopped worker. */
  async processNext(queue?: string): Promise<boolean> {
    if (this.#status !== "stopped" || this.#processing)
      throw new QuaysideError("conflict", "processNext() is for a worker that is not started.");
    let ran = false;
    const off = this.on("active", () => (ran = true));
    const process = async () => {
      await this.#begin({ only: queue, quota: { left: 1, asked: 0 } }, true);
      try {
        await this.#untilIdle();
      } finally {
        if (this.#status !== "stopped") await (this.#stopping ?? this.#end());
      }
      if (this.#closedBy !== undefined) throw this.#closedBy;
    };
    const done = process().finally(() => {
      this.#processing = undefined;
      off();
    });
    // Other calls wait for its end; only its own caller gets its error.
    this.#processing = done.catch(() => {});
    await done;
    return ran;
  }

  /** Looks for work now, as it does by itself when its driver tells of some. */
  wake(): void {
    this.#rounds.wake();
  }

  get #limits(): ClaimLimits {
    return {
      only: undefined,
      quota: this.#options.quota ?? { left: this.#options.maxJobs ?? Number.POSITIVE_INFINITY, asked: 0 },
    };
  }

  #begin(limits: ClaimLimits, urgent = false): Promise<void> {
    this.#status = "running";
    this.#closedBy = undefined;
    const starting = this.#open(limits, urgent).finally(() => {
      if (this.#starting === starting) this.#starting = undefined;
    });
    this.#starting = starting;
    return starting;
  }

  async #open(limits: ClaimLimits, urgent: boolean): Promise<void> {
    const life = ++this.#life;
    this.#network?.open();
    try {
      await this.#duty.begin(limits, urgent);
    } catch (error) {
      if (life !== this.#life) return;
      this.#wanted = "stopped";
      this.#network?.close();
      this.#duty.leave();
      this.#status = "stopped";
      throw error;
    }
  }

  /** Throws when the driver is closed, or its store cannot be used: nothing hangs (R33). */
  async #untilIdle(): Promise<void> {
    if (this.#drains < 2) this.#lostBy = undefined;
    await this.#rounds.untilIdle(() => this.#lostBy !== undefined);
    const error = this.#closedBy ?? this.#lostBy;
    if (error !== undefined) throw error;
  }

  #failed(error: unknown, sends: number): void {
    this.#reporter.fault(error);
    if (!isLasting(error, sends)) return;
    this.#lostBy = error;
    this.#waiting.ask();
  }

  /** @internal Stopped, and no call is about to start it. */
  get unused(): boolean {
    return this.#status === "stopped" && this.#wanted === "stopped" && !this.#stopping && !this.#processing;
  }

  /** @internal Whether the caller is a handler or an `onFailed` hook of this worker that has not come back yet. */
  hasScope(): boolean {
    const scope = handlerScope.current();
    return this.#rounds.attempts.has(scope) || this.#hooks.has(scope);
  }

  /**
   * @internal A handler that waited for its own worker would wait for itself. The rejection is marked as handled: one that
   * does not await the call must not end its process.
   */
  refuseOwn(call: string): Promise<void> | undefined {
    if (!this.hasScope()) return undefined;
    const refused = Promise.reject(
      new QuaysideError("conflict", `A handler cannot await ${call} of its own worker: it would wait for itself.`),
    );
    refused.catch(() => {});
    return refused;
  }

  /** The network is back, and so is what was given back because of it. */
  async #promote(driver: Driver, jobs: readonly JobRecord[]): Promise<void> {
    this.#rounds.resend();
    // One that cannot be promoted (it is gone, it runs, this worker may not) runs when its delay is over.
    for (const { queue, id } of jobs) await driver.command({ type: "promote", queue, id }).catch(() => {});
    this.#rounds.wake();
  }

  #queueOf(job: JobRecord): WorkerQueue<Ctx> | undefined {
    for (const queue of this.#options.queues) if (queue.name === job.queue) return queue;
    return undefined;
  }

  /** Others may have its jobs now: begins anew, as a new worker (R14), unless it is stopping or its driver is closed. */
  async #storeLost(error: unknown): Promise<ExchangeLine | undefined> {
    const closed = hasCode(error, "closed");
    try {
      if (!closed || this.#status !== "running") return await this.#duty.renew();
    } catch (cause) {
      this.#reporter.fault(cause);
    }
    if (closed) this.#closedBy = error;
    this.#wanted = "stopped";
    this.#leave();
    return undefined;
  }

  async #end(): Promise<void> {
    const { attempts } = this.#rounds;
    this.#status = "stopping";
    this.#life++;
    this.#rounds.rest();
    let waited = false;
    this.#endWait = () => {
      waited = true;
      this.#waiting.ask();
    };
    await this.#waiting.until(() => waited || attempts.running === 0);
    this.#rounds.hurry();
    // A claim that was on its way brings more attempts.
    do {
      attempts.stop();
      await this.#waiting.until(() => attempts.live.length === 0);
      await this.#rounds.ended();
    } while (attempts.live.length > 0);
    await this.#rounds.farewell();
    await this.#duty.ended();
    if (this.#hooks.running > 0) await this.#waiting.until(() => this.#hooks.running === 0, DEFAULTS.graceMs);
    this.#leave();
  }

  #leave(): void {
    for (const disarm of this.#stopTimers.splice(0)) disarm();
    this.#network?.close();
    this.#rounds.close();
    this.#duty.leave();
    this.#status = "stopped";
    this.#waiting.ask();
  }
}
