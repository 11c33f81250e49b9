import type { AttemptQueue, Run } from "../attempt/attempt.ts";
import { checkCtx, type Producer } from "../attempt/handler-context.ts";
import { type AttemptMeter, type AttemptTracer, QueuesEmitter, type WorkerEvents } from "../attempt/worker-events.ts";
import { type Clock, systemClock } from "../engine/clock.ts";
import type { Connectivity, Driver } from "../engine/driver.ts";
import type { BatchClaim } from "../engine/verbs.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import type { Emitter } from "../job/emitter.ts";
import type { HandlerContext } from "../job/handler.ts";
import { checkName } from "../job/job-keys.ts";
import type { JobRecord } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import { able, callable, fields, integer, list, positiveMs } from "../job/option-checks.ts";
import type { JobBudget } from "./claims.ts";
import { Slots } from "./slots.ts";

/** Default of `concurrency`. */
export const CONCURRENCY = 10;

/** A queue in the form that a worker uses, with the functions that run its jobs. */
export interface WorkerQueue<Ctx extends object = object> extends AttemptQueue {
  readonly name: string;
  /** Maximum number of this queue's jobs that run at once, within the worker's concurrency. */
  readonly concurrency?: number | undefined;
  /** Returns the job names with a handler, called at every claim. Absent: all names. */
  readonly names?: (() => readonly string[]) | undefined;
  /** Returns the batch to claim: see `ClaimQueue.batch`. Absent: single jobs. */
  readonly batch?: (() => BatchClaim) | undefined;
  /**
   * Called with names whose jobs this worker has blocked, because `names` lacks them. Returns whether another worker
   * claims these in batches; otherwise the name is reported as unknown.
   */
  readonly isBatched?: ((name: string) => boolean) | undefined;
  readonly run: Run<Ctx>;
  /** Runs a job in another way than by its handlers: calls `handle` with the decrypted job, and encrypts its result. */
  readonly around?: ((job: JobRecord, ctx: HandlerContext & Ctx, handle: Run<Ctx>) => unknown) | undefined;
  /**
   * Called once when a job has failed for good, in this worker or in a dead one whose jobs this worker recovered. An
   * error that it throws becomes an `error` event.
   */
  readonly onFailed?: ((job: JobRecord, error: unknown) => unknown) | undefined;
  /** Default for the option `clock` of the worker, if this is its first queue. `random` is used in the same way. */
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  /** Opens a span for each attempt. */
  readonly telemetry?: AttemptTracer | undefined;
  /** Counts and times attempts. */
  readonly metrics?: AttemptMeter | undefined;
  /** An emitter that also receives the worker's events that concern this queue. */
  readonly events?: Emitter<WorkerEvents> | undefined;
  /** Started workers of this queue. They check for jobs when a handler is added. */
  readonly workers?: Set<{ wake(): void }> | undefined;
  /** Stores what the queue's definition declares. Called as a session of the worker begins. */
  readonly declare?: (() => Promise<void>) | undefined;
}

/** Options of `JobWorker`. */
export interface JobWorkerOptions<Ctx extends object = object> {
  /** The queues to work. Successive claims begin with different queues. */
  readonly queues: readonly WorkerQueue<Ctx>[];
  /**
   * Maximum number of running jobs over all queues: integer from 1 to 10,000. Default: 10. Each queue may have a lower
   * limit.
   */
  readonly concurrency?: number | undefined;
  /**
   * Number of jobs claimed ahead, beyond `concurrency`: integer from 0 to 10,000. Default: 0. A free slot then starts
   * the next job at once, and exchanges are fewer and larger. A job that is claimed ahead cannot be run by other
   * workers, runs before jobs that are added later with a higher priority, and counts a crash of the worker as an
   * interruption. Jobs of a group, of a queue with a rate limit or `maxActive`, and jobs with a `maxInterruptions` of 1
   * or 2 are never claimed ahead.
   */
  readonly prefetch?: number | undefined;
  /**
   * Time after which a claim expires without renewal, from 100 ms. Default: 30 s. The worker renews it after a third. A
   * worker that cannot reach its store for this long aborts its handlers.
   */
  readonly lease?: Duration | undefined;
  /** Name of the worker for people, of 1 to 256 characters; need not be unique. Default: none. */
  readonly name?: string | undefined;
  /** Number of jobs to run before the worker stops: integer from 1. Default: no limit. */
  readonly maxJobs?: number | undefined;
  /**
   * Longest time between two claims while idle, for a driver whose `watch` may miss changes. Default: claims only at
   * changes and when a job is due.
   */
  readonly sleep?: Duration | undefined;
  /** Fields added to the `ctx` of every handler. They take precedence over those of a queue. Default: none. */
  readonly ctx?: Ctx | undefined;
  /** Adds the jobs of `ctx.enqueue`, `ctx.publish` and `ctx.addFlow`. Default: that of the queue. */
  readonly producer?: Producer | undefined;
  /**
   * The state of the network, for jobs with `requires: "network"`. Default: that of the driver; without one, online.
   */
  readonly connectivity?: Connectivity | undefined;
  /**
   * Slots shared with other workers, in place of `concurrency`.
   *
   * @internal
   */
  readonly slots?: Slots | undefined;
  /**
   * Number of jobs that several workers may claim together, in place of `maxJobs`.
   *
   * @internal
   */
  readonly budget?: JobBudget | undefined;
  /** The clock of timeouts, leases and waits. Default: that of the first queue, else the system clock. */
  readonly clock?: Clock | undefined;
  /**
   * Returns a number in [0, 1), for jitter and the worker's key. Default: that of the first queue, else `Math.random`.
   */
  readonly random?: (() => number) | undefined;
  /**
   * A shared emitter for the worker's events.
   *
   * @internal
   */
  readonly events?: Emitter<WorkerEvents> | undefined;
  /**
   * False if something else wakes the worker when a job becomes due, such as an alarm of the platform. Default: true.
   */
  readonly alarm?: boolean | undefined;
}

