import { type Clock, systemClock } from "../engine/clock.ts";
import type { Connectivity, Driver } from "../engine/driver.ts";
import type { Settlement } from "../engine/verbs.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { Emitter } from "../job/emitter.ts";
import { fromStoredError, isA, LeaseLostError, QuaysideError } from "../job/errors.ts";
import type { HandlerContext, JobRequest, PublishRequest } from "../job/handler.ts";
import { checkName } from "../job/job-keys.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import { LIMITS } from "../job/limits.ts";
import { callable, fields, integer, list, positiveMs } from "../job/option-checks.ts";
import type { RetryPolicy } from "../job/retry.ts";
import type { Attempt } from "./attempt.ts";
import type { JobBudget } from "./claims.ts";
import { Slots } from "./shared-slots.ts";

/** Most jobs at once where the user does not say. */
export const CONCURRENCY = 10;

/** A queue as its worker sees it: how its jobs run. */
export interface WorkerQueue<Ctx extends object = object> {
  readonly name: string;
  /** At most so many of this queue at once, within the worker's concurrency. */
  readonly concurrency?: number | undefined;
  /** The job names it can run, asked at every claim; absent: all. */
  readonly names?: (() => readonly string[]) | undefined;
  readonly run: Run<Ctx>;
  /** Runs something else in place of its handlers: with the job decrypted, and what it answers encrypted. */
  readonly around?: ((job: JobRecord, ctx: HandlerContext & Ctx, handle: Run<Ctx>) => unknown) | undefined;
  /** Returns the functions that decide, beside the stored options, whether and when a job is tried again. */
  readonly policy?: ((job: JobRecord) => RetryPolicy | undefined) | undefined;
  /** Called once a job has failed for good, here or under a worker that is gone; what it throws is an `error` event. */
  readonly onFailed?: ((job: JobRecord, error: unknown) => unknown) | undefined;
  /** Of the worker, where its own option of this name is absent and this is its first queue. */
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  /** For the jobs of this queue, where the worker's own option of this name is absent; fields of the worker's `ctx` go first. */
  readonly ctx?: object | undefined;
  readonly producer?: Producer | undefined;
  readonly telemetry?: AttemptTracer | undefined;
  readonly metrics?: AttemptMeter | undefined;
  /** Gets the events that concern this queue, too. */
  readonly events?: Emitter<WorkerEvents> | undefined;
  /** Workers that are started: they look for work when a handler is added. */
  readonly workers?: Set<{ wake(): void }> | undefined;
}

