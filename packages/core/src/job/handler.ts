import type { Duration } from "./duration.ts";
import type { JobOptions } from "./job-options.ts";
import type { EndState, JobRecord } from "./job-record.ts";
import type { Json } from "./json.ts";
import type { StoredError } from "./stored-error.ts";

/** Of a child of the running job: what `ctx.children()` answers. */
export interface ChildOutcome {
  readonly queue: string;
  readonly id: string;
  readonly name: string;
  readonly state: EndState;
  readonly result?: Json;
  readonly error?: StoredError;
  /** It was added with `encrypted`. */
  readonly sealed?: true;
}

/** A job to add, said in one object: name, payload, where to, and any job option. */
export interface JobRequest<Payload = unknown> extends JobOptions {
  readonly name: string;
  readonly payload: Payload;
  /** Default: the queue of its definition, else (inside a handler) that of the running job, else the default queue. */
  readonly queue?: string | undefined;
}

/** One job for several queues. */
export interface PublishRequest<Payload = unknown> extends JobOptions {
  readonly name: string;
  readonly payload: Payload;
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
export interface HandlerContext<Payload = unknown> {
  readonly job: JobRecord<Payload>;
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  /** This attempt, counted from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /**
   * Aborted when the attempt should stop: cancelled, timed out, lease lost, worker stopping. `reason` says which. It is made
   * when it is read, and a copy of the context is without it: `{ ...ctx, signal: ctx.signal }`.
   */
  readonly signal: AbortSignal;
  /** Tells how far it is; stored with the job while it runs. */
  progress(value: Json): void;
  /** Adds a line to the job's log: of a job the last 100 lines are kept, of a line the first 4 KiB. */
  log(line: string): void;
  /** How the children of this job ended, where it is the parent of a flow or a batch; else empty. */
  children(): readonly ChildOutcome[];
  /** Ends this attempt without counting it; the job runs again after `delay` (default: at once). */
  release(delay?: Duration): never;
  /** Ends the job as `failed`, whatever attempts are left. */
  fail(reason: string | Error): never;
  /** Adds a job, by default to this job's queue; resolves with its id once it is durable. */
  enqueue(request: JobRequest): Promise<string>;
  /** Adds one job to each of several queues, all or none; ids in their order. */
  publish(request: PublishRequest): Promise<readonly string[]>;
}

/** Runs a job. What it returns (JSON) is the job's result; what it throws fails the attempt. */
export type Handler<Payload = unknown, Ctx extends object = object> = ((
  payload: Payload,
  ctx: HandlerContext<Payload> & Ctx,
) => unknown) & {
  /** For a handler whose job is done whatever its result is: makes the check by the output schema, and answers what is kept. */
  readonly keepResult?: (check: () => unknown, ctx: HandlerContext) => unknown;
};

/**
 * Runs around handlers, as in Koa: code before `next()` runs before, code after it runs after. What it returns
 * is the result, so `return next()` passes it on. A middleware that does not call `next` ends the job in its own way.
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
 * A delay rule of one's own: what follows the `attempt`-th attempt (from 1), which threw `error`. A function cannot be
 * stored: it is said in a definition, and applied by the workers that have it.
 */
export type BackoffFunction = (attempt: number, error: unknown) => Duration | "fail";
