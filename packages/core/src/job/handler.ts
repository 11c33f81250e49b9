import type { Duration } from "./duration.ts";
import type { FlowIds, FlowJob } from "./flow.ts";
import type { JobOptions } from "./job-options.ts";
import type { EndState, JobId, JobRecord } from "./job-record.ts";
import type { AddArguments, JobMap, JobName, PayloadOf, UntypedJobs, WithPayload } from "./job-types.ts";
import type { Json } from "./json.ts";
import type { StoredError } from "./stored-error.ts";

/** The outcome of a child of the running job, as returned by `ctx.children()`. */
export interface ChildOutcome {
  readonly queue: string;
  readonly id: string;
  readonly name: string;
  readonly state: EndState;
  readonly result?: Json | undefined;
  readonly error?: StoredError | undefined;
  /** Set if the child is encrypted. */
  readonly sealed?: true | undefined;
}

/** A job to add, as one object: name, payload, queue and job options. */
export interface JobRequest<Payload = unknown> extends JobOptions {
  readonly name: string;
  /** The payload, as JSON. Default: null. */
  readonly payload?: Payload | undefined;
  /**
   * Queue of the job. Default: the queue of the job's definition, else (inside a handler) the queue of the running job,
   * else the default queue.
   */
  readonly queue?: string | undefined;
}

/** A job of the job map, which a handler adds to the queue of the running job or of the job's definition. */
export type RequestOf<Jobs extends JobMap, Name extends JobName<Jobs>> = JobOptions & {
  readonly name: Name;
  readonly queue?: undefined;
} & WithPayload<PayloadOf<Jobs, Name>>;

/** A job to add to several queues at once. */
export interface PublishRequest<Payload = unknown> extends JobOptions {
  readonly name: string;
  /** The payload, as JSON. Default: null. */
  readonly payload?: Payload | undefined;
  readonly queues: readonly string[];
}

/**
 * The second argument of a handler.
 *
 * @example
 * queue.on("job:export", async ({ pages }, ctx) => {
 *   for (const page of pages) {
 *     ctx.signal.throwIfAborted();
 *     await exportPage(page, { signal: ctx.signal });
 *     ctx.progress({ page });
 *     ctx.log(`page ${page} is out`);
 *   }
 * });
 */
export interface HandlerContext<Payload = unknown, Jobs extends JobMap = UntypedJobs> {
  /** The job as it was claimed. Its payload is the stored one; handlers get the schema's output. */
  readonly job: JobRecord<Payload>;
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  /** Number of this attempt, from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Time at which the recurrence planned this job, in ms since epoch; undefined for other jobs. */
  readonly scheduledFor?: number | undefined;
  /**
   * Aborted when the attempt should stop: cancelled, timed out, lease lost, worker stopping; `reason` is the cause.
   */
  readonly signal: AbortSignal;
  /** Stores a progress value with the running job. */
  progress(value: Json): void;
  /** Adds a line to the job's log. A job keeps its last 100 lines, and the first 4 KiB of each. */
  log(line: string): void;
  /** Returns the outcomes of this job's children, if it is the parent of a flow or batch; otherwise an empty list. */
  children(): readonly ChildOutcome[];
  /**
   * Ends this attempt without counting it; the job runs again after `delay`. Default: at once. Throws, to leave the
   * handler. If the handler catches that error, the attempt still ends so; the last of several calls decides.
   */
  release(delay?: Duration): never;
  /** Ends the job as `failed`, even if attempts are left. Throws, as `release` does. */
  fail(reason: string | Error): never;
  /**
   * Adds a job of the job map, by default to this job's queue. Resolves with its id when it is stored.
   *
   * @example
   * await ctx.addJob("thumbnail", { url }, { delay: "1m" });
   */
  addJob<Name extends JobName<Jobs>>(name: Name, ...payload: AddArguments<PayloadOf<Jobs, Name>>): Promise<JobId<Name>>;
  /**
   * Adds a job, by default to this job's queue. Resolves with its id when it is stored. Jobs of other queues (`queue`)
   * may have any name.
   */
  enqueue(request: JobRequest & { readonly queue: string }): Promise<JobId>;
  enqueue<Name extends JobName<Jobs>>(request: RequestOf<Jobs, Name>): Promise<JobId<Name>>;
  /** Adds one job to each of several queues, all or none. Resolves with their ids, in the order of the queues. */
  publish(request: PublishRequest): Promise<readonly string[]>;
  /**
   * Adds a flow to this job's queue, as `queue.addFlow` does. Resolves with its ids when it is stored. An attempt that
   * repeats the call adds nothing if the flow's root has an `id` that exists.
   *
   * @example
   * await ctx.addFlow({ name: "album", id: `album-${ctx.id}`, payload: { title }, children });
   */
  addFlow(flow: FlowJob<Jobs>): Promise<FlowIds>;
}

/** Runs a job. Its return value (JSON) is the job's result; a thrown error fails the attempt. */
export type Handler<
  Payload = unknown,
  Ctx extends object = object,
  Context extends object = HandlerContext<Payload>,
  Returned = unknown,
> = ((payload: Payload, ctx: Context & Ctx) => Returned | PromiseLike<Returned>) & {
  /**
   * For a handler whose work is done even if its result is invalid: calls `check`, which applies the output schema, and
   * returns the result to store.
   */
  readonly keepResult?: ((check: () => unknown, ctx: HandlerContext) => unknown) | undefined;
};

/**
 * Wraps handlers, as in Koa: code before `next()` runs before the handler, code after it runs after. The return value
 * is the result, so use `return next()`. A middleware that does not call `next` skips the handler and ends the job with
 * its own result or error.
 *
 * @example
 * const timed: Middleware = async (ctx, next) => {
 *   const start = Date.now();
 *   try {
 *     return await next();
 *   } finally {
 *     ctx.log(`took ${Date.now() - start} ms`);
 *   }
 * };
 */
export type Middleware<Ctx extends object = object> = (
  ctx: HandlerContext & Ctx,
  next: () => Promise<unknown>,
) => unknown;

/**
 * Computes the delay after the failed attempt number `attempt` (from 1), or returns `"fail"` to end the job. Functions
 * cannot be stored, so a backoff function is part of a definition and applies only in workers with that definition.
 */
export type BackoffFunction = (attempt: number, error: unknown) => Duration | "fail";
