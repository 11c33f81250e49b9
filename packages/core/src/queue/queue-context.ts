import { checkCtx, type Producer } from "../attempt/handler-context.ts";
import type { WorkerEvents } from "../attempt/worker-events.ts";
import type { Clock } from "../engine/clock.ts";
import type { Driver } from "../engine/driver.ts";
import * as DEFAULTS from "../job/defaults.ts";
import type { Emitter } from "../job/emitter.ts";
import { refused } from "../job/errors.ts";
import type { Middleware } from "../job/handler.ts";
import { definitionsOf } from "../job/job-map.ts";
import type { JobDefaults, OptionParsers } from "../job/job-options.ts";
import type { JobMap } from "../job/job-types.ts";
import { able, callables, integer } from "../job/option-checks.ts";
import type { Encryption } from "./encryption.ts";
import type { addFlowOf } from "./flow-builder.ts";
import { JobRegistry } from "./job-registry.ts";
import type { JobSubmitter } from "./job-submitter.ts";
import type { Metrics } from "./metrics.ts";
import type { Telemetry } from "./telemetry.ts";

/** Options of both a queue and a manager. */
export interface SharedOptions<Jobs extends JobMap = JobMap, Ctx extends object = object> {
  /**
   * The job map from `defineJobs`: schemas, options and functions of each job. Default: any job name and any JSON
   * payload.
   */
  readonly jobs?: Jobs | undefined;
  /**
   * Default options of all jobs. Options of a manager's queue, of a definition and of a job take precedence, one by
   * one. Default: none.
   */
  readonly defaults?: JobDefaults | undefined;
  /** Fields added to the `ctx` of every handler and middleware. Default: none. */
  readonly ctx?: Ctx | undefined;
  /**
   * Middleware around every attempt, the first one outermost. Middleware that `queue.use` or a definition adds runs
   * inside. Default: none.
   */
  readonly middleware?: readonly Middleware<Ctx>[] | undefined;
  /**
   * Encrypts jobs with the option `encrypted`: `aesGcm({ keys, current })`. Default: none; adding such jobs fails with
   * `missing_key`, and a worker releases them.
   */
  readonly encryption?: Encryption | undefined;
  /** Creates spans for adds and attempts: `openTelemetry(tracer)`. Default: none. */
  readonly telemetry?: Telemetry | undefined;
  /**
   * Maximum bytes of a payload as JSON: integer from 1 to 67,108,864 (64 MiB). Default: 131,072 (128 KiB). Adding a
   * larger one fails. An HTTP API has a limit of its own: `ApiLimits.payloadBytes`.
   */
  readonly payloadLimit?: number | undefined;
  /**
   * The clock of delays, timeouts and waits in this process, for tests. Default: the clock that was passed to the
   * driver, else the system clock.
   */
  readonly clock?: Clock | undefined;
  /**
   * Returns a number in [0, 1), for jitter and worker keys. Default: `Math.random`; a seeded function repeats a run.
   */
  readonly random?: (() => number) | undefined;
}

/** Settings and state of a queue. The queues of a manager share one context. */
export interface QueueContext {
  /** The clock of the queue's delays and timeouts. Absent: the system clock. */
  readonly clock: Clock | undefined;
  readonly random: (() => number) | undefined;
  readonly ctx: object | undefined;
  readonly encryption: Encryption | undefined;
  readonly telemetry: Telemetry | undefined;
  readonly payloadLimit: number;
  /** Parsers of the known job options. */
  readonly parsers: OptionParsers;
  /** Returns the default options of a queue's jobs. */
  readonly defaultsOf: ((queue: string) => JobDefaults | undefined) | undefined;
  readonly registry: JobRegistry;
  /** Middleware, the outermost first. */
  readonly middleware: readonly Middleware[];
  /** Middleware that `queue.use` has added, by queue. It runs inside the shared middleware. */
  readonly used: Map<string, readonly Middleware[]>;
  readonly metrics: Metrics | undefined;
  /** Adds the flows of `ctx.addFlow`. Absent in the preset without flows. */
  readonly addFlow: typeof addFlowOf | undefined;
}

/** The parts of a context that differ between presets, and between a manager's queues and other queues. */
type OwnParts = Pick<QueueContext, "parsers"> &
  Partial<Pick<QueueContext, "metrics" | "defaultsOf" | "registry" | "addFlow">>;

export function makeQueueContext<Jobs extends JobMap, Ctx extends object>(
  options: SharedOptions<Jobs, Ctx>,
  driver: Driver | undefined,
  own: OwnParts,
): QueueContext {
  const { random, ctx, telemetry, encryption } = options;
  // A driver of a store in this process shows the clock that it was made with.
  const clock = options.clock ?? (driver as { readonly clock?: Clock | undefined } | undefined)?.clock;
  if (clock !== undefined) able(clock, "clock", "now");
  if (ctx !== undefined) checkCtx(ctx);
  const middleware = callables(options.middleware ?? [], "middleware") as readonly Middleware[];
  const registry =
    own.registry ?? new JobRegistry(options.jobs !== undefined ? definitionsOf(options.jobs) : undefined);
  if (telemetry !== undefined) able(telemetry, "telemetry", "attempt");
  if (encryption !== undefined) able(encryption, "encryption", "seal");
  const payloadLimit = integer(options.payloadLimit ?? DEFAULTS.payloadLimitBytes, 1, 64 * 1024 * 1024, "payloadLimit");
  return {
    clock,
    random,
    ctx,
    encryption,
    telemetry,
    payloadLimit,
    defaultsOf: options.defaults && (() => options.defaults),
    metrics: undefined,
    addFlow: undefined,
    ...own,
    registry,
    middleware,
    used: new Map(),
  };
}

/** The internal parts of a queue, for functions outside of its class, such as `addFlow`. */
export interface QueueParts {
  readonly context: QueueContext;
  readonly submitter: JobSubmitter;
  /**
   * Adds the jobs of `ctx.enqueue`, `ctx.publish` and `ctx.addFlow` for the handlers of this queue. Default: the queue's submitter.
   */
  readonly producer?: Producer | undefined;
  /** Receives the events of workers that concern this queue. */
  readonly events?: Emitter<WorkerEvents> | undefined;
  /** Started workers of this queue. They check for jobs when a handler is added. */
  readonly workers: Set<{ wake(): void }>;
  /** Stores what the queue's definition declares. Called before a worker's first exchange. */
  readonly declare?: (() => Promise<void>) | undefined;
}

const partsOfQueues = new WeakMap<object, QueueParts>();

/** Stores the parts of a queue. Called once, by its constructor. */
export function setParts(queue: object, parts: QueueParts): void {
  partsOfQueues.set(queue, parts);
}

/**
 * Returns the parts of a queue.
 *
 * @throws {QuaysideError} `invalid_option` if it is not a `Queue`.
 */
export function partsOf(queue: object): QueueParts {
  const parts = partsOfQueues.get(queue);
  if (!parts) throw refused("queues", "must be Queue objects, no proxies of them", queue);
  return parts;
}
