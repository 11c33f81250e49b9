import { type DefinedJobs, QuaysideError } from "@quayside/core";
import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import type { QueueNamespace } from "../queue-rpc.ts";
import type { ShardsOption } from "../shards/layout.ts";
import { type Authenticate, nobody, unauthorized } from "./auth.ts";
import { API_LIMITS, type ApiLimits } from "./limits.ts";
import { problemResponse } from "./problem.ts";
import { queueAccess } from "./queue-access.ts";
import { type ApiEnv, addRoutes } from "./routes.ts";
import { discardBody } from "./unread-body.ts";

export interface QueueApiOptions<Env extends object> {
  /** The namespace whose objects hold the queues: each queue its own object, named like it. */
  readonly object: (env: Env) => QueueNamespace;
  /** Queues that are split over several objects, and over how many: see `edgeQueue`. */
  readonly shards?: Readonly<Record<string, ShardsOption>>;
  /** The jobs that may be added, checked by their schemas. Absent: any name, any payload. */
  readonly jobs?: DefinedJobs;
  /** Who may do what. Absent: nobody anything. */
  readonly auth?: Authenticate<Env>;
  /** For pages of other origins. Absent: none. See `hono/cors`. */
  readonly cors?: CorsOptions;
  readonly limits?: Partial<ApiLimits>;
}

/** What a driver in a page of another origin sends besides, and what it has to read. */
const CORS_HEADERS = {
  allowHeaders: ["authorization", "content-type", "quayside-request"],
  exposeHeaders: ["retry-after"],
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
  const auth: Authenticate<Env> = options.auth ?? nobody;
  const app = new Hono<ApiEnv<Env>>();
  app.onError((error) => {
    const response = problemResponse(
      error,
      error instanceof QuaysideError && error.code === "unauthorized" ? { "www-authenticate": "Bearer" } : {},
    );
    // The answer does not say what broke, so the log must.
    if (response.status >= 500) console.error(error);
    return response;
  });
  app.use(async (c, next) => {
    await next();
    await discardBody(c.req.raw, limits.bodyBytes);
  });
  // Before authentication: a browser asks for permission without credentials.
  if (options.cors) app.use(cors({ ...CORS_HEADERS, ...options.cors }));
  app.get("/health", (c) => c.json({ status: "ok" }));
  // Before anything is read: who may not call learns nothing, and costs little.
  app.use(async (c, next) => {
    const grant = await auth(c.req.raw, c.env);
    if (!grant) throw unauthorized();
    c.set("grant", grant);
    await next();
  });
  app.use(
    bodyLimit({
      maxSize: limits.bodyBytes,
      onError: () => {
        throw new QuaysideError("too_large", `The body is larger than ${limits.bodyBytes} bytes.`, {
          limit: limits.bodyBytes,
        });
      },
    }),
  );
  addRoutes(app, { queues: queueAccess(options.object, options.shards), jobs: options.jobs, limits });
  return app;
}
