import type { Run } from "../attempt/attempt.ts";
import type { Producer } from "../attempt/handler-context.ts";
import { hasCode, QuaysideError } from "../job/errors.ts";
import type { Handler, HandlerContext, JobRequest, Middleware } from "../job/handler.ts";
import { type JobDefinition, validatePayload, validateResult } from "../job/job-map.ts";
import type { JobRecord } from "../job/job-record.ts";
import { fields, list } from "../job/option-checks.ts";
import type { JobDraft } from "../job/prepare-job.ts";
import { Release } from "../job/release-job.ts";
import type { RetryPolicy } from "../job/retry.ts";
import type { WorkerQueue } from "../worker/worker-options.ts";
import type { JobSubmitter } from "./job-submitter.ts";
import { partsOf, type QueueContext } from "./queue-context.ts";
import { missingKey, readable } from "./sealed-jobs.ts";

const runners = new WeakMap<QueueContext, JobRunner>();

/** Returns the runner of the queues that share this context. */
export function runnerOf(context: QueueContext): JobRunner {
  const runner = runners.get(context) ?? new JobRunner(context);
  runners.set(context, runner);
  return runner;
}

/**
 * Returns how a worker works this queue.
 *
 * @param concurrency at most so many of its jobs at once, within the worker's own concurrency.
 * @throws {QuaysideError} `invalid_option` when it is no `Queue`.
 */
export function workerQueueOf(queue: { readonly name: string }, concurrency?: number): WorkerQueue {
  const { context, submitter, producer = producerOf(context, submitter), events, workers } = partsOf(queue);
  const { clock, random, ctx, telemetry, metrics, registry } = context;
  const { name } = queue;
  const runner = runnerOf(context);
  return {
    name,
    concurrency,
    names: () => registry.names(name),
    run: (job, ctx) => runner.run(job, ctx),
    around: (job, ctx, handle) => runner.run(job, ctx, handle),
    policy: (job) => runner.policy(job),
    onFailed: (job, error) => runner.failed(job, error),
    clock,
    random,
    ctx,
    telemetry,
    metrics,
    producer,
    events,
    workers,
  };
}

/** Returns the part of `ctx` that adds jobs: to the queue of their definition, else to the queue of the running job. */
export function producerOf({ registry }: QueueContext, submitter: JobSubmitter): Producer {
  const draft = (job: JobRequest, from: JobRecord): JobDraft => {
    const { name, payload, queue, ...options } = fields(job, "job");
    return { queue: queue ?? registry.definition(name)?.queue ?? from.queue, name, payload, options };
  };
  return {
    enqueue: async (request, from) => submitter.addOne(draft(request, from)),
    async publish(job, from) {
      const { queues, ...request } = fields(job, "job");
      return submitter.add(list(queues, "queues").map((queue) => draft({ ...request, queue }, from)));
    },
  };
}

/** How a job runs: decrypted, through its middleware, checked, by its handlers, its result checked. */
export class JobRunner {
  readonly #options: QueueContext;
  readonly #byQueue = new Map<string, Middleware[]>();

  constructor(options: QueueContext) {
    this.#options = options;
  }

  /** Middleware of one queue. Returns the function that takes it out again. */
  use(queue: string, middleware: Middleware): () => void {
    this.#byQueue.set(queue, [...(this.#byQueue.get(queue) ?? []), middleware]);
    return () => {
      this.#byQueue.set(
        queue,
        (this.#byQueue.get(queue) ?? []).filter((other) => other !== middleware),
      );
    };
  }

  /**
   * Answers the result or a promise of it, throws or rejects. A plain job's is its handler's own: an asynchronous function
   * in between takes some 700 bytes, and there were two.
   */
  run(
    job: JobRecord,
    ctx: HandlerContext,
    handle: Run = (open, inner) => this.#runOpen(open, this.#definitionOf(open), inner),
  ): unknown {
    const { encryption } = this.#options;
    if (encryption?.concerns(job, ctx)) return encryption.run(job, ctx, handle);
    if (job.sealed) throw waitForKey(job, missingKey("The job is encrypted"));
    return handle(job, ctx);
  }