/** Options of `QueueWorker`, and of the worker that `queue.run` and `queue.drain` start. */
export type RunOptions<Ctx extends object = object> = Pick<
  JobWorkerOptions<Ctx>,
  "concurrency" | "prefetch" | "lease" | "name" | "maxJobs" | "sleep" | "ctx" | "alarm" | "connectivity"
>;

export const RUN_FIELDS = "concurrency prefetch lease name maxJobs sleep ctx alarm connectivity".split(" ");

/** The state of a worker. `stopping`: it waits for running handlers. */
export type WorkerStatus = "stopped" | "running" | "stopping";

/**
 * The states of a worker and the transitions between them. If several calls overlap, the last one decides (R34). An
 * event that a state does not list changes nothing.
 *
 * Calls: `start`, `stop`, `drain`, `process` (one job). Events: `drained` (the last drain has ended), `processed` (the
 * job of `process` has ended), `ended` (all handlers have returned after a stop), `lost` (the worker could not begin,
 * or its driver is closed).
 */
export const STATES = {
  stopped: { status: "stopped", start: "running", drain: "draining", process: "processing" },
  running: { status: "running", stop: "stopping", lost: "stopped" },
  draining: { status: "running", start: "running", stop: "stopping", drained: "stopping", lost: "stopped" },
  processing: { status: "running", start: "processingFirst", stop: "stopping", processed: "stopping", lost: "stopped" },
  /** The worker runs the job of `process`; `start` was called meanwhile. */
  processingFirst: { status: "running", stop: "stopping", processed: "restarting", lost: "stopped" },
  stopping: { status: "stopping", start: "restarting", ended: "stopped" },
  /** The worker is stopping; `start` was called meanwhile. */
  restarting: { status: "stopping", stop: "stopping", lost: "stopping", ended: "running" },
} as const satisfies Record<string, { readonly status: WorkerStatus } & Partial<Record<WorkerEvent, string>>>;

export type State = keyof typeof STATES;
/** The states of a stopping worker. */
export const ENDING: readonly State[] = ["stopping", "restarting"];
export type WorkerEvent = "start" | "stop" | "drain" | "drained" | "process" | "processed" | "ended" | "lost";

/** A driver, and the names of the queues that are worked on it. */
export interface WorkPlace {
  readonly driver: Driver;
  readonly queues: readonly string[];
}

/** The checked options of a worker, with defaults. */
export interface WorkerSettings<Ctx extends object> extends JobWorkerOptions<Ctx> {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: Emitter<WorkerEvents>;
  readonly slots: Slots;
  readonly prefetch: number;
  readonly sleepMs: number;
  readonly leaseMs: number;
}

/**
 * Checks the options of a worker and adds defaults.
 *
 * @throws {QuaysideError} `invalid_option` naming the wrong option.
 */
export function resolveOptions<Ctx extends object>(
  options: JobWorkerOptions<Ctx>,
  driver: Driver,
): WorkerSettings<Ctx> {
  for (const [index, queue] of list(fields(options, "options").queues, "queues").entries()) {
    checkName(fields(queue, "queues").name, "queue name");
    callable(queue.run, "run");
    if (queue.concurrency !== undefined) integer(queue.concurrency, 1, LIMITS.claim, `queues[${index}].concurrency`);
  }
  const { name, maxJobs, sleep, ctx, connectivity = driver.connectivity } = options;
  const [first] = options.queues;
  const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency");
  if (name !== undefined) checkName(name, "name");
  if (ctx !== undefined) checkCtx(ctx);
  if (connectivity) able(connectivity, "connectivity", "isOnline");
  if (maxJobs !== undefined) integer(maxJobs, 1, Number.MAX_SAFE_INTEGER, "maxJobs");
  return {
    ...options,
    driver,
    connectivity,
    clock: options.clock ?? first?.clock ?? systemClock,
    random: options.random ?? first?.random ?? Math.random,
    events: options.events ?? new QueuesEmitter(options.queues),
    slots: options.slots ?? new Slots(concurrency),
    prefetch: integer(options.prefetch ?? 0, 0, LIMITS.claim, "prefetch"),
    sleepMs: sleep === undefined ? Number.POSITIVE_INFINITY : toMs(sleep, "sleep"),
    leaseMs: positiveMs(options.lease ?? DEFAULTS.leaseMs, "lease", 100),
  };
}

/** Returns the driver and the queues of a worker. A manager adds queues to its workers later. */
export const placeOf = ({
  driver,
  queues,
}: Pick<WorkerSettings<object>, "driver"> & { readonly queues: readonly { readonly name: string }[] }): WorkPlace => ({
  driver,
  queues: queues.map(({ name }) => name),
});
