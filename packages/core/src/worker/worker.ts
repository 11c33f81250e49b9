import { type Clock, systemClock } from "../driver/clock.ts";
import type { Driver, Enlistment } from "../driver/driver.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError } from "../job/errors.ts";
import { integer } from "../job/options.ts";
import type { JobRecord } from "../job/record.ts";
import type { ClaimQueue, ExchangeReply } from "../store/verbs.ts";
import { AttemptReports } from "./attempt-reports.ts";
import { claimQueues } from "./claim-queues.ts";
import { Emitter } from "./emitter.ts";
import { ExchangeLine } from "./exchange-line.ts";
import { FailureHooks } from "./failure-hooks.ts";
import { Attempt, type AttemptListener, type Run } from "./run-attempt.ts";
import { type Share, Slots } from "./slots.ts";
import { traceAttempt } from "./telemetry.ts";
import { WaitingRoom } from "./waiting-room.ts";
import { Reporter, type Settled, type WorkerEvents } from "./worker-events.ts";
import { CONCURRENCY, type WorkerOptions, type WorkerQueue, type WorkerStatus } from "./worker-options.ts";

/** Progress is written at most this often, with the renewals. */
const PROGRESS_MS = 1_000;
/** Microtask turns granted before an exchange, so that handlers that end together are settled together. */
const GATHER_TURNS = 8;

/**
 * Claims jobs from one or many queues and runs their handlers. What ended, what runs on and what to claim next go into
 * one exchange; there is never more than one in flight, and none at all while nothing happens.
 *
 * @example
 * const worker = new Worker(driver, { queues: [{ name: "mail", run: (job) => send(job.payload) }] });
 * await worker.start();
 */
export class Worker<Ctx extends object = object> {
  readonly #driver: Driver;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #queues: readonly WorkerQueue<Ctx>[];
  readonly #slots: Slots;
  #share: Share | undefined;
  readonly #leaseMs: number;
  readonly #sleepMs: number;
  readonly #options: WorkerOptions<Ctx>;
  readonly #events: Emitter<WorkerEvents>;
  readonly #running = new Set<Attempt>();

  #status: WorkerStatus = "stopped";
  #id = "";
  #line: ExchangeLine | undefined;
  #enlistment: Enlistment | undefined;
  #unwatch: () => void = () => {};
  #settlements: Settled[] = [];
  readonly #reports = new AttemptReports();
  readonly #hooks: FailureHooks;
  #looping: Promise<void> | undefined;
  #look = false;
  #renew = false;
  #quota = Number.POSITIVE_INFINITY;
  #turn = 0;
  #idle = false;
  #disarm: () => void = () => {};
  #disarmRenewal: () => void = () => {};
  #disarmProgress: (() => void) | undefined;
  readonly #waiting: WaitingRoom;
  readonly #reporter: Reporter;
  #only: string | undefined;
  /** The last reply said that more is due. */
  #due = false;
  #stopped: Promise<void> | undefined;

