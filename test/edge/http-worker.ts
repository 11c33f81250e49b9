import { type Clock, defineJobs, type ShardsOption, systemClock } from "@quayside/core";
import { bearerTokens, durableQueue, type QueueNamespace, queueApi } from "@quayside/edge";
import { SqlStore } from "@quayside/edge/engine";
import { checkInvariants, snapshot } from "@quayside/testing";
import { Hono } from "hono";
import * as z from "zod";

/** The time of each space of queues: it stands still until a test moves it. Timers are the platform's. */
const times = new Map<string, { wall: number; elapsed: number }>();

function timeOf(space: string): { wall: number; elapsed: number } {
  const time = times.get(space) ?? { wall: Date.UTC(2026, 0, 1), elapsed: 0 };
  times.set(space, time);
  return time;
}

/** An object is named `space/queue`. */
function clockOf(ctx: DurableObjectState): Clock {
  const time = timeOf(ctx.id.name?.split("/")[0] ?? "");
  return {
    now: () => time.wall,
    monotonic: () => time.elapsed,
    after: systemClock.after,
    nextTask: systemClock.nextTask,
  };
}

/** Keeps jobs and works none: the tests are its workers. */
export class HttpQueue extends durableQueue({ clock: clockOf }) {
  /** All that is stored, and what is wrong with it. */
  async look(): Promise<{ readonly records: string; readonly violations: readonly string[] }> {
    const store = new SqlStore(this.ctx.storage);
    return {
      records: JSON.stringify(await store.transact(snapshot)),
      violations: await store.transact(checkInvariants),
    };
  }
}

/** The same on the platform's clock: for processes that come and go, whom no test can tell the time. */
export class TimedQueue extends durableQueue({}) {}

/** The queues of one space. */
const within = (space: string, namespace: DurableObjectNamespace<HttpQueue | TimedQueue>): QueueNamespace => ({
  idFromName: (queue) => namespace.idFromName(`${space}/${queue}`),
  get: (id) => namespace.get(id),
});

const app = new Hono<{ Bindings: Cloudflare.Env }>();

app.post("/spaces/:space/time", async (c) => {
  const { advance = 0, jump = 0 } = await c.req.json<{ advance?: number; jump?: number }>();
  const time = timeOf(c.req.param("space"));
  time.wall += advance + jump;
  time.elapsed += advance;
  return c.json(time);
});

/** Queues of each space of which a request was answered. */
const used = new Map<string, Set<string>>();

/** Answers the records of the queue "mail" of a space, and how many rows the objects of all its queues have read. */
app.get("/spaces/:space/look", async (c) => {
  const space = c.req.param("space");
  const object = (queue: string) => c.env.HTTP_QUEUE.getByName(`${space}/${queue}`);
  let read = 0;
  for (const queue of used.get(space) ?? []) read += (await object(queue).usage()).rowsRead;
  return c.json({ ...(await object("mail").look()), read });
});

/** The API of each space; those that are called `timed…` are on the platform's clock. Making one builds its request schemas: once, as an app does. */
const apis = new Map<string, Hono<{ Bindings: Cloudflare.Env }>>();

/** How the queue "mail" is split, by how the name of the space begins. */
const SPLIT: Readonly<Record<string, ShardsOption>> = { split: 4, keyed: { count: 4, keyOf: () => "one" } };

function apiOf(space: string): Hono<{ Bindings: Cloudflare.Env }> {
  let app = apis.get(space);
  if (!app) {
    const shards = SPLIT[space.split("-")[0] as string];
    const api = queueApi({
      object: (env: Cloudflare.Env) => within(space, space.startsWith("timed") ? env.TIMED_QUEUE : env.HTTP_QUEUE),
      ...(shards !== undefined && { shards: { mail: shards } }),
      auth: bearerTokens({
        "token-all": { subject: "all", scopes: ["enqueue", "work", "admin"] },
        "token-ann": { subject: "ann", scopes: ["enqueue"] },
        "token-ann-renewed": { subject: "ann", scopes: ["enqueue"] },
        "token-bob": { subject: "bob", scopes: ["enqueue"] },
        "token-work": { subject: "work", scopes: ["work"] },
      }),
    });
    app = new Hono<{ Bindings: Cloudflare.Env }>().route(`/spaces/${space}/api`, api);
    apis.set(space, app);
  }
  return app;
}

app.all("/spaces/:space/api/:queue/*", async (c) => {
  const { space, queue } = c.req.param();
  const response = await apiOf(space).fetch(c.req.raw, c.env, c.executionCtx);
  if (response.ok) used.set(space, (used.get(space) ?? new Set()).add(queue));
  return response;
});
app.all("/spaces/:space/api/*", (c) => apiOf(c.req.param("space")).fetch(c.req.raw, c.env, c.executionCtx));

const tree: z.ZodType<{ readonly children: readonly unknown[] }> = z.object({
  get children() {
    return z.array(tree);
  },
});

/** An API with a job map: schemas that refer to themselves, that share parts, that cannot be said, and none. */
app.route(
  "/mapped/api",
  queueApi({
    jobs: defineJobs({
      email: { input: z.object({ to: z.email(), lines: z.array(z.string()).default([]) }) },
      tree: { input: tree },
      "at a date": { input: z.object({ at: z.date() }) },
      free: {},
    }),
    object: (env: Cloudflare.Env) => within("mapped", env.HTTP_QUEUE),
    auth: bearerTokens({ "token-all": { subject: "all", scopes: ["enqueue", "work", "admin"] } }),
  }),
);

export default app;
