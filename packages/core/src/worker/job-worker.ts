import { Network } from "../attempt/network-requirement.ts";
import { checkListener, type WorkerEvents } from "../attempt/worker-events.ts";
import { checkDriver } from "../drivers/check-driver.ts";
import type { Driver } from "../engine/driver.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { toMs } from "../job/duration.ts";
import { isQuaysideError, QuaysideError } from "../job/errors.ts";
import { handlerScope, refuseOwn } from "../job/handler-scope.ts";
import { fields } from "../job/option-checks.ts";
import { ExchangeLoop } from "./exchange-loop.ts";
import { LifeCycle, type StopOptions } from "./life-cycle.ts";
import { isLasting, Session } from "./session.ts";
import {
  ENDING,
  type JobWorkerOptions,
  placeOf,
  resolveOptions,
  STATES,
  type State,
  type WorkerEvent,
  type WorkerSettings,
  type WorkerStatus,
  type WorkPlace,
} from "./worker-options.ts";

/**
 * Claims jobs of one driver, from one or several queues, and runs them with the given functions. Makes one exchange
 * with its driver at a time, and none while idle. Apps use `QueueWorker`.
 *
 * @example
 * const worker = new JobWorker(driver, { queues: [{ name: "mail", run: (job) => send(job.payload) }] });
 * await worker.start();
 */
export class JobWorker<Ctx extends object = object> extends LifeCycle {
  readonly #settings: WorkerSettings<Ctx>;
  readonly #loop: ExchangeLoop<Ctx>;
  readonly #session: Session;
  readonly #network: Network | undefined;
  #state: State = "stopped";
  /** Resolves when the worker has begun after its last start. */
  #begun: Promise<void> = Promise.resolve();
  /** Number of calls of `drain` that have not resolved. */
  #drains = 0;
  /** Whether the timeout of `stop` has passed. */
  #waited = false;
  /** Functions that cancel the timers of `stop`. A timer that is left would keep a Node process alive. */
  #disarms: (() => void)[] = [];
  /** The error with which calls that wait for the store fail, while the store cannot be used. */
  #unusable: unknown;

