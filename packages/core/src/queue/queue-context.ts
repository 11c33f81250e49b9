import type { Producer } from "../attempt/handler-context.ts";
import type { WorkerEvents } from "../attempt/worker-events.ts";
import type { Clock } from "../engine/clock.ts";
import * as DEFAULTS from "../job/defaults.ts";
import type { Emitter } from "../job/emitter.ts";
import { refused } from "../job/errors.ts";
import type { Middleware } from "../job/handler.ts";
import { definitionsOf, type JobMap } from "../job/job-map.ts";
import type { JobDefaults, OptionParsers } from "../job/job-options.ts";
import { able, callables, fields, integer } from "../job/option-checks.ts";
import type { Encryption } from "./encryption.ts";
import { JobRegistry } from "./job-registry.ts";
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

/** State that the queues of a manager share. A queue that no manager made has one of its own. */
export interface QueueContext {
  /** Absent: the system's. */
  readonly clock: Clock | undefined;
  readonly random: (() => number) | undefined;
  readonly ctx: object | undefined;
  readonly encryption: Encryption | undefined;
  readonly telemetry: Telemetry | undefined;
  readonly payloadLimit: number;
  /** The job options that there are. */
  readonly parsers: OptionParsers;
  /** Options of all jobs of a queue, unless definition or job says otherwise. */
  readonly defaultsOf: ((queue: string) => JobDefaults | undefined) | undefined;
  readonly registry: JobRegistry;
  /** Outermost first. */
  readonly middleware: readonly Middleware[];
  /** Middleware of single queues, inside the others: that of `queue.use`. */
  readonly used: Map<string, readonly Middleware[]>;
  readonly metrics: Metrics | undefined;
}

/** The parts of a context that differ between presets, and between a queue and a manager. */
type OwnParts = Pick<QueueContext, "parsers"> & Partial<Pick<QueueContext, "metrics" | "defaultsOf" | "registry">>;

export function makeQueueContext<Jobs extends JobMap, Ctx extends object>(
  options: SharedOptions<Jobs, Ctx>,
  own: OwnParts,
): QueueContext {
  const { clock, random, ctx, telemetry, encryption } = options;
  if (clock !== undefined) able(clock, "clock", "now");
  if (ctx !== undefined) fields(ctx, "ctx");
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
    ...own,
    registry,
    middleware,
    used: new Map(),
  };
}

/** The parts of a queue, for the functions that do something with a queue. */
export interface QueueParts {
  readonly context: QueueContext;
  readonly submitter: JobSubmitter;
  /** Adds jobs for the handlers of this queue. Default: the submitter. */
  readonly producer?: Producer;
  /** Gets the events of the workers of this queue that concern it. */
  readonly events?: Emitter<WorkerEvents>;
  /** Started workers that work this queue: they look for work when a handler is added. */
  readonly workers: Set<{ wake(): void }>;
}

const partsOfQueues = new WeakMap<object, QueueParts>();

/** Records what a queue is made of. A queue calls it once, while it is made. */
export function setParts(queue: object, parts: QueueParts): void {
  partsOfQueues.set(queue, parts);
}

/** @throws {QuaysideError} `invalid_option` when it is no `Queue`. */
export function partsOf(queue: object): QueueParts {
  const parts = partsOfQueues.get(queue);
  if (!parts) throw refused("queues", "must be Queue objects, no proxies of them", queue);
  return parts;
}
