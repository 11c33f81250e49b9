import type { Run } from "../attempt/attempt.ts";
import { Attempt, type AttemptListener, type AttemptOptions, type Settled } from "../attempt/attempt.ts";
import { Reports } from "../attempt/attempt-reports.ts";
import type { Network } from "../attempt/network-requirement.ts";
import type { AttemptTracer } from "../attempt/worker-events.ts";
import { Reporter } from "../attempt/worker-events.ts";
import type { RefusedPart } from "../engine/refused-part.ts";
import type { AttemptReport, ClaimedJob, ExchangeReply, Settlement } from "../engine/verbs.ts";
import { handlerScope } from "../job/handler-scope.ts";
import type { JobRecord } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import type { StoredError } from "../job/stored-error.ts";
import type { WorkerQueue } from "./worker-options.ts";

export interface AttemptsOptions<Ctx extends object> extends AttemptOptions {
  readonly queues: readonly WorkerQueue<Ctx>[];
}

export interface AttemptsListener {
  /** Called when an attempt must be settled, or an `onFailed` hook has returned. */
  changed(): void;
  /** Called when a handler has returned. */
  returned(): void;
  /** Called when progress and log lines must be sent. */
  reportsDue(): void;
}

/** The attempts of a worker: those that run, those that have ended and must be settled, and their reports. */
export class Attempts<Ctx extends object> implements AttemptListener {
  readonly reporter: Reporter;
  readonly #options: AttemptsOptions<Ctx>;
  readonly #listener: AttemptsListener;
  readonly #running = new Set<Attempt>();
  /** A scope for each running `onFailed` hook. */
  readonly #hooks = new Set<object>();
  /** Progress and log lines of attempts, to be sent with the next exchange. */
  readonly reports: Reports;
  #ended: Settled[] = [];
  /** Maximum number of attempts per exchange. Finite after a refusal until all are settled; claims pause meanwhile. */
  #most = Number.POSITIVE_INFINITY;
  /** Settlements that were sent and that no reply has confirmed yet. */
  #unsettled: readonly Settled[] = [];

  constructor(options: AttemptsOptions<Ctx>, listener: AttemptsListener) {
    this.#options = options;
    this.#listener = listener;
    this.reports = new Reports(options.clock, () => listener.reportsDue());
    this.reporter = new Reporter({
      events: options.events,
      metricsOf: (job) => this.#queueOf(job)?.metrics,
      onFailed: (job, error) => void this.#runHook(job, error),
    });
  }

  /** Number of handlers that have not returned. */
  get running(): number {
    return this.#running.size;
  }

  /** Number of `onFailed` hooks that have not returned. */
  get hooks(): number {
    return this.#hooks.size;
  }

