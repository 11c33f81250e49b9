import { type Clock, systemClock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError } from "../job/errors.ts";
import { LIMITS } from "../job/limits.ts";
import { integer } from "../job/options.ts";
import type { JobRecord } from "../job/record.ts";
import type { ClaimLimits } from "./claims.ts";
import { Duty } from "./duty.ts";
import { Emitter } from "./emitter.ts";
import type { ExchangeLine } from "./exchange-line.ts";
import { FailureHooks } from "./failure-hooks.ts";
import { Network } from "./network.ts";
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
  #stopped: Promise<void> | undefined;

  constructor(driver: Driver, options: WorkerOptions<Ctx>) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const random = options.random ?? Math.random;
    const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency");
    const prefetch = integer(options.prefetch ?? 0, 0, LIMITS.claim, "prefetch");
    const sleepMs = options.sleep === undefined ? Number.POSITIVE_INFINITY : toMs(options.sleep, "sleep");
    const leaseMs = toMs(options.lease ?? DEFAULTS.leaseMs, "lease");
    if (leaseMs < 100)
      throw new QuaysideError("invalid_option", `lease must be at least 100 ms, got ${leaseMs}.`, {
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
    const connectivity = options.connectivity ?? driver.connectivity;
    const back = (jobs: readonly JobRecord[]) => void this.#promote(driver, jobs);
    this.#network = connectivity && new Network({ clock: this.#clock, random, connectivity, back });
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
        if (options.maxJobs !== undefined) void this.stop();
      },
    });
    this.#duty = new Duty({
      driver,
      enlist: {
        clock: this.#clock,
        random,
        report: (error) => this.#reporter.fault(error),
        name: options.name,
        leaseMs,
      },
      rounds: () => this.#rounds as unknown as Rounds<object>,
      wanted: () => this.#status === "running",
    });
  }

  /** Random per start; empty before the first. */
  get id(): string {
    return this.#duty.id;
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

  /**
   * Starts claiming. Resolves when it may claim (its lock is held), or stands in line for it where one tab works for all;
   * throws `conflict` while it is stopping.
   */
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
    this.#network?.open();
    try {
      await this.#duty.begin(limits);
    } catch (error) {
      this.#network?.close();
      this.#duty.leave();
      this.#status = "stopped";
      throw error;
    }
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
    const closed = error instanceof QuaysideError && error.code === "closed";
    try {
      if (!closed || this.#status !== "running") return await this.#duty.renew();
    } catch (cause) {
      this.#reporter.fault(cause);
    }
    this.#leave();
    return undefined;
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
    await this.#duty.ended();
    if (this.#hooks.running > 0)
      await this.#waiting.until(() => this.#hooks.running === 0, Math.max(timeoutMs, DEFAULTS.graceMs));
    this.#leave();
  }

  #leave(): void {
    this.#network?.close();
    this.#rounds.close();
    this.#duty.leave();
    this.#status = "stopped";
    this.#waiting.ask();
  }
}
