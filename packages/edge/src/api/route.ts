import type { DefinedJobs, ErrorCode } from "@quayside/core";
import type { NumberedRequest } from "@quayside/core/engine";
import type * as z from "zod/mini";
import type { Grant, Scope } from "./auth.ts";
import type { ApiLimits } from "./limits.ts";
import type { QuerySchema } from "./query.ts";
import type { QueueDriver } from "./queue-access.ts";
import type { AnswerName } from "./response-schemas.ts";

/** A route without its handler: for the app, for `openapi.json`, for tests. */
export interface RouteInfo {
  /** `operationId` in `openapi.json`. */
  readonly id: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With `:queue`, `:id` and `:key` for its parameters. */
  readonly path: string;
  /** Any one of these is enough. Absent: whatever the grant. */
  readonly scopes?: readonly Scope[];
  /** Needs no credentials. */
  readonly open?: true;
  readonly summary: string;
  /** Of an answer that went well. */
  readonly status: 200 | 201;
  /** Codes that it may answer besides those that any route may. */
  readonly errors: readonly ErrorCode[];
  /** The use of an `Idempotency-Key`: only its syntax is checked, or it identifies the request (R7). */
  readonly idempotencyKey?: "checked" | "honoured";
}

/** A route: what it takes and answers, and which verb of the driver it is. */
export interface Route extends RouteInfo {
  readonly query?: QuerySchema;
  readonly body?: z.ZodMiniType;
  /** Schema of a body that is an array, where the route accepts one. */
  readonly many?: z.ZodMiniType;
  /** The name of its answer's schema; `events`: a stream of server-sent events; `openapi`: the document. */
  readonly answer: AnswerName | "events" | "openapi";
  readonly handle: (call: Call<never, never>) => Promise<unknown>;
}

/** A request that may be made, its parts checked. */
export interface Call<Query, Body> {
  /** As it came: `HEAD` for a `GET` of which only the head is asked. */
  readonly method: string;
  readonly grant: Grant;
  readonly queue: string;
  /** Of the job or of the recurrence that the path names. */
  readonly id: string;
  readonly query: Query;
  readonly body: Body;
  /** Set where the caller numbered the request, or gave it an `Idempotency-Key`. */
  readonly request: NumberedRequest | undefined;
  /** The key in the queue's object of a worker of this caller. */
  readonly worker: (key: string) => Promise<string>;
  /** Speaks with the queue's object. */
  readonly driver: QueueDriver;
  /** Changes of the queue as server-sent events. */
  readonly events: () => Promise<ReadableStream<Uint8Array>>;
  readonly jobs: DefinedJobs | undefined;
  readonly limits: ApiLimits;
  /** The text of `openapi.json`. */
  readonly openapi: () => string;
}

type QueryOf<Schema> = Schema extends QuerySchema ? z.output<Schema> : undefined;
type BodyOf<Schema> = Schema extends z.ZodMiniType ? z.output<Schema> : undefined;
type ManyOf<Schema> = Schema extends z.ZodMiniType ? z.output<Schema> : never;

/** A route whose handler is typed by its schemas. A handler that answers a `Response` has it sent as it is. */
export function route<
  Query extends QuerySchema | undefined = undefined,
  Body extends z.ZodMiniType | undefined = undefined,
  Many extends z.ZodMiniType | undefined = undefined,
>(
  spec: Omit<Route, "query" | "body" | "many" | "handle"> & {
    readonly query?: Query;
    readonly body?: Body;
    readonly many?: Many;
    readonly handle: (call: Call<QueryOf<Query>, BodyOf<Body> | ManyOf<Many>>) => Promise<unknown>;
  },
): Route {
  // The types of its call are known here alone; the app hands over what it has checked by the same schemas.
  return spec as unknown as Route;
}
