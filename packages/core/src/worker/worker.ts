import { checkDriver } from "../driver/check-driver.ts";
import { systemClock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { Network } from "../driver/network.ts";
import { able, callable, fields, integer, list, positiveMs } from "../job/checks.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { Emitter } from "../job/emitter.ts";
import { hasCode, QuaysideError } from "../job/errors.ts";
import { handlerScope } from "../job/handler-scope.ts";
import { LIMITS } from "../job/limits.ts";
import { checkName } from "../job/place.ts";
import type { JobRecord } from "../job/record.ts";
import { Slots } from "../job/slots.ts";
import {
  CONCURRENCY,
  checkListener,
  type WorkerEvents,
  type WorkerOptions,
  type WorkerStatus,
  type WorkPlace,
} from "./events.ts";
import { type ExchangeClient, isLasting } from "./exchange-client.ts";
import { ExchangeLoop } from "./exchange-loop.ts";
import { Session } from "./session.ts";

/**
 * The states of a worker and what leads from each to the next: the last call wins (R34). An event that a state does not
 * list changes nothing.
 *
 * Calls: `start`, `stop`, `drain`, `process` (one job). Events: `done` (the last drain, or the one job, has ended),
 * `ended` (all handlers have returned after a stop), `lost` (it could not begin, or its driver is closed).
 */
const STATES = {
  stopped: { status: "stopped", start: "running", drain: "draining", process: "processing" },
  running: { status: "running", stop: "stopping", lost: "stopped" },
  draining: { status: "running", start: "running", stop: "stopping", done: "stopping", lost: "stopped" },
  processing: { status: "running", start: "processingThenRun", stop: "stopping", done: "stopping", lost: "stopped" },
  /** Processing, and `start` was called meanwhile. */
  processingThenRun: { status: "running", stop: "stopping", done: "restarting", lost: "stopped" },
  stopping: { status: "stopping", start: "restarting", ended: "stopped" },
  /** Stopping, and `start` was called meanwhile. */
  restarting: { status: "stopping", stop: "stopping", lost: "stopping", ended: "running" },
} as const satisfies Record<string, { readonly status: WorkerStatus } & Partial<Record<WorkerEvent, string>>>;

type State = keyof typeof STATES;
type WorkerEvent = "start" | "stop" | "drain" | "process" | "done" | "ended" | "lost";

/**
 * Claims jobs from one or many queues and runs their handlers. It makes one exchange with its driver at a time, and none
 * while nothing happens.
 *
 * @example
 * const worker = new Worker(driver, { queues: [{ name: "mail", run: (job) => send(job.payload) }] });
 * await worker.start();
 */
export class Worker<Ctx extends object = object> {
  readonly #driver: Driver;
  readonly #options: WorkerOptions<Ctx>;
  readonly #events: Emitter<WorkerEvents>;
  readonly #loop: ExchangeLoop<Ctx>;
  readonly #session: Session;
  readonly #network: Network | undefined;
  #state: State = "stopped";
  /** Resolves when the worker has begun, after its last start. */
  #begun: Promise<void> = Promise.resolve();
  /** Calls of `drain` that have not resolved. */
  #drains = 0;
  /** Whether `stop` has waited long enough for the handlers. */
  #waited = false;
  /** Disarm the timers of `stop`: one left armed would keep a Node process alive. */
  #disarms: (() => void)[] = [];
  /** Why calls that wait for the store fail. */
  #unusable: unknown;

  constructor(driver: Driver, options: WorkerOptions<Ctx>) {
    this.#driver = checkDriver(driver, "A worker");
    for (const queue of list(fields(options, "options").queues, "queues")) {
      checkName(fields(queue, "queues").name, "queue name");
      callable(queue.run, "run");
      if (queue.concurrency !== undefined) integer(queue.concurrency, 1, LIMITS.claim, "concurrency");
    }
    const { clock = systemClock, random = Math.random, name, maxJobs, queues } = options;
    const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency");
    const prefetch = integer(options.prefetch ?? 0, 0, LIMITS.claim, "prefetch");
    const sleepMs = options.sleep === undefined ? Number.POSITIVE_INFINITY : toMs(options.sleep, "sleep");
    const leaseMs = positiveMs(options.lease ?? DEFAULTS.leaseMs, "lease", 100);
    if (name !== undefined) checkName(name, "name");
    if (maxJobs !== undefined) integer(maxJobs, 1, Number.MAX_SAFE_INTEGER, "maxJobs");
    const connectivity = options.connectivity ?? driver.connectivity;
    if (connectivity) able(connectivity, "connectivity", "isOnline");
    const wanted = () => this.status === "running";
    const fault = (error: unknown) => this.#events.fault(error);
    this.#options = options;
    this.#events = options.events ?? new Emitter();
    this.#network =
      connectivity &&
      new Network({ clock, random, connectivity, back: (jobs) => void this.#promote(jobs), report: fault });
    this.#loop = new ExchangeLoop<Ctx>({
      ...options,
      clock,
      random,
      events: this.#events,
      network: this.#network,
      slots: options.slots ?? new Slots(concurrency),
      queueOf: (job) => queues.find((queue) => queue.name === job.queue),
      prefetch,
      leaseMs,
      sleepMs,
      wanted,
      storeLost: (error) => this.#storeLost(error),
    });
    this.#session = new Session({
      driver,
      clock,
      random,
      name,
      leaseMs,
      wanted,
      loop: this.#loop,
      report: (error, sends) => {
        fault(error);
        if (!isLasting(error, sends)) return;
        this.#unusable = error;
        this.#loop.ask();
      },
      failed: (error) => {
        fault(error);
        if (hasCode(error, "closed")) void this.#storeLost(error);
      },
    });
  }

  /** Random per start; empty before the first. */
  get id(): string {
    return this.#session.id;
  }

  get status(): WorkerStatus {
    return STATES[this.#state].status;
  }

  /** Where it works: its driver, and its queues. */
  get places(): readonly WorkPlace[] {
    return [{ driver: this.#driver, queues: this.#options.queues.map(({ name }) => name) }];
  }

  /** Jobs that it completed since construction. */
  get processedCount(): number {
    return this.#loop.attempts.reporter.processedCount;
  }

  /** Jobs that failed for good in its hands since construction. */
  get failedCount(): number {
    return this.#loop.attempts.reporter.failedCount;
  }

  /** Attempts whose handlers have not returned yet. */
  get activeCount(): number {
    return this.#loop.attempts.running;
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    checkListener(name, listener);
    return this.#events.on(name, listener);
  }

  /**
   * Starts claiming. Resolves when it may claim (its lock is held), or waits for its tab to lead where one tab works for
   * all, or when a later `stop()` has overruled it. While it stops, it starts once that is over. Throws `closed` on a closed
   * driver. In one of this worker's own handlers it resolves at once.
   */
  start(): Promise<void> {
    this.#to("start");
    const started = this.#untilStarted();
    if (!this.hasScope()) return started;
    // What it waits for may be that handler.
    started.catch((error) => this.#events.fault(error));
    return Promise.resolve();
  }

  /**
   * Stops claiming, waits for running handlers up to `timeout` (default 30 s), then aborts them and gives their jobs
   * back. Resolves when all is settled. A further call with a shorter timeout shortens the wait. Called by one of this
   * worker's own handlers it stops the worker, too, but awaiting it throws `conflict`: it would wait for itself.
   */
  stop(options: { readonly timeout?: Duration } = {}): Promise<void> {
    const { clock = systemClock } = this.#options;
    let timeoutMs: number;
    try {
      timeoutMs = toMs(fields(options, "options", ["timeout"]).timeout ?? DEFAULTS.stopTimeoutMs, "timeout");
    } catch (error) {
      return Promise.reject(error);
    }
    this.#to("stop");
    if (this.status === "stopping") {
      const endWait = () => {
        this.#waited = true;
        this.#loop.ask();
      };
      if (timeoutMs === 0) endWait();
      else this.#disarms.push(clock.after(timeoutMs, endWait));
    }
    return this.refuseOwn("stop()") ?? this.#untilStopped();
  }

  /**
   * Works until nothing runs and nothing is due, then resolves; the worker is then as it was before, or as the last call
   * said. Throws `closed` on a closed driver, and `conflict` in one of this worker's own handlers: in Node at any time,
   * elsewhere before the handler's first `await`. After that it would wait until the handler's `timeout`.
   */
  drain(): Promise<void> {
    return this.refuseOwn("drain()") ?? this.#drain();
  }

  async #drain(): Promise<void> {
    if (this.#drains++ === 0) this.#unusable = undefined;
    try {
      const waits = () => this.status === "stopping" || this.#state.startsWith("processing");
      while (waits()) await this.#loop.until(() => !waits());
      this.#to("drain");
      await this.#begun;
      await this.#session.urge();
      await this.#untilIdle();
    } finally {
      this.#drains--;
      if (this.#drains === 0) {
        this.#to("done");
        await this.#session.calm();
      }
      await this.#untilStopped();
    }
  }

  /** Runs the next due job, of `queue` or of any, and settles it. False when none was due. For a stopped worker. */
  async processNext(queue?: string): Promise<boolean> {
    if (this.#state !== "stopped")
      throw new QuaysideError("conflict", "processNext() is for a worker that is not started.");
    let ran = false;
    const off = this.on("active", () => (ran = true));
    this.#unusable = undefined;
    this.#to("process", queue);
    const begun = this.#begun;
    try {
      await begun;
      await this.#untilIdle();
    } finally {
      if (begun === this.#begun) this.#to("done");
      await this.#untilStopped();
      off();
    }
    return ran;
  }

  /** Looks for work now, as it does by itself when its driver reports some. */
  wake(): void {
    this.#loop.wake();
  }

  /** @internal Stopped, and no call is about to start it. */
  get unused(): boolean {
    return this.#state === "stopped" && this.#drains === 0;
  }

  /** @internal Whether the caller is a handler or an `onFailed` hook of this worker that has not returned yet. */
  hasScope(): boolean {
    return this.#loop.attempts.has(handlerScope.current());
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

  /** The one place where the state changes. @param only the queue of `process`. */
  #to(event: WorkerEvent, only?: string): void {
    const before = this.status;
    const next: Partial<Record<WorkerEvent, State>> = STATES[this.#state];
    this.#state = next[event] ?? this.#state;
    const { status } = this;
    if (status !== before) {
      if (status === "stopping") void this.#end();
      else if (before !== "stopped") this.#leave();
      if (status === "running") this.#begin(only);
    }
    this.#loop.ask();
  }

  #begin(only: string | undefined): void {
    const { maxJobs, quota } = this.#options;
    const loop = this.#loop;
    loop.only = only;
    loop.room.quota =
      this.#state === "processing"
        ? { left: 1, asked: 0 }
        : (quota ?? { left: maxJobs ?? Number.POSITIVE_INFINITY, asked: 0, spent: () => void this.stop() });
    this.#network?.open();
    const begun: Promise<void> = this.#session.open(this.#state !== "running").catch((error) => {
      // It was stopped meanwhile.
      if (begun !== this.#begun || this.status !== "running") return;
      this.#to("lost");
      throw error;
    });
    this.#begun = begun;
    begun.catch(() => {});
  }

  async #end(): Promise<void> {
    const loop = this.#loop;
    const { attempts } = loop;
    const { clock = systemClock } = this.#options;
    this.#waited = false;
    loop.stopClaiming();
    await loop.until(() => this.#waited || attempts.running === 0);
    await loop.leave();
    await this.#session.ended();
    let waited = attempts.hooks === 0;
    const end = () => {
      waited = true;
      loop.ask();
    };
    if (!waited) this.#disarms.push(clock.after(DEFAULTS.graceMs, end));
    await loop.until(() => waited || attempts.hooks === 0);
    this.#to("ended");
  }

  #leave(): void {
    for (const disarm of this.#disarms.splice(0)) disarm();
    this.#network?.close();
    this.#loop.close();
    this.#session.leave();
  }

  async #untilStarted(): Promise<void> {
    const waits = () => this.#state === "restarting" || this.#state === "processingThenRun";
    while (waits()) await this.#loop.until(() => !waits());
    if (this.#state === "running") await this.#begun;
  }

  #untilStopped(): Promise<void> {
    return this.#loop.until(() => this.status !== "stopping");
  }

  /** Throws when the driver is closed, or its store cannot be used: nothing hangs (R33). */
  async #untilIdle(): Promise<void> {
    await this.#loop.untilIdle(() => this.#unusable !== undefined || this.status !== "running");
    if (this.#unusable !== undefined) throw this.#unusable;
  }

  /** The network is back: sends what waits to be sent again, and starts jobs that were released because of it. */
  async #promote(jobs: readonly JobRecord[]): Promise<void> {
    this.#loop.retryNow();
    // One that cannot be promoted (it is gone, it runs, this worker may not) runs when its delay is over.
    for (const { queue, id } of jobs) await this.#driver.command({ type: "promote", queue, id }).catch(() => {});
    this.#loop.wake();
  }

  /** Other workers may have its jobs now: goes on as a new worker (R14), unless it is stopping or its driver is closed. */
  async #storeLost(error: unknown): Promise<ExchangeClient | undefined> {
    const closed = hasCode(error, "closed");
    try {
      if (!closed || this.status !== "running") return await this.#session.renew();
    } catch (cause) {
      this.#events.fault(cause);
    }
    if (closed) this.#unusable = error;
    this.#to("lost");
    return undefined;
  }
}