  constructor(driver: Driver, options: WorkerOptions<Ctx>) {
    this.#driver = driver;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#queues = options.queues;
    const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, 10_000, "concurrency");
    this.#slots = options.slots ?? new Slots(concurrency);
    this.#sleepMs = options.sleep === undefined ? Number.POSITIVE_INFINITY : toMs(options.sleep, "sleep");
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
      returned: () => this.#notice(),
    });
    this.#waiting = new WaitingRoom(this.#clock);
  }

  /** Random per start; empty before the first. */
  get id(): string {
    return this.#id;
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
    return this.#running.size;
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Starts claiming. Resolves when it may claim (its lock is held); throws `conflict` while it is stopping. */
  async start(): Promise<void> {
    if (this.#status === "running") return;
    if (this.#status === "stopping")
      throw new QuaysideError("conflict", "This worker is stopping: await stop() before starting it again.");
    this.#quota = this.#options.maxJobs ?? Number.POSITIVE_INFINITY;
    await this.#begin();
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
    await this.#untilIdle();
    if (wasStopped) await this.stop();
  }

  /** Runs the next due job, of `queue` or of any, and settles it. False when none was due. For a stopped worker. */
  async processNext(queue?: string): Promise<boolean> {
    if (this.#status !== "stopped")
      throw new QuaysideError("conflict", "processNext() is for a worker that is not started.");
    let ran = false;
    const off = this.on("active", () => (ran = true));
    this.#quota = 1;
    await this.#begin(queue);
    await this.#untilIdle();
    await this.stop();
    off();
    return ran;
  }

  /** Looks for work now, as it does by itself when its driver tells of some. */
  wake(): void {
    this.#look = true;
    this.#pump();
  }

  async #begin(only?: string): Promise<void> {
    this.#status = "running";
    try {
      await this.#enlist();
    } catch (error) {
      this.#status = "stopped";
      throw error;
    }
    this.#only = only;
    this.#idle = false;
    this.#unwatch = this.#driver.watch((change) => {
      // What this worker did itself, its reply has told it.
      if (change.by === this.#id || !this.#queues.some(({ name }) => name === change.queue)) return;
      if (change.kind === "cancel") this.#renew ||= this.#running.size > 0;
      else if (change.kind === "ready" || change.kind === "settings") this.#look = true;
      this.#pump();
    });
    this.#share = this.#slots.join(() => this.#pump());
    this.wake();
  }

  /** A fresh identity: new key, its lock, its line of exchanges from 1. */
  async #enlist(): Promise<void> {
    const worker = Array.from({ length: 16 }, () => Math.floor(this.#random() * 36).toString(36)).join("");
    const enlistment = (await this.#driver.enlist?.(worker)) ?? { liveness: "time", leave() {} };
    this.#id = worker;
    this.#enlistment = enlistment;
    const { name } = this.#options;
    this.#line = new ExchangeLine(
      this.#driver,
      { worker, ...(name !== undefined && { name }), liveness: enlistment.liveness, leaseMs: this.#leaseMs },
      { clock: this.#clock, random: this.#random, report: (error) => this.#reporter.fault(error) },
    );
  }

  /** Makes rounds while there is a reason to. One loop at a time: whoever finds a reason calls this. */
  #pump(): void {
    if (this.#looping || !this.#line) return;
    if (!this.#hasReason()) {
      if (this.#status === "running" && this.#look && this.#quota > 0) this.#share?.stand();
      this.#settleDown();
      return;
    }
    this.#looping = this.#loop().finally(() => {
      this.#looping = undefined;
      this.#pump();
    });
  }

  async #loop(): Promise<void> {
    while (this.#hasReason()) {
      for (let turn = 0; turn < GATHER_TURNS; turn++) await undefined;
      // Others may have taken the room meanwhile.
      if (this.#hasReason()) await this.#round(false);
    }
  }

  #hasReason(): boolean {
    return this.#settlements.length > 0 || this.#renew || (this.#look && this.#free() > 0);
  }

  #free(): number {
    if (this.#status !== "running") return 0;
    return Math.max(0, Math.min(this.#share?.free ?? 0, this.#quota));
  }

  async #round(leave: boolean): Promise<void> {
    const line = this.#line as ExchangeLine;
    const settlements = this.#settlements;
    const progress = this.#reports.take();
    const free = leave ? 0 : (this.#share?.take(this.#free()) ?? 0);
    this.#settlements = [];
    // Without room it has not looked: it still wants to.
    if (free > 0) this.#look = false;
    this.#renew = false;
    this.#disarm();
    const body = {
      settle: settlements.map(({ settlement }) => settlement),
      running: this.#live().map(({ token }) => token),
      ...(progress.length > 0 && { progress }),
      claim: { limit: free, queues: free > 0 ? this.#claimQueues() : [] },
      ...(leave && { leave }),
    };
    try {
      const reply = await line.send(body);
      this.#apply(reply, settlements, free);
      this.#share?.give(free - reply.jobs.length);
    } catch (error) {
      this.#share?.give(free);
      await this.#storeLost(error, settlements);
    }
  }

  /** Attempts that still hold their jobs. */
  #live(): Attempt[] {
    return [...this.#running].filter((attempt) => !attempt.over);
  }

  #claimQueues(): ClaimQueue[] {
    const queues = this.#only === undefined ? this.#queues : this.#queues.filter(({ name }) => name === this.#only);
    const running = (queue: string) => [...this.#running].filter(({ job }) => job.queue === queue).length;
    return claimQueues(queues, this.#turn++, running);
  }

  #apply(reply: ExchangeReply, settlements: readonly Settled[], free: number): void {
    const lost = new Set(reply.lost);
    for (const attempt of this.#live()) if (lost.has(attempt.token)) this.#lose(attempt);
    for (const entry of settlements) {
      if (lost.has(entry.attempt.token)) this.#reporter.lost(entry.attempt);
      else this.#reporter.settled(entry);
    }
    const cancelled = new Set(reply.cancel);
    for (const attempt of this.#live()) if (cancelled.has(attempt.token)) attempt.cancel();
    for (const job of reply.interrupted) this.#reporter.stalled(job);
    for (const { queue, name } of reply.unknown) this.#reporter.unknown(queue, name);

    this.#quota -= reply.jobs.length;
    for (const claimed of reply.jobs) this.#startAttempt(claimed);
    this.#due = false;
    if (reply.jobs.length < free) this.#rest(reply.nextWakeMs);
    this.#armRenewal();
  }

  /** There was less to claim than there is room: looks again when there may be more. */
  #rest(nextWakeMs = Number.POSITIVE_INFINITY): void {
    if (nextWakeMs === 0) {
      this.#look = this.#due = true;
      return;
    }
    const ms = Math.min(this.#options.alarm === false ? Number.POSITIVE_INFINITY : nextWakeMs, this.#sleepMs);
    if (ms < Number.POSITIVE_INFINITY) this.#disarm = this.#clock.after(ms, () => this.wake());
  }

  #startAttempt(claimed: ExchangeReply["jobs"][number]): void {
    const { job } = claimed;
    const queue = this.#queueOf(job) as WorkerQueue<Ctx>;
    const { ctx, producer, telemetry } = this.#options;
    const attempt: Attempt = new Attempt(claimed, this.#listener, {
      clock: this.#clock,
      random: this.#random,
      extra: ctx ?? {},
      policy: queue.policy?.(job),
      producer,
    });
    const run = queue.run as Run;
    this.#idle = false;
    this.#running.add(attempt);
    this.#events.emit("active", { job });
    void attempt.start(
      telemetry ? (record, context) => traceAttempt(telemetry, record, async () => run(record, context)) : run,
    );
  }

  #queueOf(job: JobRecord): WorkerQueue<Ctx> | undefined {
    return this.#queues.find(({ name }) => name === job.queue);
  }

  readonly #listener: AttemptListener = {
    settled: (attempt, settlement, end) => {
      this.#settlements.push({ attempt, settlement, end, durationMs: this.#clock.now() - attempt.startedAt });
      this.#notice();
    },
    returned: (attempt) => {
      this.#running.delete(attempt);
      this.#look = true;
      this.#share?.give(1);
      this.#notice();
    },
    progressed: ({ token, job }, value) => {
      this.#reports.progressed(token, value);
      this.#events.emit("progress", { job, progress: value });
      this.#armReports();
    },
    logged: ({ token, job }, line) => {
      this.#events.emit("log", { job, line: this.#reports.logged(token, line) });
      this.#armReports();
    },
    fault: (error) => this.#reporter.fault(error),
  };

  #armReports(): void {
    this.#disarmProgress ??= this.#clock.after(PROGRESS_MS, () => {
      this.#disarmProgress = undefined;
      this.#renew ||= !this.#reports.empty;
      this.#pump();
    });
  }

  #armRenewal(): void {
    this.#disarmRenewal();
    if (this.#live().length === 0) return;
    this.#disarmRenewal = this.#clock.after(this.#leaseMs / 3, () => {
      this.#renew = true;
      this.#pump();
    });
  }

  #lose(attempt: Attempt): void {
    attempt.lose();
    this.#reporter.lost(attempt);
  }

  /** The store was out of reach for longer than the lease: others may have these jobs now. Begin anew, as a new worker (R14). */
  async #storeLost(error: unknown, settlements: readonly Settled[]): Promise<void> {
    this.#reporter.fault(error);
    for (const { attempt } of [...settlements, ...this.#settlements]) this.#reporter.lost(attempt);
    for (const attempt of this.#live()) this.#lose(attempt);
    this.#settlements = [];
    this.#reports.clear();
    this.#disarmRenewal();
    this.#enlistment?.leave();
    this.#line = undefined;
    if (this.#status !== "running") return;
    if (error instanceof QuaysideError && error.code === "closed") {
      this.#leave();
      return;
    }
    try {
      await this.#enlist();
      this.#look = true;
    } catch (cause) {
      this.#reporter.fault(cause);
      this.#leave();
    }
  }

  async #end(timeoutMs: number): Promise<void> {
    this.#status = "stopping";
    this.#disarm();
    if (timeoutMs > 0) await this.#waiting.until(() => this.#running.size === 0, timeoutMs);
    for (const attempt of this.#running) attempt.stop();
    if (this.#line) this.#line.leaving = true;
    this.#line?.hurry();
    await this.#waiting.until(() => this.#live().length === 0);
    while (this.#looping) await this.#looping;
    if (this.#line) await this.#round(true);
    if (this.#hooks.running > 0)
      await this.#waiting.until(() => this.#hooks.running === 0, Math.max(timeoutMs, DEFAULTS.graceMs));
    this.#leave();
  }

  #leave(): void {
    this.#unwatch();
    this.#share?.leave();
    this.#disarm();
    this.#disarmRenewal();
    this.#disarmProgress?.();
    this.#disarmProgress = undefined;
    this.#enlistment?.leave();
    this.#line = undefined;
    this.#status = "stopped";
    this.#notice();
  }

  /** Nothing left to do: tells those who wait for it. */
  #settleDown(): void {
    if (this.#idle || this.#due || this.#running.size + this.#hooks.running > 0 || this.#status !== "running") return;
    // Other workers have all the room: it has not seen yet whether there is work.
    if (this.#look && this.#quota > 0) return;
    this.#idle = true;
    this.#events.emit("idle", {});
    this.#notice();
    if (this.#quota <= 0 && this.#options.maxJobs !== undefined) void this.stop();
  }

  #untilIdle(): Promise<void> {
    this.#idle = false;
    this.wake();
    return this.#waiting.until(() => this.#idle || this.#status === "stopped");
  }

  #notice(): void {
    this.#waiting.ask();
    this.#pump();
  }
}
