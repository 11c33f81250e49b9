import { QuaysideError, refused } from "./errors.ts";
import type { BackoffFunction, HandlerContext, Middleware } from "./handler.ts";
import type { JobDefaults } from "./job-options.ts";
import type { JobRecord } from "./job-record.ts";
import { able, callable, callables } from "./option-checks.ts";
import type { BackoffOption } from "./retry.ts";

/**
 * A schema of any library that speaks Standard Schema v1 (zod, valibot, arktype …).
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
 * A job by its schema, its own defaults and, where the place that declares it also works it, its behaviour. Handlers
 * written here are typed by `defineJob`.
 */
export interface JobDefinition<Input = unknown, Output = unknown, Result = unknown>
  extends Omit<JobDefaults, "backoff"> {
  /** Checked when a job is added and again before it runs; handlers get its output. */
  readonly input?: StandardSchema<Input, Output> | undefined;
  /** Checked on what the handlers return: its output is the result; a violation fails the job, code `invalid_result`. */
  readonly output?: StandardSchema<unknown, Result> | undefined;
  /** As everywhere, or a function of the attempt and its error, applied by the workers that have this definition. */
  readonly backoff?: BackoffOption | BackoffFunction | undefined;
  /** Its queue in a `QueueManager`, unless the job says otherwise. Default: the manager's default queue. */
  readonly queue?: string | undefined;
  /** Its connection in a `QueueManager`, by name. Default: the manager's default connection. */
  readonly connection?: string | undefined;
  /** Runs around the handler, inside the middleware of the manager and the queue. */
  readonly middleware?: readonly Middleware[] | undefined;
  /** Runs the job. `queue.on("job:NAME")` may add further handlers, which run after it. */
  handler?(payload: Output, ctx: HandlerContext<Output>): unknown;
  /**
   * False: the job is not stored but runs here and now, through the same middleware and handlers, before `addJob`
   * resolves. It has one attempt; what that throws, `addJob` throws; if it gives itself back (`ctx.release`), it is stored.
   * A job with an `id` that its adder gave runs once here, as in a store: the last 1,000 are remembered, failed ones are not.
   */
  shouldQueue?(payload: Input): boolean;
  /** False: this error ends the job as `failed`, whatever attempts are left. `attempt` counts from 1. */
  retryIf?(error: unknown, attempt: number): boolean;
  /** Called once where the job failed for good: by the worker that ran or recovered it last. */
  onFailed?(job: JobRecord, error: unknown): unknown;
}

/** A definition whose types are known although its schemas may be absent. */
export type TypedDefinition<Input, Output, Result> = JobDefinition<Input, Output, Result> & {
  readonly "~types"?: { readonly input: Input; readonly output: Output; readonly result: Result };
};

/**
 * One definition with its handler typed by its schema, or by the payload type given.
 *
 * @example
 * const jobs = defineJobs({
 *   email: defineJob({ input: emailSchema, handler: async ({ to }, ctx) => send(to, ctx.signal) }),
 *   ping: defineJob<{ host: string }>({ handler: ({ host }) => ping(host) }),
 * });
 */
export function defineJob<Input = unknown, Output = Input, Result = unknown>(
  definition: JobDefinition<Input, Output, Result>,
): TypedDefinition<Input, Output, Result> {
  return definition;
}

/** The part of a definition that is options of its jobs. A backoff that is a function is not: it cannot be stored. */
export function jobDefaultsOf(definition: JobDefinition | undefined): JobDefaults {
  if (!definition) return NO_DEFAULTS;
  const { input, output, queue, connection, middleware, handler, shouldQueue, retryIf, onFailed, ...rest } = definition;
  const { backoff, ...defaults } = rest;
  return typeof backoff === "function" ? defaults : { ...defaults, backoff };
}

const NO_DEFAULTS: JobDefaults = Object.freeze({});

/** The job maps that `defineJobs` returned. */
const defined = new WeakSet<object>();

/** Marks the type of a job map that `defineJobs` returned. There is no such key at run time. */
declare const DEFINED: unique symbol;

/** The result of `defineJobs`: a job map that also exists at run time. */
export type DefinedJobs<Definitions extends Record<string, JobDefinition> = Record<string, JobDefinition>> =
  Definitions & { readonly [DEFINED]: true };

/**
 * Declares jobs with schemas and options, to be shared by those who add and those who work.
 *
 * @example
 * export const jobs = defineJobs({
 *   email: { input: z.object({ to: z.email(), subject: z.string(), body: z.string() }), maxAttempts: 5 },
 * });
 * const queue = new Queue("mail", driver, { jobs });
 */
