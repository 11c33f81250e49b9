import { type Clock, systemClock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError } from "../job/errors.ts";
import { integer } from "../job/options.ts";
import type { JobRecord } from "../job/record.ts";
import type { ClaimLimits } from "./claims.ts";
import { Emitter } from "./emitter.ts";
import { type Enlisted, enlist } from "./enlist.ts";
import type { ExchangeLine } from "./exchange-line.ts";
import { FailureHooks } from "./failure-hooks.ts";
import { Rounds } from "./rounds.ts";
import { Slots } from "./slots.ts";
import { WaitingRoom } from "./waiting-room.ts";
import { Reporter, type WorkerEvents } from "./worker-events.ts";
import { CONCURRENCY, type WorkerOptions, type WorkerQueue, type WorkerStatus } from "./worker-options.ts";

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
  readonly #random: () => number;
  readonly #leaseMs: number;
  readonly #events: Emitter<WorkerEvents>;
  readonly #reporter: Reporter;
  readonly #hooks: FailureHooks;
  readonly #waiting: WaitingRoom;
  readonly #rounds: Rounds<Ctx>;
  #status: WorkerStatus = "stopped";
  #enlisted: Enlisted | undefined;
  #unwatch: () => void = () => {};
  #stopped: Promise<void> | undefined;

  constructor(driver: Driver, options: WorkerOptions<Ctx>) {
    this.#driver = driver;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, 10_000, "concurrency");
    const sleepMs = options.sleep === undefined ? Number.POSITIVE_INFINITY : toMs(options.sleep, "sleep");
    this.#leaseMs = toMs(options.lease ?? DEFAULTS.leaseMs, "lease");
    if (this.#leaseMs < 100)
      throw new QuaysideError("invalid_option", `lease must be at least 100 ms, got ${this.#leaseMs}.`, {
        option: "lease",
      });
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
    this.#rounds = new Rounds<Ctx>({
      clock: this.#clock,
      random: this.#random,
      events: this.#events,
      reporter: this.#reporter,
      hooks: this.#hooks,
      waiting: this.#waiting,
      slots: options.slots ?? new Slots(concurrency),
      queues: options.queues,
      queueOf: (job) => this.#queueOf(job),
      worker: options,
      leaseMs: this.#leaseMs,
      sleepMs,
      alarm: options.alarm !== false,
      status: () => this.#status,
      storeLost: (error) => this.#storeLost(error),
      spent: () => {
        if (options.maxJobs !== undefined) void this.stop();
      },
    });
  }

  /** Random per start; empty before the first. */
  get id(): string {
    return this.#enlisted?.id ?? "";
  }

  get status(): WorkerStatus {
    return this.#status;
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
    return this.#events.on(name, listener);
  }

  /** Starts claiming. Resolves when it may claim (its lock is held); throws `conflict` while it is stopping. */
  async start(): Promise<void> {
    if (this.#status === "running") return;
    if (this.#status === "stopping")
      throw new QuaysideError("conflict", "This worker is stopping: await stop() before starting it again.");
    await this.#begin({ only: undefined, quota: this.#options.maxJobs ?? Number.POSITIVE_INFINITY });
  }

  /**
   * Stops claiming, waits for running handlers up to `timeout` (default 30 s), then aborts them and gives their jobs
   * back. Resolves when all is settled. Idempotent.
   */
  stop({ timeout = DEFAULTS.stopTimeoutMs }: { readonly timeout?: Duration } = {}): Promise<void> {
    const timeoutMs = toMs(timeout, "timeout");
    this.#stopped ??=
      this.#status === "stopped" ? Promise.resolve() : this.#end(timeoutMs).finally(() => (this.#stopped = undefined));
    return this.#stopped;
  }

  /** Works until nothing runs and nothing is due, then resolves; a worker that was stopped is stopped again. */
  async drain(): Promise<void> {
    const wasStopped = this.#status === "stopped";
    if (wasStopped) await this.start();
    await this.#rounds.untilIdle();
    if (wasStopped) await this.stop();
  }

  /** Runs the next due job, of `queue` or of any, and settles it. False when none was due. For a stopped worker. */
  async processNext(queue?: string): Promise<boolean> {
    if (this.#status !== "stopped")
      throw new QuaysideError("conflict", "processNext() is for a worker that is not started.");
    let ran = false;
    const off = this.on("active", () => (ran = true));
    await this.#begin({ only: queue, quota: 1 });
    await this.#rounds.untilIdle();
    await this.stop();
    off();
    return ran;
  }

  /** Looks for work now, as it does by itself when its driver tells of some. */
  wake(): void {
    this.#rounds.wake();
  }

  async #begin(limits: ClaimLimits): Promise<void> {
    this.#status = "running";
    try {
      this.#rounds.open(await this.#enlist(), limits);
    } catch (error) {
      this.#status = "stopped";
      throw error;
    }
    this.#unwatch = this.#driver.watch((change) => {
      // What this worker did itself, its reply has told it.
      if (change.by !== this.id) this.#rounds.heed(change);
    });
    this.wake();
  }

  async #enlist(): Promise<ExchangeLine> {
    this.#enlisted = await enlist(this.#driver, {
      clock: this.#clock,
      random: this.#random,
      report: (error) => this.#reporter.fault(error),
      name: this.#options.name,
      leaseMs: this.#leaseMs,
    });
    return this.#enlisted.line;
  }

  #queueOf(job: JobRecord): WorkerQueue<Ctx> | undefined {
    return this.#options.queues.find(({ name }) => name === job.queue);
  }

  /** Others may have its jobs now: begins anew, as a new worker (R14), unless it is stopping or its driver is closed. */
  async #storeLost(error: unknown): Promise<ExchangeLine | undefined> {
    this.#enlisted?.leave();
    if (this.#status !== "running") return undefined;
    if (error instanceof QuaysideError && error.code === "closed") {
      this.#leave();
      return undefined;
    }
    try {
      return await this.#enlist();
    } catch (cause) {
      this.#reporter.fault(cause);
      this.#leave();
      return undefined;
    }
  }

  async #end(timeoutMs: number): Promise<void> {
    const { attempts } = this.#rounds;
    this.#status = "stopping";
    this.#rounds.rest();
    if (timeoutMs > 0) await this.#waiting.until(() => attempts.running === 0, timeoutMs);
    this.#rounds.hurry();
    // A claim that was on its way brings more attempts.
    do {
      attempts.stop();
      await this.#waiting.until(() => attempts.live.length === 0);
      await this.#rounds.ended();
    } while (attempts.live.length > 0);
    await this.#rounds.farewell();
    if (this.#hooks.running > 0)
      await this.#waiting.until(() => this.#hooks.running === 0, Math.max(timeoutMs, DEFAULTS.graceMs));
    this.#leave();
  }

  #leave(): void {
    this.#unwatch();
    this.#rounds.close();
    this.#enlisted?.leave();
    this.#status = "stopped";
    this.#waiting.ask();
  }
}
