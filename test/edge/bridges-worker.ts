import { bearerTokens, durableQueue, edgeQueue, fromQueueBatch, fromScheduled, queueApi } from "@quayside/edge";
import { Hono } from "hono";
import { jobs } from "./bridge-jobs.ts";
import type { Compute } from "./compute-worker.ts";

interface Env {
  readonly BRIDGE_QUEUE: DurableObjectNamespace<BridgeQueue>;
  readonly INBOX: Queue<Note>;
  readonly COMPUTE: Service<typeof Compute>;
}

/** What the tests put into the Cloudflare queue. */
interface Note {
  readonly to: string;
  /** Its first acknowledgement does not get through. */
  readonly lost?: boolean;
}

export class BridgeQueue extends durableQueue<typeof jobs, Env>({
  jobs,
  handlers: { mail: ({ to }) => to },
  dispatch: (env) => env.COMPUTE,
}) {}

/** Messages that were given up, by their ids. */
const dead: string[] = [];
/** Deliveries of each message. */
const deliveries: Record<string, number> = {};

/** A message whose acknowledgement gets lost. */
const deaf = ({ id, timestamp, body, attempts }: Message<Note>): Message<Note> => ({
  id,
  timestamp,
  body,
  attempts,
  ack() {},
  retry() {},
});

const app = new Hono<{ Bindings: Env }>();
app.route(
  "/api",
  queueApi<Env>({
    jobs,
    object: (env) => env.BRIDGE_QUEUE,
    auth: bearerTokens({ "token-all": { subject: "all", scopes: ["enqueue", "work", "admin"] } }),
  }),
);
app.post("/inbox", async (c) => {
  await c.env.INBOX.sendBatch((await c.req.json<Note[]>()).map((body) => ({ body })));
  return c.json(null, 202);
});
app.get("/inbox", (c) => c.json({ dead, deliveries }));
app.get("/compute", async (c) => c.json(await c.env.COMPUTE.told()));
export default {
  fetch: app.fetch,

  async queue(batch, env) {
    if (batch.queue === "inbox-dead") {
      dead.push(...batch.messages.map(({ body }) => body.to));
      return;
    }
    for (const { body } of batch.messages) deliveries[body.to] = (deliveries[body.to] ?? 0) + 1;
    const isLost = ({ body, attempts }: Message<Note>) => body.lost === true && attempts === 1;
    const messages = batch.messages.map((message) => (isLost(message) ? deaf(message) : message));
    await fromQueueBatch({ ...batch, messages }, edgeQueue<typeof jobs>(env.BRIDGE_QUEUE, "mail", { jobs }), {
      job: ({ to }) => ({ name: "mail", payload: { to } }),
      onInvalid: () => "retry",
      retryDelay: 0,
    });
    for (const message of batch.messages.filter(isLost)) message.retry();
  },

  async scheduled(controller, env) {
    await fromScheduled(controller, edgeQueue<typeof jobs>(env.BRIDGE_QUEUE, "cron", { jobs }), {
      name: "mail",
      payload: { to: "nightly@example.com" },
    });
  },
} satisfies ExportedHandler<Env, Note>;
