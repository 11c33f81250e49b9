import { type Clock, systemClock } from "../engine/clock.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { refused } from "../job/errors.ts";
import type { Middleware } from "../job/handler.ts";
import { definitionsOf, type JobMap } from "../job/job-map.ts";
import type { JobDefaults, OptionParsers } from "../job/job-options.ts";
import { able, callables, integer } from "../job/option-checks.ts";
import type { Producer, WorkerQueue } from "../worker/options-and-events.ts";
import type { Encryption } from "./encryption.ts";
import { JobRegistry } from "./job-registry.ts";
import { JobRunner } from "./job-runner.ts";
import type { JobSubmitter } from "./job-submitter.ts";
import type { Metrics } from "./metrics.ts";
import type { Telemetry } from "./telemetry.ts";

/** Options that a queue and a manager share. */
export interface SharedOptions<Jobs extends JobMap = JobMap, Ctx extends object = object> {
  /**
   * The job map from `defineJobs`: schemas, options and functions of each job. Default: any name and any JSON
   * payload.
   */
  readonly jobs?: Jobs | undefined;
  /**
   * Options of all jobs. Those of a manager's queue, of a definition and of a job go before them, option by option.
   * Default none.
   */
  readonly defaults?: JobDefaults | undefined;
  /** Fields that are added to the `ctx` of every handler and middleware. Default none. */
  readonly ctx?: Ctx | undefined;
  /**
   * Functions that run around every attempt, the first one outermost; those of `queue.use` and of a definition run
   * inside. Default none.
   */
  readonly middleware?: readonly Middleware<Ctx>[] | undefined;
  /**
   * Encrypts the jobs that are `encrypted`: `aesGcm({ keys, current })`. Default none; such jobs are then refused
   * with `missing_key`, and a worker gives them back.
   */
  readonly encryption?: Encryption | undefined;
  /** Makes spans for adds and attempts: `openTelemetry(tracer)`. Default none. */
  readonly telemetry?: Telemetry | undefined;
  /**
   * Largest payload in bytes of JSON: integer from 1 to 67,108,864 (64 MiB). Default 131,072 (128 KiB). Larger ones
   * are refused when adding. An HTTP API has a limit of its own: `ApiLimits.payloadBytes`.
   */
  readonly payloadLimit?: number | undefined;
  /**
   * The clock of delays, timeouts and waits in this process; for tests, a manual one. Default: the system clock. The
   * store has its own.
   */
  readonly clock?: Clock | undefined;
  /**
   * Returns a number in [0, 1), for jitter and keys of workers. Default `Math.random`; a seeded function repeats a
   * run.
   */
  readonly random?: (() => number) | undefined;
}

/** The parts that the queues of a manager share. A queue that no manager made has its own. */
export interface QueueContext {
  readonly clock: Clock;
  readonly random: (() => number) | undefined;
  readonly ctx: object | undefined;
  readonly encryption: Encryption | undefined;
  readonly telemetry: Telemetry | undefined;
  readonly payloadLimit: number;
  /** The job options that there are. */
  readonly parsers: OptionParsers;
  /** Options of all jobs of a queue, unless definition or job says otherwise. */
  readonly defaultsOf: (queue: string) => JobDefaults | undefined;
  readonly registry: JobRegistry;
  readonly runner: JobRunner;
  readonly metrics: Metrics | undefined;
}

/** The parts that a preset adds to the kernel of a queue. */
export interface QueueFeatures {
  readonly parsers: OptionParsers;
  readonly metrics?: Metrics;
}

export function makeQueueContext<Jobs extends JobMap, Ctx extends object>(
  options: SharedOptions<Jobs, Ctx>,
  { parsers, metrics }: QueueFeatures,
  defaultsOf: (queue: string) => JobDefaults | undefined = () => options.defaults,
): QueueContext {
  const { clock = systemClock, random, ctx, telemetry, encryption } = options;
  able(clock, "clock", "now");
  const middleware = callables(options.middleware ?? [], "middleware") as readonly Middleware[];
  const registry = new JobRegistry(options.jobs && definitionsOf(options.jobs));
  if (telemetry !== undefined) able(telemetry, "telemetry", "attempt");
  if (encryption !== undefined) able(encryption, "encryption", "seal");
  const payloadLimit = integer(options.payloadLimit ?? DEFAULTS.payloadLimitBytes, 1, 64 * 1024 * 1024, "payloadLimit");
  const runner = new JobRunner({ registry, encryption, middleware });
  return {
    clock,
    random,
    ctx,
    encryption,
    telemetry,
    payloadLimit,
    parsers,
    defaultsOf,
    registry,
    runner,
    metrics,
  };
}

/** The parts of a queue, for the functions that work with it. */
export interface QueueParts {
  readonly context: QueueContext;
  readonly submitter: JobSubmitter;
  /** Adds jobs for the handlers of this queue. Default: the submitter. */
  readonly producer?: Producer;
}

const partsOfQueues = new WeakMap<object, QueueParts & { readonly worked: WorkerQueue }>();

/** Records what a queue is made of, and how workers work it. A queue calls it once, while it is made. */
export function setParts(queue: object, parts: QueueParts, worked: WorkerQueue): void {
  partsOfQueues.set(queue, { ...parts, worked });
}

/** @throws {QuaysideError} `invalid_option` when it is no `Queue`. */
export function partsOf(queue: object): QueueParts & { readonly worked: WorkerQueue } {
  const parts = partsOfQueues.get(queue);
  if (!parts) throw refused("queues", "must be Queue objects", queue);
  return parts;
}

/**
 * Returns how a worker works this queue.
 *
 * @param concurrency at most so many of its jobs at once, within the worker's own concurrency.
 * @throws {QuaysideError} `invalid_option` when it is no `Queue`.
 */
export const workerQueueOf = (queue: object, concurrency?: number): WorkerQueue => ({
  ...partsOf(queue).worked,
  concurrency,
});
