import type { AttemptQueue, Run } from "../attempt/attempt.ts";
import type { Producer } from "../attempt/handler-context.ts";
import { type AttemptMeter, type AttemptTracer, QueuesEmitter, type WorkerEvents } from "../attempt/worker-events.ts";
import { type Clock, systemClock } from "../engine/clock.ts";
import type { Connectivity, Driver } from "../engine/driver.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { type Duration, toMs } from "../job/duration.ts";
import type { Emitter } from "../job/emitter.ts";
import type { HandlerContext } from "../job/handler.ts";
import { checkName } from "../job/job-keys.ts";
import type { JobRecord } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import { callable, fields, integer, list, positiveMs } from "../job/option-checks.ts";
import { type JobBudget, Slots } from "./claims.ts";

/** Most jobs at once where the user does not say. */
export const CONCURRENCY = 10;

/** A queue as its worker sees it: how its jobs run. */
export interface WorkerQueue<Ctx extends object = object> extends AttemptQueue {
  readonly name: string;
  /** At most so many of this queue at once, within the worker's concurrency. */
  readonly concurrency?: number | undefined;
  /** The job names it can run, asked at every claim; absent: all. */
  readonly names?: (() => readonly string[]) | undefined;
  readonly run: Run<Ctx>;
  /** Runs something else in place of its handlers: with the job decrypted, and what it answers encrypted. */
  readonly around?: ((job: JobRecord, ctx: HandlerContext & Ctx, handle: Run<Ctx>) => unknown) | undefined;
  /** Called once a job has failed for good, here or under a worker that is gone; what it throws is an `error` event. */
  readonly onFailed?: ((job: JobRecord, error: unknown) => unknown) | undefined;
  /** Of the worker, where its own option of this name is absent and this is its first queue. */
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
  /** Opens a span for each attempt. */
  readonly telemetry?: AttemptTracer | undefined;
  /** Counts and times attempts. */
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

/** The state of a worker. `stopping`: it waits for running handlers. */
export type WorkerStatus = "stopped" | "running" | "stopping";

/** Queues that are worked on one driver. */
export interface WorkPlace {
  readonly driver: Driver;
  readonly queues: readonly string[];
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
  for (const [index, queue] of list(fields(options, "options").queues, "queues").entries()) {
    checkName(fields(queue, "queues").name, "queue name");
    callable(queue.run, "run");
    if (queue.concurrency !== undefined) integer(queue.concurrency, 1, LIMITS.claim, `queues[${index}].concurrency`);
  }
  const { name, maxJobs, sleep, ctx } = options;
  const [first] = options.queues;
  const concurrency = integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency");
  if (name !== undefined) checkName(name, "name");
  if (ctx !== undefined) fields(ctx, "ctx");
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
