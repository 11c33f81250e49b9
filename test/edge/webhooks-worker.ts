import { QuaysideError } from "@quayside/core";
import { bearerTokens, durableQueue, edgeQueue, queueApi } from "@quayside/edge";
import { verifyWebhook, webhook } from "@quayside/edge/webhook";
import { Hono } from "hono";
import { jobs } from "./bridge-jobs.ts";

interface Env {
  readonly HOOK_QUEUE: DurableObjectNamespace<HookQueue>;
}

/** As it is while a new secret is on its way to the receivers: both sign. */
const SECRETS = [
  "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  "whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdHMsIDMyIGJ5dGVz",
] as const;

const urlOf = (_: Env, { payload }: { readonly payload: unknown }) => (payload as { readonly url: string }).url;

export class HookQueue extends durableQueue<typeof jobs, Env>({
  jobs,
  handlers: {
    notify: webhook<Env>({ url: urlOf, secrets: SECRETS[0], resultBytes: 100 }),
    hurry: webhook<Env>({ url: urlOf, secrets: SECRETS[0], timeout: 400 }),
  },
  dispatch: () => webhook<Env>({ url: urlOf, secrets: () => SECRETS, headers: { "x-app": "test" } }),
}) {}

const app = new Hono<{ Bindings: Env }>();
app.route(
  "/api",
  queueApi<Env>({
    jobs,
    object: (env) => env.HOOK_QUEUE,
    auth: bearerTokens({ "token-all": { scopes: ["enqueue", "work", "admin"] } }),
  }),
);
/** As a producer does that knows no schema. */
app.post("/raw", async (c) => c.json(await edgeQueue(c.env.HOOK_QUEUE, "hooks").addJob("deliver", await c.req.json())));
app.post("/hooks", async (c) => {
  try {
    return c.json(await verifyWebhook<typeof jobs>(c.req.raw, SECRETS, { jobs }));
  } catch (error) {
    if (error instanceof QuaysideError) return c.json({ code: error.code, message: error.message }, 400);
    throw error;
  }
});

export default app;
