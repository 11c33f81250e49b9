import type { Handler, HandlerContext } from "./handler.ts";
import type { JobDefinition, StandardSchema } from "./job-map.ts";
import type { JobOptions } from "./job-options.ts";
import type { JobRecord } from "./job-record.ts";
import type { JsonInput, Jsonify } from "./json-types.ts";

/** The types of one job: payload as added and as handled, result as stored, and what its handlers return. */
export interface JobTypes<Input = unknown, Output = unknown, Result = unknown, Returned = unknown> {
  readonly input: Input;
  readonly output: Output;
  readonly result: Result;
  readonly returned: Returned;
}

/** A definition whose types the compiler can read, even if it has no schemas. */
export type TypedDefinition<Types extends JobTypes = JobTypes> = JobDefinition<
  Types["input"],
  Types["output"],
  Types["result"],
  Types["returned"]
> & {
  readonly "~types"?: Types | undefined;
};

/** Marks the types of job maps made by `defineJobs`. No value has this key. */
declare const DEFINED: unique symbol;

/** The result of `defineJobs`: a job map that also exists at run time. */
export type DefinedJobs<Definitions extends object = Record<string, JobDefinition>> = Definitions & {
  readonly [DEFINED]: true;
};

/** The payload type of each job name: an interface of the user's, or the result of `defineJobs`. */
export type JobMap = object;

/**
 * Adds a compiler error to the driver of a queue whose job map has schemas and options at run time, if the options that
 * pass the map are missing.
 */
export type PassJobs<Jobs extends JobMap> =
  Jobs extends DefinedJobs<object>
    ? { readonly "Pass { jobs }: the result of defineJobs has schemas and options that the queue needs": never }
    : unknown;

/** The job map of a queue that was given none: any name, any payload. Every job map can be assigned to it. */
export interface UntypedJobs {
  // biome-ignore lint/suspicious/noExplicitAny: with `unknown`, an interface could not be assigned to this type.
  readonly [name: string]: any;
}

/** The job names of a job map. */
export type JobName<Jobs extends JobMap> = keyof Jobs & string;

/**
 * The payload that `addJob` takes for a job name: the schema's input. For a union of names, a payload that fits each.
 */
export type PayloadOf<Jobs extends JobMap, Name extends JobName<Jobs>> = {
  [Each in Name]: (payload: JsonInput<TypesIn<Jobs, Each>["input"]>) => void;
}[Name] extends (payload: infer Payload) => void
  ? Payload
  : never;

/** The member `payload` of a job to add. It may be left out if the payload may be `undefined` or can only be null. */
export type WithPayload<Payload> =
  IsOptional<Payload> extends true ? { readonly payload?: Payload | undefined } : { readonly payload: Payload };

/** The arguments of `addJob` after the name: the payload, which may be optional, and others. */
export type AddArguments<Payload, Others extends readonly unknown[] = [options?: JobOptions]> =
  IsOptional<Payload> extends true ? [payload?: Payload, ...others: Others] : [payload: Payload, ...others: Others];

type IsOptional<Payload> = undefined extends Payload ? true : [Payload] extends [null] ? true : false;

/** The payload that a handler receives: the schema's output, with its defaults and transformations. */
export type HandledPayloadOf<Jobs extends JobMap, Name extends JobName<Jobs>> = TypesIn<Jobs, Name>["output"];

/** The result of a job, as returned by `waitFor`: the type of its output schema; unknown without one. */
export type ResultOf<Jobs extends JobMap, Name extends JobName<Jobs>> = TypesIn<Jobs, Name>["result"];

/** The return type of a job's handlers: the input of its output schema; anything without one. */
export type ReturnedOf<Jobs extends JobMap, Name extends JobName<Jobs>> = TypesIn<Jobs, Name>["returned"];

/** A handler of the jobs `Name` of a job map: it gets the handled payload, and returns what the output schema takes. */
export type JobHandler<
  Jobs extends JobMap,
  Name extends JobName<Jobs> = JobName<Jobs>,
  Ctx extends object = object,
> = Handler<
  HandledPayloadOf<Jobs, Name>,
  Ctx,
  HandlerContext<JobOf<Jobs, Name>["payload"], Jobs>,
  // biome-ignore lint/suspicious/noConfusingVoidType: a further handler of a job need not return its result.
  ReturnedOf<Jobs, Name> | void
>;

/**
 * A job of a job map, as a union by name: after a check of `job.name`, the types of `job.payload` and `job.result` are
 * those of that job.
 */
export type JobOf<Jobs extends JobMap, Name extends JobName<Jobs> = JobName<Jobs>> = {
  [Each in Name]: JobRecord<Jsonify<PayloadOf<Jobs, Each>>, Each, ResultOf<Jobs, Each>>;
}[Name];

/** The types of a job: those of its definition; of its payload type in an interface; unknown without a map. */
type TypesIn<Jobs extends JobMap, Name extends JobName<Jobs>> = string extends keyof Jobs
  ? JobTypes
  : Jobs extends DefinedJobs<object>
    ? TypesOf<Jobs[Name]>
    : JobTypes<Jobs[Name], Jsonify<Jobs[Name]>>;

type TypesOf<Definition> = Definition extends { readonly "~types"?: infer Types }
  ? Extract<NonNullable<Types>, JobTypes>
  : JobTypes;

// The types of `defineJobs`, which infers the schemas of each definition before it types the functions.

/** The member `Name` of `T`; unknown if there is none. */
export type MemberOf<T, Name> = Name extends keyof T ? T[Name] : unknown;

/** The members of the definitions from which the compiler infers the types of each job. */
export type SchemasOf<Inputs extends object, Outputs extends object, Types extends object> = {
  readonly [Name in keyof Inputs]: { readonly input?: (Inputs[Name] & StandardSchema) | undefined };
} & {
  readonly [Name in keyof Outputs]: { readonly output?: (Outputs[Name] & StandardSchema) | undefined };
} & { readonly [Name in keyof Types]: { readonly "~types"?: Types[Name] | undefined } };

/** The definition of a job with the schemas `Input` and `Output`. */
export type DefinitionBy<Input, Output> = JobDefinition<
  SchemaInput<Input>,
  SchemaOutput<Input>,
  SchemaOutput<Output>,
  SchemaInput<Output>
>;

/** A definition in the result of `defineJobs`. */
export type DefinedJob<Input, Output, Types> = TypedDefinition<
  unknown extends Types
    ? JobTypes<SchemaInput<Input>, SchemaOutput<Input>, SchemaOutput<Output>, SchemaInput<Output>>
    : Extract<Types, JobTypes>
> & { readonly input: Input; readonly output: Output };

type SchemaInput<Schema> = Schema extends StandardSchema<infer Input, infer _> ? Input : unknown;
type SchemaOutput<Schema> = Schema extends StandardSchema<infer _, infer Output> ? Output : unknown;
