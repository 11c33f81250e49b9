import { bearerTokens, edgeQueue, fromScheduled, queueApi } from "@quayside/edge";
import { Hono } from "hono";
import { jobs } from "./jobs.ts";

export { Queues } from "./queues.ts";

/** Only queues that there are: who may name any queue makes an object for each name. */
const auth = bearerTokens((env: Env) => ({
  [env.QUEUE_TOKEN]: { subject: "app", scopes: ["enqueue", "work", "admin"], queues: ["mail"] },
}));

const app = new Hono<{ Bindings: Env }>();
app.route("/api/queues", queueApi<Env>({ jobs, object: (env) => env.QUEUES, auth }));

export default {
  fetch: app.fetch,

  async scheduled(controller, env) {
    const mail = edgeQueue(env.QUEUES, "mail", { jobs });
    const day = new Date(controller.scheduledTime).toISOString().slice(0, 10);
    await fromScheduled(controller, mail, { name: "digest", payload: { day } });
  },
} satisfies ExportedHandler<Env>;
