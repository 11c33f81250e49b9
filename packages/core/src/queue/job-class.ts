import { QuaysideError } from "../job/errors.ts";
import type { BackoffFunction, HandlerContext, Middleware } from "../job/handler.ts";
import type { JobDefinition, StandardSchema } from "../job/job-map.ts";
import type { JobDefaults, JobOptions } from "../job/job-options.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { BackoffOption } from "../job/retry.ts";

/** The `static options` of a job class: job options, and those fields of a job definition that are data. */
export type JobClassOptions = Omit<JobDefaults, "backoff"> & {
  readonly backoff?: BackoffOption | BackoffFunction | undefined;
  readonly input?: StandardSchema | undefined;
  readonly output?: StandardSchema | undefined;
  retryIf?(error: unknown, attempt: number): boolean;
};

/** Optional methods of a job class, in addition to `handle`. */
export interface JobHooks<Payload> {
  /** Called once when the job has failed for good. */
  failed?(error: unknown, job: JobRecord): unknown;
  /** Returns false to run the job immediately in this process, before `dispatch` resolves, instead of storing it. */
  shouldQueue?(payload: Payload): boolean;
  /**
   * Returns the payload to store, for classes with fields of their own. `static fromJSON` then restores the instance.
   */
  toJSON?(): unknown;
}

/** An instance of a job class, with any type of `ctx`. */
export interface JobInstance<Payload = unknown> {
  readonly payload: Payload;
  handle(payload: never, ctx: never): unknown;
}

/** A class that extends `Job`: its constructor, static fields and methods. */
export interface JobClass<Payload = unknown> {
  new (...args: never[]): JobInstance<Payload> & JobHooks<NoInfer<Payload>>;
  /** The name under which the jobs of the class are stored. Required, because minifiers rename classes. */
  readonly jobName: string;
  /** Queue of the jobs. Default: the manager's default queue. */
  readonly queueName?: string | undefined;
  /** Connection of the jobs. Default: the manager's default connection. */
  readonly connection?: string | undefined;
  readonly options?: JobClassOptions | undefined;
  readonly middleware?: readonly Middleware[] | undefined;
  /** Creates an instance from the stored payload. Default: `new Class(payload)`. */
  fromJSON?(payload: NoInfer<Payload>): JobInstance;
}

/** Options of `JobClass.dispatch`: job options, queue and connection. */
export interface DispatchOptions extends JobOptions {
  readonly queue?: string | undefined;
  readonly connection?: string | undefined;
}

/** The manager in which a job class is registered, as `JobClass.dispatch` calls it. */
export interface Dispatcher {
  dispatchAll(jobClass: JobClass, payloads: readonly unknown[], options?: DispatchOptions): Promise<readonly string[]>;
}

const dispatchers = new WeakMap<object, Dispatcher>();

/** Makes `jobClass.dispatch` use this manager. If several managers bind the class, the last one is used. */
export function bind(jobClass: object, dispatcher: Dispatcher): void {
  dispatchers.set(jobClass, dispatcher);
}

/** Undoes `bind`, unless another manager has bound the class since. */
export function unbind(jobClass: object, dispatcher: Dispatcher): void {
  if (dispatchers.get(jobClass) === dispatcher) dispatchers.delete(jobClass);
}

/**
 * The base of job classes. A job class has a job's name, queue, options and handler in one place. Register the class
 * with a `QueueManager`, then dispatch it from anywhere. Each attempt runs on a new instance.
 *
 * @example
 * class SendWelcomeEmail extends Job<{ userId: string }> {
 *   static jobName = "send-welcome-email";
 *   static queueName = "emails";
 *   static options = { maxAttempts: 3, backoff: ["1s", "10s", "1m"] } as const;
 *   async handle({ userId }: { userId: string }, ctx: HandlerContext) { … }
 *   failed(error: unknown) { … }
 * }
 * manager.register(SendWelcomeEmail);
 * await SendWelcomeEmail.dispatch({ userId }, { delay: "5m" });
 */
export abstract class Job<Payload = unknown, Ctx extends object = object> {
  /** The payload passed to the constructor. Stored when the instance is dispatched, unless the class has a `toJSON`. */
  readonly payload: Payload;

