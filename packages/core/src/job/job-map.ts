import { QuaysideError, refused } from "./errors.ts";
import type { BackoffFunction, HandlerContext, Middleware } from "./handler.ts";
import type { JobDefaults } from "./job-options.ts";
import type { JobRecord } from "./job-record.ts";
import type {
  DefinedJob,
  DefinedJobs,
  DefinitionBy,
  JobMap,
  JobTypes,
  MemberOf,
  SchemasOf,
  TypedDefinition,
} from "./job-types.ts";
import type { Jsonify } from "./json-types.ts";
import { able, callable, callables } from "./option-checks.ts";
import type { BackoffOption } from "./retry.ts";

/**
 * A schema of any library that implements Standard Schema v1 (zod, valibot, arktype …).
 *
 * @see https://standardschema.dev
 */
export interface StandardSchema<Input = unknown, Output = Input> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
    readonly types?: { readonly input: Input; readonly output: Output } | undefined;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/**
 * The definition of a job: its schemas, its default options and, where its handlers run, its functions. `defineJob`
 * types the handler.
 */
export interface JobDefinition<Input = unknown, Output = unknown, Result = unknown, Returned = unknown>
  extends Omit<JobDefaults, "backoff"> {
  /** Schema of the payload. Checked when a job is added and before it runs; handlers get its output. */
  readonly input?: StandardSchema<Input, Output> | undefined;
  /**
   * Schema of the result. Its output is stored as the result; an invalid result fails the job with `invalid_result`.
   */
  readonly output?: StandardSchema<Returned, Result> | undefined;
  /**
   * Wait before each further attempt: an option that can be stored, or a function of the attempt and its error. A
   * function applies only in workers with this definition.
   */
  readonly backoff?: BackoffOption | BackoffFunction | undefined;
  /** Queue of the jobs in a `QueueManager`. Default: the manager's default queue. A job may name another. */
  readonly queue?: string | undefined;
  /** Connection of the jobs in a `QueueManager`, by name. Default: the manager's default connection. */
  readonly connection?: string | undefined;
  /** Middleware around the handler. It runs inside the middleware of the manager and of the queue. */
  readonly middleware?: readonly Middleware[] | undefined;
  /** Runs the job. Further handlers of the job, added by `queue.on("job:NAME")`, run after this one. */
  handler?(payload: Output, ctx: HandlerContext<Jsonify<Input>>): NoInfer<Returned> | PromiseLike<NoInfer<Returned>>;
  /**
   * Returns false to run the job immediately in this process, instead of storing it: through the same middleware and
   * handlers, before `addJob` resolves. The job has one attempt, whose error `addJob` throws; `ctx.release` stores the
   * job. A job with an `id` runs once, as in a store: the last 1,000 ids of successful runs are remembered.
   */
  shouldQueue?(payload: Input): boolean;
  /**
   * Decides about a retry after an error: returns false to end the job as `failed`, even if attempts are left.
   * `attempt` counts from 1.
   */
  retryIf?(error: unknown, attempt: number): boolean;
  /** Called once when a job has failed for good, in the worker that ran or recovered it last. */
  onFailed?(job: JobRecord, error: unknown): unknown;
}

/**
 * Defines one job. Its handler is typed by its schema or by the given payload type.
 *
 * @example
 * const jobs = defineJobs({
 *   email: defineJob({ input: emailSchema, handler: async ({ to }, ctx) => send(to, ctx.signal) }),
 *   ping: defineJob<{ host: string }>({ handler: ({ host }) => ping(host) }),
 * });
 */
export function defineJob<Input = unknown, Output = Jsonify<Input>, Result = unknown, Returned = unknown>(
  definition: JobDefinition<Input, Output, Result, Returned>,
): TypedDefinition<JobTypes<Input, Output, Result, Returned>> {
  return definition;
}

/** Returns the job options of a definition. Excludes a backoff function, which cannot be stored. */
export function jobDefaultsOf(definition: JobDefinition | undefined): JobDefaults {
  if (!definition) return NO_DEFAULTS;
  const { input, output, queue, connection, middleware, handler, shouldQueue, retryIf, onFailed, ...rest } = definition;
  const { backoff, ...defaults } = rest;
  return typeof backoff === "function" ? defaults : { ...defaults, backoff };
}

const NO_DEFAULTS: JobDefaults = Object.freeze({});

/** The job maps that `defineJobs` returned, to recognise them. */
const defined = new WeakSet<object>();

/**
 * Declares jobs with schemas and options, to share between code that adds and code that works them.
 *
 * @example
 * export const jobs = defineJobs({
 *   email: { input: z.object({ to: z.email(), subject: z.string(), body: z.string() }), maxAttempts: 5 },
 * });
 * const queue = new Queue("mail", driver, { jobs });
 */
export function defineJobs<
  Names extends string,
  Inputs extends object = object,
  Outputs extends object = object,
  Types extends object = object,