  /** Attempts that still hold their jobs. */
  get live(): readonly Attempt[] {
    return [...this.#running].filter((attempt) => !attempt.over);
  }

  get haveEnded(): boolean {
    return this.#ended.length > 0;
  }

  /** Whether a refused exchange is sent in parts, in which no jobs are claimed. */
  get areDivided(): boolean {
    return this.#most < Number.POSITIVE_INFINITY;
  }

  /** Tokens of the attempts that hold their jobs: running ones, and ended ones that are to be settled. */
  get tokens(): readonly string[] {
    return [...this.live, ...this.#ended.map(({ attempt }) => attempt)].map(({ token }) => token);
  }

  runningOf(queue: string): number {
    return [...this.#running].filter(({ job }) => job.queue === queue).length;
  }

  /** Returns whether a scope belongs to a handler or `onFailed` hook that has not returned. */
  has(scope: object | undefined): boolean {
    return this.#running.has(scope as Attempt) || this.#hooks.has(scope as object);
  }

  start(jobs: readonly ClaimedJob[]): void {
    const { events, network } = this.#options;
    for (const claimed of jobs) {
      const { job } = claimed;
      const queue = this.#queueOf(job) as WorkerQueue<Ctx>;
      const attempt = new Attempt(claimed, queue, this, this.#options);
      this.#running.add(attempt);
      events.emit("active", { job });
      const run = queue.run as Run;
      const online = job.requires === "network" ? network : undefined;
      attempt.start(online || queue.telemetry ? around(run, online, queue.telemetry) : run);
    }
  }

  /** Removes and returns the first attempts to settle, as many as fit into one exchange, and the reports to send. */
  takeEnded(): { readonly ended: readonly Settled[]; readonly reports: readonly AttemptReport[] } {
    const ended = this.#ended;
    let bytes = 0;
    let count = 0;
    for (const { attempt, settlement } of ended) {
      bytes += bytesOf(settlement) + this.reports.bytesOf(attempt.token);
      if (count >= this.#most || (count > 0 && bytes > LIMITS.exchangeBytes)) break;
      count++;
    }
    this.#ended = ended.slice(count);
    const taken = ended.slice(0, count);
    return { ended: taken, reports: this.reports.take(taken.map(({ attempt }) => attempt.token)) };
  }

  /**
   * Puts back the attempts and reports of a refused exchange, to be sent first. The next exchange has at most as many
   * settlements as `settle`, so that the refused one is found. If the exchange had one settlement, that is the refused
   * one, and `failure` replaces it.
   */
  restore(ended: readonly Settled[], { settle, progress, failure }: RefusedPart): void {
    const [settlement] = settle;
    this.#most = Math.max(1, settle.length);
    const failed = failure && settlement ? { settlement, end: { error: failure } } : {};
    this.#ended = [...ended.map((one) => ({ ...one, ...failed })), ...this.#ended];
    this.reports.restore(progress);
  }

  /** Applies the reply to an exchange that sent the settlements of `ended`. */
  apply(reply: ExchangeReply, ended: readonly Settled[]): void {
    const { interrupted, unknown, troubles = [], settled } = reply;
    const { reporter } = this;
    const lost = new Set(reply.lost);
    const cancelled = new Set(reply.cancel);
    for (const attempt of this.live) {
      if (lost.has(attempt.token)) this.#lose(attempt);
      else if (cancelled.has(attempt.token)) attempt.cancel();
    }
    this.#unsettled = this.#unsettled.concat(ended).filter((one) => {
      const { token } = one.attempt;
      const stored = settled?.get(token);
      if (stored === null) return true;
      if (lost.has(token)) reporter.lost(one.attempt);
      else reporter.settled({ ...one, ...stored });
      return false;
    });
    for (const job of interrupted) reporter.stalled(job);
    for (const { queue, name } of unknown)
      if (!this.#queueNamed(queue)?.isBatched?.(name)) reporter.unknownName(queue, name);
    for (const error of troubles) this.#options.events.fault(error);
    this.#most = this.haveEnded ? this.#most * 2 : Number.POSITIVE_INFINITY;
  }

  /** Interrupts all attempts, because the worker's stop timeout has passed. */
  stop(): void {
    for (const attempt of this.#running) attempt.stop();
  }

  /** Interrupts all attempts without a grace period. */
  abortNow(): void {
    for (const attempt of this.live) attempt.abortNow();
  }

  /** Reports unconfirmed settlements as lost, because the worker ends. */
  close(): void {
    this.#loseUnsettled();
    this.reports.close();
    this.#most = Number.POSITIVE_INFINITY;
  }

  #loseUnsettled(): void {
    for (const { attempt } of this.#unsettled) this.reporter.lost(attempt);
    this.#unsettled = [];
  }

  /**
   * Ends all attempts, including those in `sent` whose settlements are not confirmed: other workers may have their
   * jobs.
   */
  loseAll(sent: readonly Settled[]): void {
    this.#loseUnsettled();
    for (const { attempt } of [...sent, ...this.#ended]) this.reporter.lost(attempt);
    for (const attempt of this.live) this.#lose(attempt);
    this.#ended = [];
    this.reports.clear();
  }

  settled(settled: Settled): void {
    this.#ended.push(settled);
    this.#listener.changed();
  }

  returned(attempt: Attempt): void {
    this.#running.delete(attempt);
    this.#listener.returned();
  }

  reported({ token }: Attempt, report: Partial<AttemptReport>): void {
    this.reports.add(token, report);
  }

  #queueOf({ queue }: JobRecord): WorkerQueue<Ctx> | undefined {
    return this.#queueNamed(queue);
  }

  #queueNamed(queue: string): WorkerQueue<Ctx> | undefined {
    return this.#options.queues.find(({ name }) => name === queue);
  }

  #lose(attempt: Attempt): void {
    attempt.lose();
    this.reporter.lost(attempt);
  }

  async #runHook(job: JobRecord, error: unknown): Promise<void> {
    const scope = {};
    this.#hooks.add(scope);
    try {
      await handlerScope.run(scope, () => this.#queueOf(job)?.onFailed?.(job, error));
    } catch (cause) {
      this.#options.events.fault(cause);
    } finally {
      this.#hooks.delete(scope);
      this.#listener.changed();
    }
  }
}

/**
 * Returns the approximate number of bytes of a settlement in an exchange. Its texts are JSON within JSON, so quotes are
 * doubled.
 */
function bytesOf(settlement: Settlement): number {
  const { result = "", error } = settlement as {
    readonly result?: string | undefined;
    readonly error?: StoredError | undefined;
  };
  return 200 + 2 * (result.length + (error ? error.message.length + (error.stack?.length ?? 0) : 0));
}

function around(handle: Run, network: Network | undefined, telemetry: AttemptTracer | undefined): Run {
  const run: Run = network ? (job, context) => network.run(job, () => handle(job, context)) : handle;
  return telemetry ? (job, context) => telemetry.attempt(job, async () => run(job, context)) : run;
}