  constructor(payload?: Payload) {
    this.payload = payload as Payload;
  }

  abstract handle(payload: Payload, ctx: HandlerContext<Payload> & Ctx): unknown;

  /** Adds one job of this class. Resolves with its id when it is stored. */
  static async dispatch<Payload>(
    this: JobClass<Payload>,
    payload: NoInfer<Payload>,
    options?: DispatchOptions,
  ): Promise<string> {
    // biome-ignore lint/complexity/noThisInStatic: the class that it is called on, not the one that has it
    const [id] = await dispatchAs(this, [payload], options);
    return id as string;
  }

  /** Adds many jobs of this class in one transaction. Resolves with their ids, in the order of the payloads. */
  static dispatchBatch<Payload>(
    this: JobClass<Payload>,
    payloads: readonly NoInfer<Payload>[],
    options?: DispatchOptions,
  ): Promise<readonly string[]> {
    // biome-ignore lint/complexity/noThisInStatic: the class that it is called on, not the one that has it
    return dispatchAs(this, payloads, options);
  }
}

async function dispatchAs(
  jobClass: JobClass,
  payloads: readonly unknown[],
  options?: DispatchOptions,
): Promise<readonly string[]> {
  const dispatcher = dispatchers.get(jobClass);
  if (dispatcher) return dispatcher.dispatchAll(jobClass, payloads, options);
  const { name } = jobClass as unknown as { readonly name: string };
  throw new QuaysideError(
    "unknown_job",
    `Job class ${name} is not registered: call manager.register(${name}) before it is dispatched.`,
    { class: name },
  );
}

/**
 * Returns the `jobName` of a class.
 *
 * @throws {QuaysideError} `invalid_option` naming the class, if it has no `jobName`, or its instances cannot be
 * restored.
 */
export function nameOfClass(jobClass: JobClass): string {
  const { jobName, name, prototype, fromJSON } = (jobClass ?? {}) as unknown as Omit<JobClass, "new"> & {
    readonly name: string;
    readonly prototype: object;
  };
  if (typeof jobName !== "string" || jobName === "") {
    throw new QuaysideError(
      "invalid_option",
      `Job class ${name} needs a static jobName, such as static jobName = "send-email": class names do not survive minifiers.`,
      { option: "jobName", class: name },
    );
  }
  if ("toJSON" in prototype && !fromJSON) {
    throw new QuaysideError(
      "invalid_option",
      `Job class ${name} has toJSON(), so it needs a static fromJSON(payload) that makes an instance of what that gives.`,
      { option: "fromJSON", class: name },
    );
  }
  return jobName;
}

/** An instance of a job class, as the worker calls it. */
export type LiveJob = JobHooks<unknown> & {
  readonly payload: unknown;
  handle(payload: unknown, ctx: HandlerContext): unknown;
};

/** Creates an instance of a job class from a stored payload: by `fromJSON`, else by the constructor. */
export function instantiate(jobClass: JobClass, payload: unknown): LiveJob {
  if (jobClass.fromJSON) return jobClass.fromJSON(payload) as LiveJob;
  return new (jobClass as unknown as new (payload: unknown) => LiveJob)(payload);
}

/** Returns the payload to store for an instance: its `toJSON()` if it has one, else its `payload`. */
export const payloadOfInstance = (job: JobInstance & JobHooks<unknown>): unknown =>
  job.toJSON ? job.toJSON() : job.payload;

/** Converts a job class to a definition. */
export function definitionOfClass(jobClass: JobClass): JobDefinition {
  const { prototype } = jobClass as unknown as { prototype: LiveJob };
  return {
    ...jobClass.options,
    queue: jobClass.queueName,
    connection: jobClass.connection,
    middleware: jobClass.middleware,
    handler: (payload, ctx) => instantiate(jobClass, payload).handle(payload, ctx),
    ...("shouldQueue" in prototype && {
      shouldQueue: (payload: unknown) => instantiate(jobClass, payload).shouldQueue?.(payload) ?? true,
    }),
    ...("failed" in prototype && {
      onFailed: (job: JobRecord, error: unknown) => instantiate(jobClass, job.payload).failed?.(error, job),
    }),
  };
}