export function defineJobs<const Definitions extends Record<string, JobDefinition>>(
  definitions: Definitions,
): DefinedJobs<Definitions> {
  for (const name in definitions) checkDefinition(name, definitions[name] ?? {});
  const jobs = Object.freeze({ ...definitions }) as DefinedJobs<Definitions>;
  defined.add(jobs);
  return jobs;
}

/** @throws {QuaysideError} `invalid_option` for a handler, hook or middleware that is no function, or a schema that is none. */
export function checkDefinition(name: string, definition: JobDefinition): void {
  const { input, output, middleware } = definition;
  if (input) able(input["~standard"], `${name}.input`, "validate");
  if (output) able(output["~standard"], `${name}.output`, "validate");
  for (const field of ["handler", "shouldQueue", "retryIf", "onFailed"] as const)
    if (definition[field] !== undefined) callable(definition[field], `${name}.${field}`);
  if (middleware) callables(middleware, `${name}.middleware`);
}

/** Job name → payload (an interface of the user's), or what `defineJobs` returned. */
export type JobMap = object;

/** The names in a job map. */
export type JobName<Jobs extends JobMap> = keyof Jobs & string;

/** The payload that `addJob` takes for a name. */
export type PayloadOf<Jobs extends JobMap, Name extends JobName<Jobs>> = Jobs extends DefinedJobs
  ? SchemaSide<Jobs[Name], "input">
  : Jobs[Name];

/** The payload of a handler: the schema's output, with its defaults and transformations. */
export type HandledPayloadOf<Jobs extends JobMap, Name extends JobName<Jobs>> = Jobs extends DefinedJobs
  ? SchemaSide<Jobs[Name], "output">
  : Jobs[Name];

/** The result of a job, as `waitFor` resolves with it: the type of its output schema; unknown without one. */
export type ResultOf<Jobs extends JobMap, Name extends JobName<Jobs>> = Jobs extends DefinedJobs
  ? Jobs[Name] extends { readonly "~types"?: infer Types }
    ? NonNullable<Types> extends { readonly result: infer Result }
      ? Result
      : unknown
    : Jobs[Name] extends { readonly output: { readonly "~standard": { readonly types?: infer Types } } }
      ? NonNullable<Types> extends { readonly output: infer Result }
        ? Result
        : unknown
      : unknown
  : unknown;

type SchemaSide<Definition, Side extends "input" | "output"> = Definition extends { readonly "~types"?: infer Types }
  ? NonNullable<Types> extends { readonly [S in Side]: infer Payload }
    ? Payload
    : unknown
  : Definition extends { readonly input: { readonly "~standard": { readonly types?: infer Types } } }
    ? NonNullable<Types> extends { readonly [S in Side]: infer Payload }
      ? Payload
      : unknown
    : unknown;

/** A schema's refusal, one path and message each: `details.issues` of an `invalid_payload` error. */
export interface PayloadIssue {
  /** Such as `to` or `items[2].price`; empty for the payload as a whole. */
  readonly path: string;
  readonly message: string;
}

/**
 * The payload as its schema returns it.
 *
 * @throws {QuaysideError} `invalid_payload`, with `details.issues`, when the schema refuses.
 */
export function validatePayload(
  name: string,
  definition: Pick<JobDefinition, "input"> | undefined,
  payload: unknown,
): unknown | Promise<unknown> {
  return validate(name, definition?.input, payload, "payload");
}

/**
 * The result as its schema returns it.
 *
 * @throws {QuaysideError} `invalid_result`, with `details.issues`, when the schema refuses.
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
    // Anything that looks like a promise is one: its `issues` would otherwise be looked for on the promise itself.
    return "then" in result ? Promise.resolve(result) : result;
  };
  const finish = (result: SchemaResult<unknown>) => {
    // JSON has no `undefined`: a payload that was left out is stored as null.
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

/** Why a payload may be refused that its schema takes as it was given. */
const HINT = " It is checked as JSON: a Date is a text (z.coerce.date() reads it).";

function pathText(path: NonNullable<SchemaIssue["path"]>): string {
  return path.reduce<string>((text, segment) => {
    const key = typeof segment === "object" ? segment.key : segment;
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, "");
}

/** The definitions in a job map of run time. @throws {QuaysideError} `invalid_option` when it was not made by `defineJobs`. */
export function definitionsOf(jobs: JobMap): Record<string, JobDefinition> {
  if (!defined.has(jobs)) throw refused("jobs", "must be what defineJobs({ … }) returned", jobs);
  return jobs as Record<string, JobDefinition>;
}
