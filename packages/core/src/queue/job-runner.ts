import type { Run } from "../attempt/attempt.ts";
import type { Producer } from "../attempt/handler-context.ts";
import { isQuaysideError, QuaysideError, refused } from "../job/errors.ts";
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

/**
 * Returns the functions and settings by which a worker works a queue.
 *
 * @param concurrency maximum number of the queue's jobs that run at once, within the worker's own concurrency.
 * @throws {QuaysideError} `invalid_option` if `queue` is not a `Queue`.
 */
export function workerQueueOf(queue: { readonly name: string }, concurrency?: number): WorkerQueue {
  const { context, submitter, producer = producerOf(context, submitter), events, workers, declare } = partsOf(queue);
  const { name } = queue;
  return {
    ...context,
    name,
    concurrency,
    producer,
    events,
    workers,
    declare,
    names: () => context.registry.names(name),
    run: (job, ctx) => runJob(context, job, ctx),
    around: (job, ctx, handle) => runJob(context, job, ctx, handle),
    policy: (job) => policyOf(context, job),
    onFailed: (job, error) => reportFailed(context, job, error),
  };
}

/**
 * Returns the functions of `ctx` that add jobs: by default to the queue of the job's definition, else to the queue of
 * the running job.
 */
export function producerOf(context: QueueContext, submitter: JobSubmitter): Producer {
  const draft = (job: JobRequest, from: JobRecord): JobDraft => {
    const { name, payload, queue, ...options } = fields(job, "job");
    return { queue: queue ?? context.registry.definition(name)?.queue ?? from.queue, name, payload, options };
  };
  return {
    enqueue: async (request, from) => submitter.addOne(draft(request, from)),
    async publish(job, from) {
      const { queues, ...request } = fields(job, "job");
      return submitter.add(list(queues, "queues").map((queue) => draft({ ...request, queue }, from)));
    },
    async addFlow(flow, from) {
      if (context.addFlow) return context.addFlow({ context, submitter }, from.queue, flow);
      throw refused("ctx.addFlow", "needs the Queue of @quayside/core; use addFlow(queue, flow)", from.name);
    },
  };
}

/**
 * Runs a job: decrypts it, calls its middleware and handlers, and checks payload and result by its schemas. Returns the
 * result or a promise of it. If a job has no middleware, schema or encryption, returns the handler's own promise: an
 * asynchronous function in between would allocate about 700 bytes.
 *
 * @param handle called with the decrypted job in place of the middleware and handlers.
 */
export function runJob(
  context: QueueContext,
  job: JobRecord,
  ctx: HandlerContext,
  handle: Run = (open, inner) => runOpen(context, open, inner),
): unknown {
  const { encryption } = context;
  if (encryption?.concerns(job, ctx)) return encryption.run(job, ctx, handle);
  if (job.sealed) throw waitForKey(job, missingKey("The job is encrypted"));
  return handle(job, ctx);
}

function runOpen(context: QueueContext, job: JobRecord, ctx: HandlerContext): unknown {
  const definition = definitionOf(context, job);
  const handlers = context.registry.handlers(job.name, job.queue);
  const steps = [...context.middleware, ...(context.used.get(job.queue) ?? []), ...(definition?.middleware ?? [])];
  const handle = (inner: HandlerContext) => runHandlers(job, handlers, definition, inner);
  if (steps.length === 0 && !definition?.output) return handle(ctx);
  return compose(
    steps,
    handle,
  )(ctx).then((result) => {
    const check = () => validateResult(job.name, definition, result);
    const first = definition?.handler ?? handlers[0];
    return (first as Handler | undefined)?.keepResult?.(check, ctx) ?? check();
  });
}

/**
 * Calls the handlers of a job in order, and returns the result of the first. The first handler that throws fails the
 * attempt.
 */
function runHandlers(
  { name, payload: stored }: JobRecord,
  [first, ...others]: readonly Handler[],
  definition: JobDefinition | undefined,
  ctx: HandlerContext,
): unknown {
  if (!first)
    throw new QuaysideError("unknown_job", `No handler is registered for job ${JSON.stringify(name)}.`, { job: name });
  const checked = validatePayload(name, definition, stored);
  if (others.length === 0 && !(checked instanceof Promise)) return first(checked, ctx);
  return (async () => {
    const payload = await checked;
    const result = await first(payload, ctx);
    for (const handler of others) await handler(payload, ctx);
    return result;
  })();
}

function policyOf(context: QueueContext, job: JobRecord): RetryPolicy | undefined {
  const definition = definitionOf(context, job);
  if (!definition) return undefined;
  const { backoff } = definition;
  return {
    retryIf: definition.retryIf && ((error, attempt) => definition.retryIf?.(error, attempt) ?? true),
    backoff: typeof backoff === "function" ? backoff : undefined,
  };
}

/** Calls the `onFailed` hook of the job's definition, with the job decrypted. */
export async function reportFailed(context: QueueContext, job: JobRecord, error: unknown): Promise<void> {
  const definition = definitionOf(context, job);
  if (definition?.onFailed) await definition.onFailed(await readable(context.encryption, job), error);
}

const definitionOf = ({ registry }: QueueContext, job: JobRecord) => registry.definition(job.name, job.queue);

/**
 * Combines middleware into one function around `inner`, the first outermost. As in Koa, `next` may be called once.
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

/** Shortest and longest delay of a job for whose payload this worker has no key, in ms. */
const MISSING_KEY_MS = [60_000, 3_600_000] as const;

/**
 * Returns the error that a worker throws for a job that it could not decrypt. If only the key is missing, that error
 * releases the job for a while.
 */
export function waitForKey({ availableAt, addedAt }: JobRecord, error: unknown): unknown {
  const [least, most] = MISSING_KEY_MS;
  // The delay equals the time that the job has waited, by the clock of its store.
  return isQuaysideError(error, "missing_key")
    ? new Release(Math.min(Math.max(least, availableAt - addedAt), most), error)
    : error;
}