/** Options of `JobWorker`. */
export interface JobWorkerOptions<Ctx extends object = object> {
  /** The queues to work. Every claim begins with another one, so that none starves. */
  readonly queues: readonly WorkerQueue<Ctx>[];
  /**
   * Jobs at once, over all queues: integer from 1 to 10,000. Default 10. Each queue may have a lower number of its
   * own.
   */
  readonly concurrency?: number | undefined;
  /**
   * Jobs claimed ahead, beyond `concurrency`: integer from 0 to 10,000. Default 0. A free slot then starts its next
   * job at once, and exchanges are fewer and larger. Jobs that are claimed ahead wait where no other worker can take
   * them, before jobs that are added later with a higher priority, and a crash counts as an interruption for them.
   * Jobs of a group, of a queue with a rate limit or `maxActive`, and jobs with a `maxInterruptions` of 1 or 2 are
   * never claimed ahead.
   */
  readonly prefetch?: number | undefined;
  /**
   * How long a claim holds without renewal, from 100 ms. Default 30 s. The worker renews it at a third of that. A
   * worker that cannot reach its store for this long aborts its handlers.
   */
  readonly lease?: Duration | undefined;
  /** A label for people, of 1 to 256 characters; it need not be unique. Default none. */
  readonly name?: string | undefined;
  /** Jobs to run before the worker stops: integer from 1. Default: no limit. */
  readonly maxJobs?: number | undefined;
  /**
   * Looks for work at least this often while idle, for a driver whose `watch` may miss changes. Default: only at
   * changes and when a job is due.
   */
  readonly sleep?: Duration | undefined;
  /**
   * Fields that are added to the `ctx` of every handler. Default none. Fields with the same name go before those of a
   * queue.
   */
  readonly ctx?: Ctx | undefined;
  /** Makes `ctx.enqueue` and `ctx.publish` work. Default: that of the queue. */
  readonly producer?: Producer | undefined;
  /**
   * The state of the network, for jobs with `requires: "network"`. Default: that of the driver; without one, online.
   */
  readonly connectivity?: Connectivity | undefined;
  /** @internal Room shared with other workers, in place of `concurrency`. */
  readonly slots?: Slots | undefined;
  /** @internal Jobs that several workers may claim together, in place of `maxJobs`. */
  readonly budget?: JobBudget | undefined;
  /** @internal Where to count and time attempts. */
  readonly metrics?: AttemptMeter | undefined;
  /** Opens a span for each attempt: `openTelemetry(tracer)`. Default: that of the queue. */
  readonly telemetry?: AttemptTracer | undefined;
  /** The clock of timeouts, leases and waits. Default: that of the first queue, else the system clock. */
  readonly clock?: Clock | undefined;
  /**
   * Returns a number in [0, 1), for jitter and the key of the worker. Default: that of the first queue, else
   * `Math.random`.
   */
  readonly random?: (() => number) | undefined;
  /** @internal The emitter of its events, where it is shared. */
  readonly events?: Emitter<WorkerEvents> | undefined;
  /** False: something else wakes the worker when a job falls due, such as an alarm of the platform. Default true. */
  readonly alarm?: boolean | undefined;
}

/** Options of `QueueWorker`, and of the worker that `queue.run` and `queue.drain` start. */
export type RunOptions<Ctx extends object = object> = Pick<
  JobWorkerOptions<Ctx>,
  "concurrency" | "prefetch" | "lease" | "name" | "maxJobs" | "sleep" | "ctx" | "alarm" | "connectivity"
>;

export const RUN_FIELDS = "concurrency prefetch lease name maxJobs sleep ctx alarm connectivity".split(" ");

/** Runs attempts within spans. */
export interface AttemptTracer {
  attempt(job: JobRecord, run: () => Promise<unknown>): Promise<unknown>;
}

/** The state of a worker. `stopping`: it waits for running handlers. */
export type WorkerStatus = "stopped" | "running" | "stopping";

/** Queues that are worked on one driver. */
export interface WorkPlace {
  readonly driver: Driver;
  readonly queues: readonly string[];
}

/** Events of a worker. `job` is the record as it was claimed. */
export interface WorkerEvents {
  readonly active: { readonly job: JobRecord };
  readonly completed: { readonly job: JobRecord; readonly result: unknown; readonly durationMs: number };
  /** Failed for good. */
  readonly failed: { readonly job: JobRecord; readonly error: unknown };
  /** Failed, and will be tried again. */
  readonly retrying: { readonly job: JobRecord; readonly error: unknown; readonly delayMs: number };
  readonly released: { readonly job: JobRecord; readonly delayMs: number };
  readonly cancelled: { readonly job: JobRecord };
  readonly progress: { readonly job: JobRecord; readonly progress: Json };
  readonly log: { readonly job: JobRecord; readonly line: string };
  /** Taken back from a worker that is gone; `failed` when it was interrupted too often. */
  readonly stalled: { readonly job: JobRecord };
  /**
   * A handler ignores its signal: its attempt was settled without it, `durationMs` after it began. Until it returns it
   * keeps its slot here, but the limits of its queue and group count it no longer.
   */
  readonly stuck: { readonly job: JobRecord; readonly durationMs: number };
  /** Nothing runs and nothing is due. */
  readonly idle: Record<never, never>;
  /**
   * Something went wrong beside the jobs: the store out of reach, a lease lost, a job of unknown name, a listener that
   * threw. Without a listener it is shown as an uncaught error is, or logged with `console.error` (Node).
   */
  readonly error: { readonly error: unknown };
}