>(
  definitions: {
    readonly [Name in Names]: DefinitionBy<MemberOf<Inputs, Name>, MemberOf<Outputs, Name>>;
  } & SchemasOf<Inputs, Outputs, Types>,
): DefinedJobs<{
  readonly [Name in Names]: DefinedJob<MemberOf<Inputs, Name>, MemberOf<Outputs, Name>, MemberOf<Types, Name>>;
}> {
  const all = definitions as Record<string, JobDefinition>;
  for (const name in all) checkDefinition(name, all[name] ?? {});
  const jobs = Object.freeze({ ...definitions });
  defined.add(jobs);
  return jobs as never;
}

/**
 * A schema that accepts every value: declares the type of a payload, or of a result, without a check at run time. What
 * handlers get is typed by what JSON gives back: a Date is a text.
 *
 * @example
 * const jobs = defineJobs({
 *   resize: { input: type<{ url: string; width: number }>(), output: type<{ bytes: number }>() },
 * });
 */
export const type = <T>(): StandardSchema<T, Jsonify<T>> => ({
  "~standard": { version: 1, vendor: "quayside", validate: (value) => ({ value: value as Jsonify<T> }) },
});

/**
 * Checks a definition.
 *
 * @throws {QuaysideError} `invalid_option` for a handler, hook or middleware that is no function, or an invalid schema.
 */
export function checkDefinition(name: string, definition: JobDefinition): void {
  const { input, output, middleware } = definition;
  if (input) able(input["~standard"], `${name}.input`, "validate");
  if (output) able(output["~standard"], `${name}.output`, "validate");
  for (const field of ["handler", "shouldQueue", "retryIf", "onFailed"] as const)
    if (definition[field] !== undefined) callable(definition[field], `${name}.${field}`);
  if (middleware) callables(middleware, `${name}.middleware`);
}

/** One issue that a schema found: an entry of `details.issues` of an `invalid_payload` or `invalid_result` error. */
export interface PayloadIssue {
  /** Path of the refused value, such as `to` or `items[2].price`; empty for the whole payload. */
  readonly path: string;
  readonly message: string;
}

/**
 * Checks a payload and returns the schema's output.
 *
 * @throws {QuaysideError} `invalid_payload`, with `details.issues`, if the schema refuses it.
 */
export function validatePayload(
  name: string,
  definition: Pick<JobDefinition, "input"> | undefined,
  payload: unknown,
): unknown | Promise<unknown> {
  return validate(name, definition?.input, payload, "payload");
}

/**
 * Checks a result and returns the schema's output.
 *
 * @throws {QuaysideError} `invalid_result`, with `details.issues`, if the schema refuses it.
 */
export function validateResult(
  name: string,
  definition: Pick<JobDefinition, "output"> | undefined,
  result: unknown,
): unknown | Promise<unknown> {
  return validate(name, definition?.output, result, "result");
}

function validate(
  name: string,
  schema: StandardSchema | undefined,
  value: unknown,
  what: "payload" | "result",
): unknown | Promise<unknown> {
  if (!schema) return value;
  const ask = (candidate: unknown) => {
    const result = schema["~standard"].validate(candidate);
    // Any object with `then` is treated as a promise; its `issues` would be missing.
    return "then" in result ? Promise.resolve(result) : result;
  };
  const finish = (result: SchemaResult<unknown>) => {
    // JSON has no `undefined`: an omitted payload is stored as null.
    if (!result.issues || value !== null || what !== "payload") return unwrap(name, result, what);
    const left = ask(undefined);
    const second = (other: SchemaResult<unknown>) => unwrap(name, other.issues ? result : other, what);
    return left instanceof Promise ? left.then(second) : second(left);
  };
  const result = ask(value);
  return result instanceof Promise ? result.then(finish) : finish(result);
}

function unwrap(name: string, result: SchemaResult<unknown>, what: "payload" | "result"): unknown {
  if (!result.issues) return result.value;
  const issues: PayloadIssue[] = result.issues.map(({ message, path }) => ({ path: pathText(path ?? []), message }));
  const listed = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
  throw new QuaysideError(
    `invalid_${what}`,
    `The ${what} of job ${JSON.stringify(name)} does not fit its schema: ${listed}.${what === "payload" ? HINT : ""}`,
    { job: name, issues },
  );
}

/** Hint in the error of a refused payload: schemas check its JSON form, in which a Date is a text. */
const HINT = " It is checked as JSON: a Date is a text (z.coerce.date() reads it).";

function pathText(path: NonNullable<SchemaIssue["path"]>): string {
  return path.reduce<string>((text, segment) => {
    const key = typeof segment === "object" ? segment.key : segment;
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, "");
}

/** Returns the definitions of a job map. @throws {QuaysideError} `invalid_option` if `defineJobs` has not made it. */
export function definitionsOf(jobs: JobMap): Record<string, JobDefinition> {
  if (!defined.has(jobs)) throw refused("jobs", "must be what defineJobs({ … }) returned", jobs);
  return jobs as Record<string, JobDefinition>;
}
