import { bearerTokens, queueApi } from "@quayside/edge";
import { Hono } from "hono";
import { edgeJobs } from "../jobs.ts";
import { type Env, galleryOf, inboxOf } from "./env.ts";

export { EdgeQueues } from "./edge-queues.ts";
export { Gallery } from "./gallery.ts";
export { Inbox } from "./inbox.ts";

/** Only the two queues that there are: who may name any queue makes an object for each name. */
const auth = bearerTokens((env: Env) => ({
  [env.API_TOKEN]: { subject: "demo", scopes: ["enqueue", "work", "admin"], queues: ["gallery", "mail"] },
}));

const app = new Hono<{ Bindings: Env }>().basePath("/api");

app.route("/queues", queueApi<Env>({ jobs: edgeJobs, object: (env) => env.QUEUES, auth }));

app.use("*", async (c, next) => {
  if (await auth(c.req.raw, c.env)) return next();
  return c.json({ title: "Unauthorized", status: 401 }, 401, { "www-authenticate": "Bearer" });
});

app.get("/gallery", async (c) => c.json(await galleryOf(c.env).view()));

app.get("/gallery/sheets/:number{[0-9]+}", async (c) => {
  const svg = await galleryOf(c.env).sheet(Number(c.req.param("number")));
  if (svg === undefined) return c.notFound();
  // Opened by itself, the sheet is a document: it may show what it carries and do nothing.
  return c.body(svg, 200, {
    "content-type": "image/svg+xml",
    "content-security-policy": "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
  });
});

app.get("/inbox", async (c) => c.json(await inboxOf(c.env).list()));

export default app;
