import { isQuaysideError, QuaysideError } from "../job/errors.ts";
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

/** An instance of a job class whose `handle` can be called with the `ctx` fields `Ctx`. Default: with any. */
export interface JobInstance<Payload = unknown, Ctx = never> {
  readonly payload: Payload;
  // A property, because the compiler would accept a method whose ctx has more fields.
  readonly handle: (payload: never, ctx: HandlerContext<never> & Ctx) => unknown;
}

/** A class that extends `Job`: its constructor, static fields and methods. */
export interface JobClass<Payload = unknown, Ctx = never> {
  new (...args: never[]): JobInstance<Payload, Ctx> & JobHooks<NoInfer<Payload>>;
  /** The name under which the jobs of the class are stored. Required, because minifiers rename classes. */
  readonly jobName: string;
  /** Queue of the jobs. Default: the manager's default queue. */
  readonly queueName?: string | undefined;
  /** Connection of the jobs. Default: the manager's default connection. */
  readonly connection?: string | undefined;
  readonly options?: JobClassOptions | undefined;
  readonly middleware?: readonly Middleware[] | undefined;
  /**
   * Creates an instance from the stored payload. Default: `new Class(payload)`. Required if the constructor does not pass
   * its one argument to `super`.
   */
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
 * restored: it has a `toJSON`, or a constructor with several parameters, and no `fromJSON`.
 */
export function nameOfClass(jobClass: JobClass): string {
  const { jobName, name, length, prototype, fromJSON } = (jobClass ?? {}) as unknown as Omit<JobClass, "new"> & {
    readonly name: string;
    readonly length: number;
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
  if (length > 1 && !fromJSON) throw cannotRestore(name);
  return jobName;
}

const cannotRestore = (name: string): QuaysideError =>
  new QuaysideError(
    "invalid_option",
    `The constructor of job class ${name} must call super(payload) with its one argument; or give the class a static fromJSON(payload) that makes an instance.`,
    { option: "fromJSON", class: name },
  );

/** An instance of a job class, as the worker calls it. */
export type LiveJob = JobHooks<unknown> & {
  readonly payload: unknown;
  handle(payload: unknown, ctx: HandlerContext): unknown;
};

/**
 * Creates an instance of a job class from a stored payload: by `fromJSON`, else by the constructor.
 *
 * @throws {QuaysideError} `invalid_option` if the constructor gives the instance another payload.
 */
export function instantiate(jobClass: JobClass, payload: unknown): LiveJob {
  if (jobClass.fromJSON) return jobClass.fromJSON(payload) as unknown as LiveJob;
  const Class = jobClass as unknown as new (payload: unknown) => LiveJob;
  const job = new Class(payload);
  if ((job.payload ?? null) !== (payload ?? null)) throw cannotRestore(Class.name);
  return job;
}

/** Creates the instance whose hook is called. A hook may be a method, or a field that only an instance has. */
function withHook(jobClass: JobClass, payload: unknown, hook: keyof JobHooks<unknown>): LiveJob | undefined {
  try {
    return instantiate(jobClass, payload);
  } catch (error) {
    // Without the hook, a payload that its schema has not converted need not fit the constructor.
    if (isQuaysideError(error) || hook in (jobClass as unknown as { readonly prototype: object }).prototype)
      throw error;
    return undefined;
  }
}

/** Returns the payload to store for an instance: its `toJSON()` if it has one, else its `payload`. */
export const payloadOfInstance = (job: JobInstance & JobHooks<unknown>): unknown =>
  job.toJSON ? job.toJSON() : job.payload;

/** Converts a job class to a definition. */
export function definitionOfClass(jobClass: JobClass): JobDefinition {
  return {
    ...jobClass.options,
    queue: jobClass.queueName,
    connection: jobClass.connection,
    middleware: jobClass.middleware,
    handler: (payload, ctx) => instantiate(jobClass, payload).handle(payload, ctx),
    shouldQueue: (payload) => withHook(jobClass, payload, "shouldQueue")?.shouldQueue?.(payload) ?? true,
    onFailed: (job, error) => withHook(jobClass, job.payload, "failed")?.failed?.(error, job),
  };
}