export const WORKER_EVENTS = [
  "active",
  "completed",
  "failed",
  "retrying",
  "released",
  "cancelled",
  "progress",
  "log",
  "stalled",
  "stuck",
  "idle",
  "error",
] as const satisfies readonly (keyof WorkerEvents)[];

/** Whether an event concerns a queue: that of its job, else the one that its error names, else all. */
export function concerns(queue: string, event: { readonly job?: JobRecord; readonly error?: unknown }): boolean {
  const about = event.job?.queue ?? (isA(QuaysideError, event.error) ? event.error.details["queue"] : undefined);
  return about === undefined || about === queue;
}

/** The events of a worker: each is also an event of the queues that it concerns. */
class QueuesEmitter extends Emitter<WorkerEvents> {
  readonly #queues: readonly Pick<WorkerQueue, "name" | "events">[];

  constructor(queues: readonly Pick<WorkerQueue, "name" | "events">[]) {
    super();
    this.#queues = queues;
  }

  override emit<Name extends keyof WorkerEvents>(name: Name, event: WorkerEvents[Name]): boolean {
    let heard = super.emit(name, event);
    for (const queue of this.#queues)
      if (queue.events && concerns(queue.name, event)) heard = queue.events.emit(name, event) || heard;
    return heard;
  }
}

/** @throws {QuaysideError} `invalid_option` for an event that there is not, or a listener that is no function. */
export function checkListener(event: string, listener: unknown, isHandler = false): void {
  const isKnown = isHandler || (WORKER_EVENTS as readonly string[]).includes(event);
  if (isKnown && typeof listener === "function") return;
  const message = isKnown
    ? `on(${JSON.stringify(event)}) needs a function, got ${typeof listener}.`
    : `There is no event ${JSON.stringify(event)}. There are job:NAME for handlers, and ${WORKER_EVENTS.join(", ")}.`;
  throw new QuaysideError("invalid_option", message, { option: isKnown ? "listener" : "event" });
}

/** Runs a job's handlers: gets the job as stored, returns the result. */
export type Run<Ctx extends object = object> = (job: JobRecord, ctx: HandlerContext & Ctx) => unknown;

/** Adds jobs for a handler, seen from the job that it runs. */
export interface Producer {
  enqueue(request: JobRequest, from: JobRecord): Promise<string>;
  publish(request: PublishRequest, from: JobRecord): Promise<readonly string[]>;
}

/** An attempt that has ended, on its way to the store. */
export interface Settled {
  readonly attempt: Attempt;
  readonly settlement: Settlement;
  readonly end: AttemptEnd;
  readonly durationMs: number;
}

/** The handler's result, or the error that it threw or was interrupted by. */
export interface AttemptEnd {
  readonly error?: unknown;
  readonly result?: unknown;
}

/** Receives what happens in an attempt. */
export interface AttemptListener {
  /** The attempt has ended, or its grace is over: its worker sends this. At most once, and not after `lose`. */
  settled(settled: Settled): void;
  /** The handler has returned: its slot is free. Exactly once. */
  returned(attempt: Attempt): void;
  progressed(attempt: Attempt, value: Json): void;
  logged(attempt: Attempt, line: string): void;
  /** The handler has not returned within the grace after its signal was aborted. Once. */
  stuck(attempt: Attempt, durationMs: number): void;
  /** Something went wrong beside the job. */
  fault(error: unknown): void;
}

/** Options of a worker, checked and with their defaults. */
export interface WorkerSettings<Ctx extends object> extends JobWorkerOptions<Ctx> {
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: Emitter<WorkerEvents>;
  readonly slots: Slots;
  readonly prefetch: number;
  readonly sleepMs: number;
  readonly leaseMs: number;
}

/** @throws {QuaysideError} `invalid_option` naming the option that is wrong. */
export function resolveOptions<Ctx extends object>(options: JobWorkerOptions<Ctx>): WorkerSettings<Ctx> {
  for (const queue of list(fields(options, "options").queues, "queues")) {
    checkName(fields(queue, "queues").name, "queue name");
    callable(queue.run, "run");
    if (queue.concurrency !== undefined) integer(queue.concurrency, 1, LIMITS.claim, "concurrency");
  }
  const { name, maxJobs, sleep } = options;
  const [first] = options.queues;
  const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency");
  if (name !== undefined) checkName(name, "name");
  if (maxJobs !== undefined) integer(maxJobs, 1, Number.MAX_SAFE_INTEGER, "maxJobs");
  return {
    ...options,
    clock: options.clock ?? first?.clock ?? systemClock,
    random: options.random ?? first?.random ?? Math.random,
    events: options.events ?? new QueuesEmitter(options.queues),
    slots: options.slots ?? new Slots(concurrency),
    prefetch: integer(options.prefetch ?? 0, 0, LIMITS.claim, "prefetch"),
    sleepMs: sleep === undefined ? Number.POSITIVE_INFINITY : toMs(sleep, "sleep"),
    leaseMs: positiveMs(options.lease ?? DEFAULTS.leaseMs, "lease", 100),
  };
}

/** Counts and times attempts. */
export interface AttemptMeter {
  record(job: JobRecord, outcome: AttemptOutcome, runMs?: number): void;
}

export type AttemptOutcome = "processed" | "failed" | "retried" | "released" | "cancelled";

export interface ReporterOptions {
  readonly events: Emitter<WorkerEvents>;
  /** Where to count and time the attempts of a job. */
  readonly metricsOf: (job: JobRecord) => AttemptMeter | undefined;
  /** Runs the `onFailed` of the job's definition. */
  readonly onFailed: (job: JobRecord, error: unknown) => void;
}

/** Emits events for what the store has accepted, and counts it. */
export class Reporter {
  processedCount = 0;
  failedCount = 0;
  readonly #options: ReporterOptions;
  /** Queues and names that were reported. */
  readonly #unknown = new Set<string>();

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  settled({ attempt: { job }, settlement, end, durationMs }: Settled): void {
    const { events, metricsOf } = this.#options;
    const metrics = metricsOf(job);
    const { outcome } = settlement;
    if (outcome === "completed") {
      this.processedCount++;
      metrics?.record(job, "processed", durationMs);
      events.emit("completed", { job, result: end.result, durationMs });
    } else if (outcome !== "failed") {
      metrics?.record(job, outcome, durationMs);
      if (outcome === "released") events.emit("released", { job, delayMs: settlement.delayMs });
      else events.emit("cancelled", { job });
    } else if (settlement.retryMs !== undefined) {
      metrics?.record(job, "retried", durationMs);
      events.emit("retrying", { job, error: end.error, delayMs: settlement.retryMs });
    } else this.#failed(job, end.error, durationMs);
  }

  stalled(job: JobRecord): void {
    this.#options.events.emit("stalled", { job });
    if (job.state === "failed") this.#failed(job, job.error && fromStoredError(job.error));
  }

  /** Reports each name once; without a name, that there is no handler at all. */
  unknown(queue: string, name?: string): void {
    const key = JSON.stringify([queue, name]);
    if (this.#unknown.has(key)) return;
    this.#unknown.add(key);
    const message =
      name === undefined
        ? `This worker of queue ${queue} has no handler: it runs nothing until one is registered.`
        : `Queue ${queue} holds jobs named ${JSON.stringify(name)}: they wait for a worker that has a handler for them.`;
    this.fault(new QuaysideError("unknown_job", message, { queue, name }));
  }

  lost({ job }: Attempt): void {
    this.fault(new LeaseLostError(job.id));
  }

  fault(error: unknown): void {
    this.#options.events.fault(error);
  }

  #failed(job: JobRecord, error: unknown, runMs?: number): void {
    const { events, metricsOf, onFailed } = this.#options;
    this.failedCount++;
    metricsOf(job)?.record(job, "failed", runMs);
    events.emit("failed", { job, error });
    onFailed(job, error);
  }
}
