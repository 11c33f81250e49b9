import { type HandlerContext, type JobDefinition, type JobMap, type JobRecord, QuaysideError } from "@quayside/core";
import { validatePayload, validateResult, type WorkerQueue } from "@quayside/core/engine";
import { AttemptLink, childrenFrom } from "./attempt-link.ts";
import type { JobConsumer } from "./job-call.ts";
import { isTarget, type JobTarget } from "./job-target.ts";
import { type ReadOutcome, readOutcome } from "./read-outcome.ts";

/** Delay before a job is offered again to a consumer that has no handler for its name, in ms. */
const UNKNOWN_DELAY_MS = 60_000;

/** A binding to an entrypoint made by `jobConsumer`: a service binding, or `exports.Consumer` of the same Worker. */
export interface ConsumerBinding {
  readonly runJob: unknown;
}

/** Chooses where a job runs: returns a consumer or a webhook. */
export type Dispatch<Env> = (env: Env, job: JobRecord) => ConsumerBinding | JobTarget<Env>;

export interface DispatchOptions<Env> {
  readonly dispatch: Dispatch<Env>;
  readonly env: Env;
  /** Returns the job map of a queue. */
  readonly defined: { jobsOf(queue: string): JobMap | undefined };
  /** Handlers of jobs that run in the object itself. */
  readonly handlers: object | undefined;
  readonly report: (error: unknown) => void;
}

/** Wraps a worker's queue: jobs without a handler in the object are sent to the target that `dispatch` returns. */
export const dispatching =
  <Env>(options: DispatchOptions<Env>) =>
  (queue: WorkerQueue): WorkerQueue =>
    dispatched(queue, options);

function dispatched<Env>(queue: WorkerQueue, options: DispatchOptions<Env>): WorkerQueue {
  const { dispatch, env, handlers, report, defined } = options;
  const jobs = defined.jobsOf(queue.name) as Readonly<Record<string, JobDefinition>> | undefined;
  const here = new Set(Object.keys(handlers ?? {}));
  // If the job map has only types, the consumer decides which job names exist.
  const names = jobs && [...new Set([...Object.keys(jobs), ...here])];
  const unknown = new Set<string>();

  const send = async (job: JobRecord, ctx: HandlerContext): Promise<unknown> => {
    const target = dispatch(env, job);
    if (!target) throw missing(job);
    if (!isTarget(target)) return outcomeOf(readOutcome(await call(consumerOf(target), job, ctx), job), job, ctx);
    const deliver = async (open: JobRecord, inner: HandlerContext) => {
      const definition = jobs?.[job.name];
      const payload = await validatePayload(job.name, definition, open.payload);
      const result = await target(payload, { ...inner, signal: inner.signal, env });
      return target.keepResult(() => validateResult(job.name, definition, result), inner);
    };
    // The job is delivered decrypted to `deliver`, as to a handler.
    return queue.around ? queue.around(job, ctx, deliver) : deliver(job, ctx);
  };

  const outcomeOf = (answer: ReadOutcome, job: JobRecord, ctx: HandlerContext): unknown => {
    switch (answer.outcome) {
      case "completed":
        return answer.result;
      case "failed":
        throw answer.error;
      case "released":
        if (answer.fault) report(answer.fault);
        return ctx.release(answer.delayMs);
      case "unknown":
        // Reported once per name, as for an unknown name in this object.
        if (!unknown.has(job.name)) report(unknownJob(job));
        unknown.add(job.name);
        return ctx.release(UNKNOWN_DELAY_MS);
    }
  };

  return {
    ...queue,
    names: names && (() => names),
    run: (job, ctx) => (here.has(job.name) ? queue.run(job, ctx) : send(job, ctx)),
  };
}

/**
 * Checks that a target is a consumer, and returns it. Every property of an RPC stub can be called, whatever methods its
 * entrypoint has.
 */
function consumerOf(target: unknown): JobConsumer {
  if (typeof (target as Partial<JobConsumer>).runJob === "function") return target as JobConsumer;
  // Handles the promise's rejection, so that it is not reported as unhandled.
  if (target instanceof Promise) target.catch(() => {});
  throw new QuaysideError(
    "invalid_option",
    "dispatch must answer with a binding to a jobConsumer, or a webhook, at once and not by a promise.",
    { option: "dispatch" },
  );
}

async function call(consumer: JobConsumer, job: JobRecord, ctx: HandlerContext): Promise<unknown> {
  const ended = new AbortController();
  try {
    const link = new AttemptLink(ctx, ended.signal);
    const all = ctx.children();
    const children = childrenFrom(all, 0);
    return await consumer.runJob({
      job,
      children,
      ...(children.length < all.length && { allChildren: all.length }),
      link,
    });
  } catch (cause) {
    throw lost(job, cause);
  } finally {
    ended.abort();
  }
}

/**
 * Returns the error of an attempt whose consumer failed, so that it has no outcome. The attempt counts. Errors of the
 * handler itself arrive as an outcome.
 */
const lost = ({ name }: JobRecord, cause: unknown) =>
  new QuaysideError(
    "network",
    `The consumer of job ${JSON.stringify(name)} ended without an answer: ${cause instanceof Error ? cause.message : String(cause)}`,
    { job: name },
    cause,
  );

const missing = ({ name }: JobRecord) =>
  new QuaysideError(
    "invalid_option",
    `dispatch names no consumer for job ${JSON.stringify(name)}: is the binding missing?`,
    { option: "dispatch", job: name },
  );

const unknownJob = ({ name }: JobRecord) =>
  new QuaysideError(
    "unknown_job",
    `The consumer has no handler for job ${JSON.stringify(name)}: its jobs are given back and wait for one that has.`,
    { job: name },
  );
