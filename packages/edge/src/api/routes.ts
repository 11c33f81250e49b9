import {
  type Command,
  type DefinedJobs,
  type Driver,
  type Duration,
  type ExchangeRequest,
  type NewJob,
  type NumberedRequest,
  QuaysideError,
  toMs,
} from "@quayside/core";
import type { Context, Hono } from "hono";
import { checkGrant, type Grant, type Scope } from "./auth.ts";
import type { ApiLimits } from "./limits.ts";
import { readJobs } from "./new-jobs.ts";
import { problemOf } from "./problem.ts";
import type { QueueAccess } from "./queue-access.ts";
import {
  check,
  clearQuery,
  exchangeBody,
  listQuery,
  requestHeader,
  retryQuery,
  scheduleBody,
  settingsBody,
  updateBody,
} from "./schemas.ts";

/** What the handlers of the API have at hand. */
export interface ApiEnv<Env extends object> {
  Bindings: Env;
  Variables: { grant: Grant };
}

export interface RouteOptions<Env extends object> {
  readonly queues: QueueAccess<Env>;
  readonly jobs: DefinedJobs | undefined;
  readonly limits: ApiLimits;
}

/** Adds the routes of the API: each says who may call it, what it takes, and which verb of the driver it is. */
export function addRoutes<Env extends object>(app: Hono<ApiEnv<Env>>, options: RouteOptions<Env>): void {
  type C = Context<ApiEnv<Env>>;

  /** A handler for callers with one of `scopes`. */
  const allow =
    (scopes: readonly Scope[], handle: (c: C, queue: string, driver: Driver) => Promise<Response>) =>
    async (c: C): Promise<Response> => {
      const queue = c.req.param("queue") as string;
      checkGrant(c.var.grant, scopes, queue);
      return handle(c, queue, options.queues.driver(c.env, queue));
    };
  const command = (make: (c: C, queue: string) => Command) =>
    allow(["admin"], async (c, queue, driver) => c.json(await driver.command(make(c, queue))));
  const jobCommand = (type: "cancel" | "retry" | "promote" | "remove") =>
    allow(["admin"], async (c, queue, driver) => {
      const id = c.req.param("id") as string;
      const reply = await driver.command({ type, queue, id });
      if (reply.affected === 0 && reply.state === undefined) throw notFound(queue, id);
      return c.json(reply);
    });

  const reading = (queue: string) => ({ queue, jobs: options.jobs, limits: options.limits });

  app.post(
    "/:queue/jobs",
    allow(["enqueue"], async (c, queue, driver) => {
      const body = await bodyOf(c);
      const jobs = await readJobs(body, reading(queue));
      const request = numberedRequest(c.req.header("quayside-request"));
      const receipts = await driver.enqueue(jobs, request);
      return c.json(Array.isArray(body) ? receipts : (receipts[0] ?? null), 201);
    }),
  );
  app.get(
    "/:queue/jobs",
    allow(["work", "admin"], async (c, queue, driver) => {
      return c.json(await driver.list({ queue, ...check(listQuery, queryOf(c)) }));
    }),
  );
  app.get(
    "/:queue/jobs/:id",
    allow(["work", "admin"], async (c, queue, driver) => {
      const id = c.req.param("id") as string;
      const job = await driver.get(queue, id);
      if (!job) throw notFound(queue, id);
      return c.json(job);
    }),
  );
  app.post("/:queue/jobs/:id/cancel", jobCommand("cancel"));
  app.post("/:queue/jobs/:id/retry", jobCommand("retry"));
  app.post("/:queue/jobs/:id/promote", jobCommand("promote"));
  app.delete("/:queue/jobs/:id", jobCommand("remove"));
  app.patch(
    "/:queue/jobs/:id",
    allow(["admin"], async (c, queue, driver) => {
      const id = c.req.param("id") as string;
      const job = await driver.get(queue, id);
      if (!job) throw notFound(queue, id);
      const { payload, priority, delay } = check(updateBody, await bodyOf(c));
      const next = payload === undefined ? undefined : await readJobs({ name: job.name, payload }, reading(queue));
      return c.json(
        await driver.command({
          type: "update",
          queue,
          id,
          ...(next && { payload: next[0]?.payload as string }),
          ...(priority !== undefined && { priority }),
          ...(delay !== undefined && { delayMs: toMs(delay as Duration, "delay") }),
        }),
      );
    }),
  );

  app.get(
    "/:queue/schedules",
    allow(["work", "admin"], async (c, queue, driver) => c.json(await driver.schedules(queue))),
  );
  app.put(
    "/:queue/schedules/:key",
    allow(["admin"], async (c, queue, driver) => {
      const { rule, job } = check(scheduleBody, await bodyOf(c));
      const [resolved] = await readJobs(job, reading(queue));
      const key = c.req.param("key") as string;
      return c.json(await driver.command({ type: "schedule", queue, key, rule, job: resolved as NewJob }));
    }),
  );
  app.delete(
    "/:queue/schedules/:key",
    command((c, queue) => ({ type: "unschedule", queue, key: c.req.param("key") as string })),
  );

  app.post(
    "/:queue/pause",
    command((_, queue) => ({ type: "pause", queue })),
  );
  app.post(
    "/:queue/resume",
    command((_, queue) => ({ type: "resume", queue })),
  );
  app.post(
    "/:queue/retry",
    command((c, queue) => ({ type: "retryAll", queue, ...check(retryQuery, queryOf(c)) })),
  );
  app.post(
    "/:queue/clear",
    command((c, queue) => ({ type: "clear", queue, ...check(clearQuery, queryOf(c)) })),
  );
  app.patch(
    "/:queue/settings",
    allow(["admin"], async (c, queue, driver) => {
      const settings = check(settingsBody, await bodyOf(c));
      return c.json(await driver.command({ type: "configure", queue, ...settings }));
    }),
  );
  app.get(
    "/:queue/counts",
    allow(["work", "admin"], async (c, queue, driver) => c.json(await driver.counts(queue))),
  );

  app.post(
    "/:queue/exchange",
    allow(["work"], async (c, queue, driver) => {
      const { claim, ...round } = check(exchangeBody, await bodyOf(c));
      const { names, ...rest } = claim;
      const request = { ...round, liveness: "time", claim: { ...rest, queues: [{ queue, ...(names && { names }) }] } };
      return c.json(await driver.exchange(request as ExchangeRequest));
    }),
  );
  app.get(
    "/:queue/next-wake",
    allow(["work"], async (c, queue, driver) => c.json({ nextWakeMs: (await driver.nextWake([queue])) ?? null })),
  );
  app.get(
    "/:queue/events",
    allow(["enqueue", "work", "admin"], async (c, queue) => {
      const stream = await options.queues.events(c.env, queue);
      return new Response(stream, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
    }),
  );

  app.all("*", (c) => {
    const error = new QuaysideError("bad_request", `There is no route ${c.req.method} ${c.req.path}.`);
    const problem = { ...problemOf(error), status: 404, title: "Not Found" };
    return c.json(problem, 404, { "content-type": "application/problem+json" });
  });
}

/** The query; `tags` may stand in it several times. */
function queryOf(c: Context): Readonly<Record<string, unknown>> {
  const tags = c.req.queries("tags");
  return { ...c.req.query(), ...(tags && { tags }) };
}

function numberedRequest(header: string | undefined): NumberedRequest | undefined {
  return header === undefined
    ? undefined
    : check(requestHeader, Object.fromEntries(new URLSearchParams(header)), "quayside-request");
}

const notFound = (queue: string, id: string) =>
  new QuaysideError("job_not_found", `Queue ${queue} has no job ${id}.`, { queue, id });

/**
 * The body as JSON. It must say that it is: a form of another site can post any text, but not with this type, so an
 * `auth` that goes by cookies cannot be used by it.
 */
async function bodyOf(c: Context): Promise<unknown> {
  if (!/^application\/(?:[^;]+\+)?json\b/i.test(c.req.header("content-type") ?? "")) {
    throw new QuaysideError("bad_request", "The content type must be application/json.");
  }
  try {
    return await c.req.json();
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new QuaysideError("bad_request", "The body is not JSON.", {}, cause);
    throw cause;
  }
}
