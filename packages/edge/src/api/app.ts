import { type DefinedJobs, QuaysideError } from "@quayside/core";
import { checkProtocol, PROTOCOL_HEADER } from "@quayside/core/engine";
import { Hono } from "hono";
import { cors } from "hono/cors";
import type { QueueNamespace } from "../rpc/queue-rpc.ts";
import type { ShardsOption } from "../shards/layout.ts";
import { type Authenticate, authenticated, grantNothing, unauthorized } from "./auth.ts";
import { API_LIMITS, type ApiLimits } from "./limits.ts";
import { openApiText } from "./openapi.ts";
import { problemResponse } from "./problem.ts";
import { queueAccess } from "./queue-access.ts";
import { limitCaller, limiterOf, limitStranger, type RateLimiter } from "./rate-limit.ts";
import { routes } from "./routes.ts";
import { refuseOtherSites, securityHeaders } from "./security-headers.ts";
import { type ApiEnv, serve } from "./serve.ts";
import { discardBody } from "./unread-body.ts";

/** Options of `queueApi`. */
export interface QueueApiOptions<Env extends object> {
  /** Returns the namespace whose objects hold the queues. Each queue is in the object of its name. */
  readonly object: (env: Env) => QueueNamespace;
  /**
   * By queue name, over how many objects the queue is split: the same number as in `edgeQueue`. Default: one object.
   */
  readonly shards?: Readonly<Record<string, ShardsOption>>;
  /**
   * The job map: only its jobs may be added, and payloads are checked by their schemas. Default: any name, any JSON.
   */
  readonly jobs?: DefinedJobs;
  /**
   * Says who calls, and what the caller may do: `bearerTokens`, `jwtTokens`, `anyOf` or a function of yours. Default:
   * every route but `GET /health` answers 401.
   */
  readonly auth?: Authenticate<Env>;
  /** Allows pages of other origins: the options of `hono/cors`. Default: none. */
  readonly cors?: CorsOptions;
  /**
   * Limits of one request. Default: `API_LIMITS` (1 MiB per body, 128 KiB per payload, 1,000 jobs, keys kept for 24
   * h). Fields that are absent keep their default.
   */
  readonly limits?: Partial<ApiLimits>;
  /**
   * Returns Cloudflare's rate-limiting binding. A caller over its limit is answered 429 `rate_limited`. Requests are
   * counted per subject, or per address where there is none; those without valid credentials per address, IPv6 by its
   * first 64 bits. The binding counts roughly, in each of Cloudflare's places by itself; for exact numbers of jobs
   * give a grant a `quota`. Default: no limit.
   */
  readonly rateLimit?: (env: Env) => RateLimiter;
}

/** Headers that a driver in a page of another origin sends and reads. */
const CORS_HEADERS = {
  allowHeaders: ["authorization", "content-type", "idempotency-key", "quayside-request", PROTOCOL_HEADER],
  exposeHeaders: ["retry-after", PROTOCOL_HEADER],
};

export type CorsOptions = NonNullable<Parameters<typeof cors>[0]>;

/**
 * The HTTP API of the queues in a namespace, to be mounted where you like. Closed by default: without `auth` everything
 * but `/health` answers 401. Errors are problem details with a stable `code`.
 *
 * @example
 * const app = new Hono<{ Bindings: Env }>();
 * app.route("/api/queues", queueApi({
 *   jobs,
 *   object: (env: Env) => env.MAIL_QUEUE,
 *   auth: bearerTokens((env: Env) => ({ [env.QUEUE_TOKEN]: { scopes: ["enqueue"] } })),
 * }));
 */
export function queueApi<Env extends object>(options: QueueApiOptions<Env>): Hono<ApiEnv<Env>> {
  const limits = { ...API_LIMITS, ...options.limits };
  const auth: Authenticate<Env> = options.auth ?? grantNothing;
  const app = new Hono<ApiEnv<Env>>();
  let isReported = options.auth !== undefined;
  app.onError((error) => {
    const response = problemResponse(
      error,
      error instanceof QuaysideError && error.code === "unauthorized" ? { "www-authenticate": "Bearer" } : {},
    );
    // The answer does not say what broke, so the log must.
    if (response.status >= 500) console.error(error);
    return response;
  });
  app.use(securityHeaders());
  app.use(async (c, next) => {
    await next();
    discardBody(c, limits.bodyBytes);
  });
  // Before authentication: a browser asks for permission without credentials.
  if (options.cors) app.use(cors({ ...CORS_HEADERS, ...options.cors }));
  app.use(async (_, next) => {
    try {
      await next();
    } catch (thrown) {
      // Hono rethrows a value that is no Error, so the request would have no answer.
      throw new QuaysideError("internal", "Something was thrown that is no Error.", {}, thrown);
    }
  });
  app.use(async (c, next) => {
    checkProtocol("request", c.req.header(PROTOCOL_HEADER));
    await next();
  });
  const { jobs } = options;
  const queues = queueAccess(options.object, options.shards);
  const served = { queues, jobs, limits, openapi: openApiText({ jobs, limits }) };
  serve(
    app,
    routes.filter(({ open }) => open),
    served,
  );
  // Before anything is read: who may not call learns nothing, and costs little.
  app.use(async (c, next) => {
    const grant = await authenticated(auth, c.req.raw, c.env);
    const limiter = options.rateLimit && limiterOf(options.rateLimit, c.env);
    if (!grant) {
      // The caller is answered as with a wrong token. Once, so that strangers cannot fill the log.
      if (!isReported) console.error("queueApi has no auth: every route but /health answers 401 until you set it.");
      isReported = true;
      if (limiter) await limitStranger(limiter, c.req.raw);
      throw unauthorized();
    }
    if (limiter) await limitCaller(limiter, grant, c.req.raw);
    c.set("grant", grant);
    await next();
  });
  app.use(refuseOtherSites(options.cors));
  app.use(async (c, next) => {
    checkPath(c.req.url);
    await next();
  });
  serve(
    app,
    routes.filter(({ open }) => !open),
    served,
  );
  app.all("*", (c) => {
    throw new QuaysideError("route_not_found", `There is no route ${c.req.method} ${c.req.path}.`);
  });
  return app;
}

/** Refuses a path that cannot be decoded: Hono would use its undecoded text, the id of another job. */
function checkPath(url: string): void {
  const { pathname } = new URL(url);
  try {
    decodeURIComponent(pathname);
  } catch (cause) {
    throw new QuaysideError("bad_request", "The path is not percent-encoded UTF-8.", {}, cause);
  }
}