  constructor(driver: Driver, options: JobWorkerOptions<Ctx>) {
    super();
    const settings = resolveOptions(options, checkDriver(driver, "A worker"));
    const { events, connectivity } = settings;
    this.#settings = settings;
    this.#network = connectivity && new Network({ ...settings, connectivity });
    this.#loop = new ExchangeLoop<Ctx>({
      ...settings,
      network: this.#network,
      wanted: () => this.status === "running",
      storeLost: (error) => this.#storeLost(error),
    });
    this.#session = new Session({
      ...settings,
      wanted: () => this.status === "running",
      loop: this.#loop,
      report: (error, sends) => {
        events.fault(error);
        if (!isLasting(error, sends)) return;
        this.#unusable = error;
        this.#loop.waiters.ask();
      },
      failed: (error) => {
        events.fault(error);
        if (isQuaysideError(error, "closed")) void this.#storeLost(error);
      },
    });
  }

  /** Key of the worker, random per start; empty before the first. */
  get id(): string {
    return this.#session.id;
  }

  /** The driver and the queues of this worker. A manager adds queues later. */
  override get places(): readonly WorkPlace[] {
    return [placeOf(this.#settings)];
  }

  get status(): WorkerStatus {
    return STATES[this.#state].status;
  }

  /** Number of jobs completed since construction. */
  get processedCount(): number {
    return this.#loop.attempts.reporter.processedCount;
  }

  /** Number of jobs that have failed for good since construction. */
  get failedCount(): number {
    return this.#loop.attempts.reporter.failedCount;
  }

  /** Number of attempts whose handlers have not returned. */
  get activeCount(): number {
    return this.#loop.attempts.running;
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    checkListener(name, listener);
    return this.#settings.events.on(name, listener);
  }

  /**
   * Starts claiming. Resolves when the worker may claim (its lock is held), when it waits for its tab to lead, or when
   * a later `stop()` has overruled it. If it is stopping, starts afterwards. Throws `closed` on a closed driver. Inside
   * one of this worker's own handlers, resolves at once.
   */
  override start(): Promise<void> {
    this.#to("start");
    const other = this.#while("processingFirst", "restarting") ?? Promise.resolve();
    const started = other.then(() => (this.#state === "running" ? this.#begun : undefined));
    if (!this.hasScope()) return started;
    // It may have to wait for the handler that calls it.
    started.catch((error) => this.#settings.events.fault(error));
    return Promise.resolve();
  }

  /**
   * Stops claiming, waits for running handlers up to `timeout` (default: 30 s), then aborts them and releases their
   * jobs. Resolves when all are settled. A further call with a shorter timeout shortens the wait. Inside one of this
   * worker's own handlers, it stops the worker, but rejects with `conflict`: it would wait for the handler itself.
   */
  override stop(options: StopOptions = {}): Promise<void> {
    let timeoutMs: number;
    try {
      timeoutMs = toMs(fields(options, "options", ["timeout"]).timeout ?? DEFAULTS.stopTimeoutMs, "timeout");
    } catch (error) {
      return Promise.reject(error);
    }
    this.#to("stop");
    if (this.status === "stopping") this.#waitAtMost(timeoutMs);
    return this.#refuseOwn("stop()") ?? this.#while(...ENDING) ?? Promise.resolve();
  }

  /**
   * Works until no job runs or is due, then resolves; the worker returns to its previous state, or to that of the last
   * call. Throws `closed` on a closed driver, and `conflict` inside one of this worker's own handlers: on Node always,
   * on other platforms before the first `await`. A later call there would wait until the handler's `timeout`.
   */
  drain(): Promise<void> {
    return this.#refuseOwn("drain()") ?? this.#drain();
  }

  async #drain(): Promise<void> {
    if (this.#drains++ === 0) this.#unusable = undefined;
    try {
      const other = this.#while("processing", "processingFirst", ...ENDING);
      if (other) await other;
      this.#to("drain");
      await this.#begun;
      await this.#session.urge();
      await this.#untilIdle();
    } finally {
      this.#drains--;
      if (this.#drains === 0) {
        this.#to("drained");
        await this.#session.calm();
      }
      await this.#while(...ENDING);
    }
  }

  /** Runs the next due job, of `queue` or of any. Returns false if none is due. Only for a stopped worker. */
  async processNext(queue?: string): Promise<boolean> {
    if (this.#state !== "stopped")
      throw new QuaysideError("conflict", "processNext() is for a worker that is not started.");
    this.#unusable = undefined;
    this.#to("process", queue);
    const begun = this.#begun;
    const { budget } = this.#loop.claims;
    try {
      await begun;
      await this.#untilIdle();
    } finally {
      if (begun === this.#begun) this.#to("processed");
      await this.#while(...ENDING);
    }
    return budget.left === 0;
  }

  /** Claims now. The worker also claims when its driver reports a change. */
  wake(): void {
    this.#loop.wake();
  }

  /** @internal Whether the worker is stopped and no call is about to start it. */
  get unused(): boolean {
    return this.#state === "stopped" && this.#drains === 0;
  }

  /** @internal Returns whether the caller is a handler or `onFailed` hook of this worker that has not returned. */
  hasScope(): boolean {
    return this.#loop.attempts.has(handlerScope.current());
  }

  /** Rejects a call inside one of this worker's own handlers, for which it would wait. */
  #refuseOwn(call: string): Promise<void> | undefined {
    return this.hasScope() ? refuseOwn(call) : undefined;
  }

  /** Changes the state; no other code does. @param only the queue of `process`. */
  #to(event: WorkerEvent, only?: string): void {
    const before = this.status;
    this.#state = (STATES[this.#state] as Partial<Record<WorkerEvent, State>>)[event] ?? this.#state;
    const { status } = this;
    if (status !== before) {
      if (status === "stopping") void this.#end();
      else if (before !== "stopped") this.#leave();
      if (status === "running") this.#begin(only);
    }
    this.#loop.waiters.ask();
  }

  #begin(only: string | undefined): void {
    const { maxJobs: left = Number.POSITIVE_INFINITY } = this.#settings;
    const { budget = { left, asked: 0, spent: () => void this.stop() } } = this.#settings;
    const { claims } = this.#loop;
    claims.only = only;
    claims.budget = this.#state === "processing" ? { left: 1, asked: 0 } : budget;
    this.#network?.open(this.#loop);
    for (const { workers } of this.#settings.queues) workers?.add(this);
    const begun: Promise<void> = this.#session.open(this.#state !== "running").catch((error) => {
      // The worker was stopped meanwhile.
      if (begun !== this.#begun || this.status !== "running") return;
      this.#to("lost");
      throw error;
    });
    this.#begun = begun;
    begun.catch(() => {});
  }

  async #end(): Promise<void> {
    const { attempts, waiters } = this.#loop;
    this.#loop.stopClaiming();
    await waiters.until(() => this.#waited || attempts.running === 0);
    await this.#loop.leave();
    await this.#session.ending;
    this.#disarm();
    this.#waitAtMost(DEFAULTS.graceMs);
    await waiters.until(() => this.#waited || attempts.hooks === 0);
    this.#to("ended");
  }

  #waitAtMost(ms: number): void {
    const endWait = () => {
      this.#waited = true;
      this.#loop.waiters.ask();
    };
    if (ms === 0) endWait();
    else this.#disarms.push(this.#settings.clock.after(ms, endWait));
  }

  #disarm(): void {
    for (const disarm of this.#disarms.splice(0)) disarm();
    this.#waited = false;
  }

  #leave(): void {
    this.#disarm();
    for (const { workers } of this.#settings.queues) workers?.delete(this);
    this.#network?.close();
    this.#loop.close();
    this.#session.leave();
  }

  /** Resolves when the worker is in none of these states. Undefined if it is in none already. */
  #while(...states: readonly State[]): Promise<void> | undefined {
    const left = () => !states.includes(this.#state);
    return left() ? undefined : this.#loop.waiters.until(left).then(() => this.#while(...states));
  }

  /** Waits until no job runs or is due. Throws if the driver is closed or its store cannot be used (R33). */
  async #untilIdle(): Promise<void> {
    await this.#loop.untilIdle(() => this.#unusable !== undefined || this.status !== "running");
    if (this.#unusable !== undefined) throw this.#unusable;
  }

  /** Continues as a new worker (R14), because others may have its jobs, unless it is stopping or closed. */
  async #storeLost(error: unknown): Promise<void> {
    const closed = isQuaysideError(error, "closed");
    try {
      if (!closed || this.status !== "running") return await this.#session.renew();
    } catch (cause) {
      this.#settings.events.fault(cause);
    }
    if (closed) this.#unusable = error;
    this.#to("lost");
  }
}
