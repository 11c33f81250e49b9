import { QuaysideError } from "./errors.ts";
import type { JobDefaults } from "./options.ts";

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

/** A job by its schema and its own defaults. */
export interface JobDefinition<Input = unknown, Output = unknown> extends JobDefaults {
  /** Checked when a job is added and again before it runs; handlers get its output. */
  readonly input?: StandardSchema<Input, Output>;
}

const DEFINED: unique symbol = Symbol("quayside.jobs");

/** What `defineJobs` returns: a job map that also exists at run time. */
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
  return Object.freeze({ ...definitions, [DEFINED]: true as const });
}

/** Job name → payload (an interface of the user's), or what `defineJobs` returned. */
export type JobMap = object;

export type JobName<Jobs extends JobMap> = keyof Jobs & string;

/** What `addJob` takes for a name. */
export type PayloadOf<Jobs extends JobMap, Name extends JobName<Jobs>> = Jobs extends DefinedJobs
  ? SchemaSide<Jobs[Name], "input">
  : Jobs[Name];

/** What a handler gets: the schema's output, so with its defaults and transformations. */
export type HandledPayloadOf<Jobs extends JobMap, Name extends JobName<Jobs>> = Jobs extends DefinedJobs
  ? SchemaSide<Jobs[Name], "output">
  : Jobs[Name];

type SchemaSide<Definition, Side extends "input" | "output"> = Definition extends {
  readonly input: { readonly "~standard": { readonly types?: infer Types } };
}
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
  definition: JobDefinition | undefined,
  payload: unknown,
): unknown | Promise<unknown> {
  if (!definition?.input) return payload;
  const result = definition.input["~standard"].validate(payload);
  return result instanceof Promise ? result.then((settled) => unwrap(name, settled)) : unwrap(name, result);
}

function unwrap(name: string, result: SchemaResult<unknown>): unknown {
  if (!result.issues) return result.value;
  const issues: PayloadIssue[] = result.issues.map(({ message, path }) => ({ path: pathText(path ?? []), message }));
  const listed = issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
  throw new QuaysideError(
    "invalid_payload",
    `The payload of job ${JSON.stringify(name)} does not fit its schema: ${listed}.`,
    { job: name, issues },
  );
}

function pathText(path: NonNullable<SchemaIssue["path"]>): string {
  return path.reduce<string>((text, segment) => {
    const key = typeof segment === "object" ? segment.key : segment;
    if (typeof key === "number") return `${text}[${key}]`;
    return text === "" ? String(key) : `${text}.${String(key)}`;
  }, "");
}

/** The definition of `name`; undefined when the map is one of types alone. @throws {QuaysideError} `unknown_job`. */
export function definitionOf(jobs: Record<string, JobDefinition> | undefined, name: string): JobDefinition | undefined {
  if (!jobs) return undefined;
  if (!Object.hasOwn(jobs, name)) {
    throw new QuaysideError(
      "unknown_job",
      `There is no job ${JSON.stringify(name)} in the job map. Known are ${Object.keys(jobs).join(", ")}.`,
      { job: name },
    );
  }
  return jobs[name];
}

/** The definitions in a job map of run time. @throws {QuaysideError} `invalid_option` when it was not made by `defineJobs`. */
export function definitionsOf(jobs: JobMap): Record<string, JobDefinition> {
  if (!(DEFINED in jobs)) {
    throw new QuaysideError("invalid_option", "jobs must be what defineJobs({ … }) returned.", { option: "jobs" });
  }
  return jobs as Record<string, JobDefinition>;
}
