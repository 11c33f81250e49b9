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

/** The receivers of these tests: this machine, which has to be named. */
const allow = ["127.0.0.1"];

export class HookQueue extends durableQueue<typeof jobs, Env>({
  jobs,
  handlers: {
    notify: webhook<Env>({ url: urlOf, secrets: SECRETS[0], allow, resultBytes: 100 }),
    fit: webhook<Env>({ url: urlOf, secrets: SECRETS[0], allow }),
    strict: webhook<Env>({ url: urlOf, secrets: SECRETS[0] }),
    hurry: webhook<Env>({ url: urlOf, secrets: SECRETS[0], allow, timeout: 400 }),
  },
  // Its own headers are named as a careless user would: they must not stand beside those that are signed.
  dispatch: () =>
    webhook<Env>({
      url: urlOf,
      secrets: () => SECRETS,
      allow: ({ hostname }) => hostname === "127.0.0.1",
      headers: { "X-App": "test", "Content-Type": "text/plain", "WEBHOOK-ID": "mine", "Quayside-Attempt": "7" },
    }),
}) {}

const app = new Hono<{ Bindings: Env }>();
app.route(
  "/api",
  queueApi<Env>({
    jobs,
    object: (env) => env.HOOK_QUEUE,
    auth: bearerTokens({ "token-all": { subject: "all", scopes: ["enqueue", "work", "admin"] } }),
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
