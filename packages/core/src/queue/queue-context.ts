import { type Clock, systemClock } from "../engine/clock.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { refused } from "../job/errors.ts";
import type { Middleware } from "../job/handler.ts";
import { definitionsOf, type JobMap } from "../job/job-map.ts";
import type { JobDefaults } from "../job/job-options.ts";
import { able, callables, integer } from "../job/option-checks.ts";
import { EVERY_OPTION } from "../plugins/all-options.ts";
import type { WorkerQueue } from "../worker/options-and-events.ts";
import type { Encryption } from "./encryption.ts";
import { JobPreparer } from "./job-preparer.ts";
import { JobRegistry } from "./job-registry.ts";
import { JobRunner } from "./job-runner.ts";
import { Metrics } from "./metrics.ts";
import type { Telemetry } from "./telemetry.ts";

/** Options that a queue and a manager share. */
export interface SharedOptions<Jobs extends JobMap = JobMap, Ctx extends object = object> {
  /** Job map with schemas and options, from `defineJobs`. */
  readonly jobs?: Jobs | undefined;
  /** Options of all jobs, unless the queue, the definition or the job says otherwise. */
  readonly defaults?: JobDefaults | undefined;
  /** Merged into the `ctx` of every handler and middleware. */
  readonly ctx?: Ctx | undefined;
  /** Runs around all handlers, outermost first. */
  readonly middleware?: readonly Middleware<Ctx>[] | undefined;
  /** Encrypts the jobs that are `encrypted`: `aesGcm({ keys, current })`. */
  readonly encryption?: Encryption | undefined;
  /** Spans for adds and attempts: `openTelemetry(tracer)`. */
  readonly telemetry?: Telemetry | undefined;
  /** Largest payload in bytes of JSON. Default 128 KiB. */
  readonly payloadLimit?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: (() => number) | undefined;
}

/** What the queues of a manager share, and a queue by itself has alone. */
export interface QueueContext {
  readonly clock: Clock;
  readonly random: (() => number) | undefined;
  readonly ctx: object | undefined;
  readonly telemetry: Telemetry | undefined;
  readonly registry: JobRegistry;
  readonly producer: JobPreparer;
  readonly runner: JobRunner;
  readonly metrics: Metrics;
}

export function makeQueueContext<Jobs extends JobMap, Ctx extends object>(
  options: SharedOptions<Jobs, Ctx>,
  defaultsOf: (queue: string) => JobDefaults | undefined = () => options.defaults,
): QueueContext {
  const { clock = systemClock, random, ctx, telemetry, encryption } = options;
  able(clock, "clock", "now");
  const middleware = callables(options.middleware ?? [], "middleware") as readonly Middleware[];
  const registry = new JobRegistry(options.jobs && definitionsOf(options.jobs));
  if (telemetry !== undefined) able(telemetry, "telemetry", "attempt");
  if (encryption !== undefined) able(encryption, "encryption", "seal");
  const payloadLimit = integer(options.payloadLimit ?? DEFAULTS.payloadLimitBytes, 1, 64 * 1024 * 1024, "payloadLimit");
  return {
    clock,
    random,
    ctx,
    telemetry,
    registry,
    producer: new JobPreparer({
      registry,
      clock,
      parsers: EVERY_OPTION,
      payloadLimit,
      encryption,
      telemetry,
      defaultsOf,
    }),
    runner: new JobRunner({ registry, encryption, middleware }),
    metrics: new Metrics(),
  };
}

const workerQueues = new WeakMap<object, WorkerQueue>();

/** Records how workers work a queue. A queue calls it once, while it is made. */
export function setWorkerQueue(queue: object, entry: WorkerQueue): void {
  workerQueues.set(queue, entry);
}

/**
 * Returns how a worker works this queue.
 *
 * @param concurrency at most so many of its jobs at once, within the worker's own concurrency.
 * @throws {QuaysideError} `invalid_option` when it is no `Queue`.
 */
export function workerQueueOf(queue: object, concurrency?: number): WorkerQueue {
  const entry = workerQueues.get(queue);
  if (!entry) throw refused("queues", "must be Queue objects", queue);
  return { ...entry, concurrency };
}
