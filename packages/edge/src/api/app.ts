import { type DefinedJobs, QuaysideError, type QueueDefinition, type ShardsOption } from "@quayside/core";
import { checkProtocol, PROTOCOL_HEADER, refused } from "@quayside/core/engine";
import { Hono } from "hono";
import { cors } from "hono/cors";
import { checkQueues, jobsOfAll } from "../object/defined-queues.ts";
import type { QueueNamespace } from "../rpc/queue-rpc.ts";
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
  /** Returns the Durable Object namespace of the queues. Each queue is in the object that has the queue's name. */
  readonly object: (env: Env) => QueueNamespace;
  /**
   * The queues that the API serves, from `defineQueue`, in place of `jobs` and `shards`. Requests for other queues get
   * 404 `queue_not_found`, and no object is created for them. Default: every queue name.
   */
  readonly queues?: readonly QueueDefinition[] | undefined;
  /**
   * Number of objects over which each split queue is divided, by queue name. Must equal the number in `edgeQueue`.
   * Default: one object per queue.
   */
  readonly shards?: Readonly<Record<string, ShardsOption>> | undefined;
  /**
   * The job map. Only jobs in the map can be added, and their payloads are checked by its schemas. Default: any job
   * name and any JSON payload.
   */
  readonly jobs?: DefinedJobs | undefined;
  /**
   * Returns the caller's rights for a request: `bearerTokens`, `jwtTokens`, `anyOf`, or a function of your own.
   * Default: every route except `GET /health` answers 401.
   */
  readonly auth?: Authenticate<Env> | undefined;
  /** Allows requests from pages of other origins: the options of `hono/cors`. Default: none are allowed. */
  readonly cors?: CorsOptions | undefined;
  /**
   * Limits of one request. Default: `API_LIMITS` (1 MiB per body, 128 KiB per payload, 1,000 jobs; the outcome of an
   * `Idempotency-Key` is kept for 24 h). Absent fields keep their default.
   */
  readonly limits?: Partial<ApiLimits> | undefined;
  /**
   * Returns Cloudflare's rate-limiting binding. A caller over the limit gets 429 `rate_limited`. Requests are counted
   * per subject, or per IP address for callers without a subject or valid credentials (for IPv6, per first 64 bits).
   * The binding counts approximately, and separately in each Cloudflare location; to limit jobs exactly, set a grant's
   * `quota`. Default: no limit.
   */
  readonly rateLimit?: ((env: Env) => RateLimiter) | undefined;
}

/** Names of the CORS headers that `httpDriver` sends and reads in a page of another origin. */
const CORS_HEADERS = {
  allowHeaders: ["authorization", "content-type", "idempotency-key", "quayside-request", PROTOCOL_HEADER],
  exposeHeaders: ["retry-after", PROTOCOL_HEADER],
};

export type CorsOptions = NonNullable<Parameters<typeof cors>[0]>;

/**
 * Creates the HTTP API of the queues in a namespace, as a Hono app that you mount in yours. Without `auth`, every route
 * except `/health` answers 401. Errors are problem details with a stable `code`.
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
    // Logs the error, because the response does not contain its cause.
    if (response.status >= 500) console.error(error);
    return response;
  });
  app.use(securityHeaders());
  app.use(async (c, next) => {
    await next();
    discardBody(c, limits.bodyBytes);
  });
  // CORS runs before authentication, because browsers send preflight requests without credentials.
  if (options.cors) app.use(cors({ ...CORS_HEADERS, ...options.cors }));
  app.use(async (_, next) => {
    try {
      await next();
    } catch (thrown) {
      // Hono rethrows a thrown value that is not an Error; the request would then get no response.
      throw new QuaysideError("internal", "Something was thrown that is no Error.", {}, thrown);
    }
  });
  app.use(async (c, next) => {
    checkProtocol("request", c.req.header(PROTOCOL_HEADER));
    await next();
  });
  const { queues: defined } = checkQueues(options);
  if (defined && options.shards) throw refused("shards", "belongs to the definition of each queue", options.shards);
  const served = {
    ...servedQueues(options),
    limits,
    openapi: openApiText({ jobs: defined ? (jobsOfAll(defined) as DefinedJobs | undefined) : options.jobs, limits }),
  };
  serve(
    app,
    routes.filter(({ open }) => open),
    served,
  );
  // Authenticates before the request is read, so that an unauthorized request is cheap and reveals nothing.
  app.use(async (c, next) => {
    const grant = await authenticated(auth, c.req.raw, c.env);
    const limiter = options.rateLimit && limiterOf(options.rateLimit, c.env);
    if (!grant) {
      // The caller gets the same answer as for a wrong token. Logged once, so that unauthorized requests cannot fill
      // the log.
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

/** Returns how the API reaches its queues, and the job map of each. */
function servedQueues<Env extends object>({ object, queues, shards, jobs }: QueueApiOptions<Env>) {
  if (!queues) return { queues: queueAccess(object, shards), jobsOf: () => jobs };
  const byName = new Map(queues.map((queue) => [queue.name, queue]));
  const split = queues.flatMap(({ name, shards }) => (shards === undefined ? [] : [[name, shards] as const]));
  return {
    queues: queueAccess(object, Object.fromEntries(split)),
    jobsOf(name: string): DefinedJobs | undefined {
      const queue = byName.get(name);
      if (queue) return queue.jobs as DefinedJobs | undefined;
      throw new QuaysideError("queue_not_found", `There is no queue ${JSON.stringify(name)}.`, { queue: name });
    },
  };
}

/**
 * Throws for a path that cannot be percent-decoded. Hono would pass on the undecoded text, which could be the id of
 * another job.
 */
function checkPath(url: string): void {
  const { pathname } = new URL(url);
  try {
    decodeURIComponent(pathname);
  } catch (cause) {
    throw new QuaysideError("bad_request", "The path is not percent-encoded UTF-8.", {}, cause);
  }
}