  #runOpen(job: JobRecord, definition: JobDefinition | undefined, ctx: HandlerContext): unknown {
    const steps = this.#stepsAround(job, definition);
    if (!steps && !definition?.output) return this.#handle(job, definition, ctx);
    return compose(steps ?? [], (inner) => this.#handle(job, definition, inner))(ctx).then((result) => {
      const check = () => validateResult(job.name, definition, result);
      const first = (definition?.handler ?? this.#options.registry.handlers(job.name, job.queue)[0]) as
        | Handler
        | undefined;
      return first?.keepResult ? first.keepResult(check, ctx) : check();
    });
  }

  /** Undefined where there is none, as mostly: every attempt asks. */
  #stepsAround(job: JobRecord, definition: JobDefinition | undefined): readonly Middleware[] | undefined {
    const { middleware } = this.#options;
    const ofQueue = this.#byQueue.get(job.queue);
    if (middleware.length === 0 && !ofQueue && !definition?.middleware) return undefined;
    return [...middleware, ...(ofQueue ?? []), ...(definition?.middleware ?? [])];
  }

  policy(job: JobRecord): RetryPolicy | undefined {
    const definition = this.#definitionOf(job);
    if (!definition) return undefined;
    const { backoff } = definition;
    return {
      retryIf: definition.retryIf && ((error, attempt) => definition.retryIf?.(error, attempt) ?? true),
      backoff: typeof backoff === "function" ? backoff : undefined,
    };
  }

  async failed(job: JobRecord, error: unknown): Promise<void> {
    const definition = this.#definitionOf(job);
    if (definition?.onFailed) await definition.onFailed(await readable(this.#options.encryption, job), error);
  }

  /** One after the other; the first that throws fails the attempt; the result is the first one's. */
  #handle(job: JobRecord, definition: JobDefinition | undefined, ctx: HandlerContext): unknown {
    const handlers = this.#options.registry.handlers(job.name, job.queue);
    const first = handlers[0];
    if (!first) {
      const message = `No handler is registered for job ${JSON.stringify(job.name)}.`;
      throw new QuaysideError("unknown_job", message, { job: job.name });
    }
    const payload = validatePayload(job.name, definition, job.payload);
    return handlers.length === 1 && !(payload instanceof Promise)
      ? first(payload, ctx)
      : this.#handleInTurn(handlers, payload, ctx);
  }

  async #handleInTurn(handlers: readonly Handler[], checked: unknown, ctx: HandlerContext): Promise<unknown> {
    const payload = await checked;
    const [first, ...others] = handlers as readonly [Handler, ...Handler[]];
    const result = await first(payload, ctx);
    for (const handler of others) await handler(payload, ctx);
    return result;
  }

  #definitionOf(job: JobRecord): JobDefinition | undefined {
    return this.#options.registry.definition(job.name, job.queue);
  }
}

/**
 * Makes one function of many middleware, the first outermost, around `inner`. As in Koa, `next` may be called once.
 *
 * @see https://github.com/koajs/compose
 */
function compose(
  middleware: readonly Middleware[],
  inner: (ctx: HandlerContext) => unknown,
): (ctx: HandlerContext) => Promise<unknown> {
  return async (ctx) => {
    let reached = -1;
    const from = async (index: number): Promise<unknown> => {
      if (index <= reached) throw new Error("A middleware called next() more than once.");
      reached = index;
      const step = middleware[index];
      return step ? step(ctx, () => from(index + 1)) : inner(ctx);
    };
    return from(0);
  };
}

/** The shortest and the longest wait of a job whose key this worker lacks, until a worker claims it again. */
const MISSING_KEY_MS = [60_000, 3_600_000] as const;

/** Returns the error to throw for a job that was not decrypted: where the key is missing, the job is given back. */
export function waitForKey({ availableAt, addedAt }: JobRecord, error: unknown): unknown {
  const [least, most] = MISSING_KEY_MS;
  // As long again as it has waited, by the clock of its store.
  return hasCode(error, "missing_key")
    ? new Release(Math.min(Math.max(least, availableAt - addedAt), most), error)
    : error;
}
