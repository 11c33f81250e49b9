import { type HandlerContext, type JobDefinition, type JobMap, type JobRecord, QuaysideError } from "@quayside/core";
import { validatePayload, validateResult, type WorkerQueue } from "@quayside/core/engine";
import { AttemptLink, childrenFrom } from "./attempt-link.ts";
import type { JobConsumer } from "./job-call.ts";
import { isTarget, type JobTarget } from "./job-target.ts";
import { type ReadOutcome, readOutcome } from "./read-outcome.ts";

/** A job whose name its consumer does not know waits so long before that is asked again. */
const UNKNOWN_DELAY_MS = 60_000;

/** A binding to an entrypoint made by `jobConsumer`: a service binding, or `exports.Consumer` of the same Worker. */
export interface ConsumerBinding {
  readonly runJob: unknown;
}

/** Says where a job runs: a consumer, or a webhook. */
export type Dispatch<Env> = (env: Env, job: JobRecord) => ConsumerBinding | JobTarget<Env>;

export interface DispatchOptions<Env> {
  readonly dispatch: Dispatch<Env>;
  readonly env: Env;
  readonly jobs: JobMap | undefined;
  /** Jobs of these names run here. */
  readonly handlers: object | undefined;
  readonly report: (error: unknown) => void;
}

/** The queue as its worker works it, with the jobs that have no handler here sent to where `dispatch` says. */
export function dispatching<Env>(options: DispatchOptions<Env>): (queue: WorkerQueue) => WorkerQueue {
  const { dispatch, env, handlers, report } = options;
  const jobs = options.jobs as Readonly<Record<string, JobDefinition>> | undefined;
  const here = new Set(Object.keys(handlers ?? {}));
  // With a job map of types alone it is the consumer who says which names there are.
  const names = jobs && [...new Set([...Object.keys(jobs), ...here])];
  const unknown = new Set<string>();

  const send = async (queue: WorkerQueue, job: JobRecord, ctx: HandlerContext): Promise<unknown> => {
    const target = dispatch(env, job);
    if (!target) throw missing(job);
    if (!isTarget(target)) return outcomeOf(readOutcome(await call(consumerOf(target), job, ctx), job), job, ctx);
    const deliver = async (open: JobRecord, inner: HandlerContext) => {
      const definition = jobs?.[job.name];
      const payload = await validatePayload(job.name, definition, open.payload);
      const result = await target(payload, { ...inner, signal: inner.signal, env });
      return target.keepResult(() => validateResult(job.name, definition, result), inner);
    };
    // It is delivered as it was before it was encrypted.
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
        // Told once, as of a name that is unknown here.
        if (!unknown.has(job.name)) report(unknownJob(job));
        unknown.add(job.name);
        return ctx.release(UNKNOWN_DELAY_MS);
    }
  };

  return (queue) => ({
    ...queue,
    names: names && (() => names),
    run: (job, ctx) => (here.has(job.name) ? queue.run(job, ctx) : send(queue, job, ctx)),
  });
}

/** Every property of a binding's stub can be called, whatever its entrypoint has. */
function consumerOf(target: unknown): JobConsumer {
  if (typeof (target as Partial<JobConsumer>).runJob === "function") return target as JobConsumer;
  // It is refused here: a rejection of its own has nowhere to go.
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

/** The error of an attempt whose consumer failed. A handler's own error arrives as an answer. Spends an attempt. */
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
