import { type DefinedJobs, QuaysideError, toMs } from "@quayside/core";
import { checkName } from "@quayside/core/engine";
import type { Context, Hono } from "hono";
import { checkGrant, type Grant, subjectOf } from "./auth.ts";
import { readBody, refuseBody } from "./body.ts";
import { check } from "./check-request.ts";
import {
  inWordsOfKeys,
  KeysInProgress,
  keyedRequest,
  keySender,
  type Owner,
  ownRequest,
  ownWorker,
  readIdempotencyKey,
  readNumber,
} from "./idempotency.ts";
import type { ApiLimits } from "./limits.ts";
import { problemResponse } from "./problem.ts";
import { readQuery } from "./query.ts";
import type { QueueAccess } from "./queue-access.ts";
import type { Call, Route } from "./route.ts";

/** Values that Hono passes to the handlers of the API for each request. */
export interface ApiEnv<Env extends object> {
  Bindings: Env;
  Variables: { grant: Grant };
}

export interface ServeOptions<Env extends object> {
  readonly queues: QueueAccess<Env>;
  /**
   * Returns the job map of a queue; undefined if any job may be added.
   *
   * @throws {QuaysideError} `queue_not_found` if the API does not serve the queue.
   */
  readonly jobsOf: (queue: string) => DefinedJobs | undefined;
  readonly limits: ApiLimits;
  readonly openapi: () => string;
}

/**
 * Adds the routes to a Hono app. For each request, checks the grant, then the parts of the request, then calls the
 * handler.
 */
export function serve<Env extends object>(
  app: Hono<ApiEnv<Env>>,
  routes: readonly Route[],
  options: ServeOptions<Env>,
): void {
  const inProgress = new KeysInProgress();
  const { queues, limits, jobsOf, openapi } = options;
  const keyMs = toMs(limits.keyTtl, "limits.keyTtl");

  async function answer(c: Context<ApiEnv<Env>>, route: Route): Promise<Response> {
    const { grant } = c.var;
    const queue = c.req.param("queue") ?? "";
    if (route.scopes) checkGrant(grant, route.scopes, queue);
    if (queue !== "") checkName(queue, "queue");
    const jobs = queue === "" ? undefined : jobsOf(queue);
    const query = route.query && readQuery(route.query, new URL(c.req.url).searchParams);
    const key = route.idempotencyKey && readIdempotencyKey(c.req.header("idempotency-key"));
    const number = route.idempotencyKey === "honoured" ? readNumber(c.req.header("quayside-request")) : undefined;

    const owner = (): Owner => ({ subject: subjectOf(grant), queue });
    // Refused before the body is read. Routes that only check the key are for workers, which also need a subject.
    if (key !== undefined || route.idempotencyKey === "checked") owner();
    const numbered = number && (await ownRequest(number, owner()));

    const run = async (sender?: string): Promise<Response> => {
      const body = route.body
        ? checkBody(route, await readBody(c.req.raw, limits.bodyBytes), limits)
        : await refuseBody(c.req.raw, limits.bodyBytes);
      // The driver's number identifies the request; the key is ignored.
      const keyed = sender === undefined ? undefined : await keyedRequest(sender, body, keyMs);
      const request = numbered ?? keyed;
      const call: Call<unknown, unknown> = {
        method: c.req.method,
        grant,
        queue,
        worker: (key) => ownWorker(key, owner()),
        id: c.req.param("id") ?? c.req.param("key") ?? "",
        query,
        body,
        request,
        driver: queues.driver(c.env, queue),
        events: () => queues.events(c.env, queue),
        jobs,
        limits,
        openapi,
      };
      const answered = await route.handle(call as Call<never, never>);
      return answered instanceof Response ? answered : c.json(answered as object | null, route.status);
    };
    if (key === undefined || number || route.idempotencyKey !== "honoured") return run();
    const sender = await keySender(key, owner());
    return inProgress.run(sender, () => run(sender)).catch((error) => Promise.reject(inWordsOfKeys(error)));
  }

  for (const route of routes) app.on(route.method, route.path, (c) => answer(c, route));
  for (const [path, allow] of methodsOf(routes)) {
    app.all(path, (c) => {
      if (c.req.method === "OPTIONS") return c.body(null, 204, { allow });
      const error = new QuaysideError("method_not_allowed", `${c.req.path} takes ${allow}, not ${c.req.method}.`);
      return problemResponse(error, { allow });
    });
  }
}

function checkBody({ body: schema, many }: Route, value: unknown, limits: ApiLimits): unknown {
  if (!schema || !many || !Array.isArray(value)) return schema && check(schema, value);
  if (value.length > limits.jobs) {
    throw new QuaysideError("too_large", `At most ${limits.jobs} jobs in one request, got ${value.length}.`, {
      limit: limits.jobs,
    });
  }
  return check(many, value);
}

/** Returns the value of the header `Allow` for each path. */
function methodsOf(routes: readonly Route[]): ReadonlyMap<string, string> {
  const allow = new Map<string, string>();
  for (const { method, path } of routes) {
    const named = method === "GET" ? "GET, HEAD" : method;
    allow.set(path, [...(allow.get(path)?.split(", ") ?? []), named].join(", "));
  }
  return new Map([...allow].map(([path, methods]) => [path, `${methods}, OPTIONS`]));
}
