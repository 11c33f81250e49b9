import type { DefinedJobs, ErrorCode } from "@quayside/core";
import type { NumberedRequest } from "@quayside/core/engine";
import type * as z from "zod/mini";
import type { Grant, Scope } from "./auth.ts";
import type { ApiLimits } from "./limits.ts";
import type { QuerySchema } from "./query.ts";
import type { QueueDriver } from "./queue-access.ts";
import type { AnswerName } from "./response-schemas.ts";

/** A route of the API without its handler, for the app, `openapi.json` and tests. */
export interface RouteInfo {
  /** `operationId` in `openapi.json`. */
  readonly id: string;
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Path with the parameters `:queue`, `:id` and `:key`. */
  readonly path: string;
  /** Scopes of which the caller needs one. Absent: any grant is enough. */
  readonly scopes?: readonly Scope[] | undefined;
  /** Set if the route requires no credentials. */
  readonly open?: true | undefined;
  readonly summary: string;
  /** HTTP status of a successful response. */
  readonly status: 200 | 201;
  /** Error codes of this route, in addition to those that every route has. */
  readonly errors: readonly ErrorCode[];
  /**
   * How this route uses an `Idempotency-Key`. `checked`: only checks its syntax. `honoured`: a repeated request with
   * the key has no further effect (R7).
   */
  readonly idempotencyKey?: "checked" | "honoured" | undefined;
}

/** A route with its schemas and its handler. */
export interface Route extends RouteInfo {
  readonly query?: QuerySchema | undefined;
  readonly body?: z.ZodMiniType | undefined;
  /** Schema of a body that is a list, if the route accepts one. */
  readonly many?: z.ZodMiniType | undefined;
  /** Name of the response's schema. `events`: a stream of server-sent events. `openapi`: the OpenAPI document. */
  readonly answer: AnswerName | "events" | "openapi";
  readonly handle: (call: Call<never, never>) => Promise<unknown>;
}

/** An authorized request with its checked parts. */
export interface Call<Query, Body> {
  /** HTTP method as sent: a `GET` route also receives `HEAD`. */
  readonly method: string;
  readonly grant: Grant;
  readonly queue: string;
  /** Id of the job, or key of the recurrence, that the path names. */
  readonly id: string;
  readonly query: Query;
  readonly body: Body;
  /** The numbered request, if the caller sent a number or an `Idempotency-Key`. */
  readonly request: NumberedRequest | undefined;
  /** Returns the key under which the queue's object stores this caller's worker, for the worker key in the request. */
  readonly worker: (key: string) => Promise<string>;
  /** The driver of the queue's object. */
  readonly driver: QueueDriver;
  /** Opens a stream of the queue's changes as server-sent events. */
  readonly events: () => Promise<ReadableStream<Uint8Array>>;
  readonly jobs: DefinedJobs | undefined;
  readonly limits: ApiLimits;
  /** Returns the text of `openapi.json`. */
  readonly openapi: () => string;
}

type QueryOf<Schema> = Schema extends QuerySchema ? z.output<Schema> : undefined;
type BodyOf<Schema> = Schema extends z.ZodMiniType ? z.output<Schema> : undefined;
type ManyOf<Schema> = Schema extends z.ZodMiniType ? z.output<Schema> : never;

/**
 * Creates a route whose handler's types come from its schemas. A `Response` that the handler returns is sent unchanged.
 */
export function route<
  Query extends QuerySchema | undefined = undefined,
  Body extends z.ZodMiniType | undefined = undefined,
  Many extends z.ZodMiniType | undefined = undefined,
>(
  spec: Omit<Route, "query" | "body" | "many" | "handle"> & {
    readonly query?: Query | undefined;
    readonly body?: Body | undefined;
    readonly many?: Many | undefined;
    readonly handle: (call: Call<QueryOf<Query>, BodyOf<Body> | ManyOf<Many>>) => Promise<unknown>;
  },
): Route {
  // The types of the call exist only here; the app checks the call by the same schemas.
  return spec as unknown as Route;
}
