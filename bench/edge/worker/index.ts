import { bearerTokens, edgeQueue, queueApi } from "@quayside/edge";
import { getAgentByName } from "agents";
import { Hono } from "hono";
import { HOUR_CASES } from "../../../test/edge/hour/cases.ts";
import { type HourCase, type HourStub, hourOf } from "../../../test/edge/hour/hour.ts";
import { batchesOf, type Payload, pause, payloadOf } from "./contestant.ts";
import type { Jobs } from "./quayside.ts";

export { HourQueue, HourShop } from "../../../test/edge/hour/objects.ts";
export { AgentQueue } from "./agents-sdk.ts";
export { AheadQueue, KeepQueue, WideQueue, WidestQueue, WorkQueue } from "./quayside.ts";
export { RawQueue } from "./raw.ts";

type Env = Cloudflare.Env;
type Method = (...given: readonly number[]) => Promise<unknown>;
type Add = (payloads: readonly Payload[]) => Promise<unknown>;

const api = queueApi({
  object: (env: Env) => env.KEEP_QUEUE,
  auth: bearerTokens({ bench: { subject: "bench", scopes: ["enqueue"] } }),
});

const app = new Hono<{ Bindings: Env }>().route("/api", api);

const argumentsOf = (given: readonly string[] = []) => given.map(Number);

/** An object by the name of its binding. */
const objectOf = async (env: Env, kind: string, name: string): Promise<DurableObjectStub> =>
  kind === "AGENT_QUEUE"
    ? ((await getAgentByName(env.AGENT_QUEUE, name)) as unknown as DurableObjectStub)
    : (env[kind as keyof Env] as unknown as DurableObjectNamespace).getByName(name);

/** Adds over RPC, from a Worker, as each offers it. */
async function adderOf(env: Env, kind: string, name: string): Promise<Add> {
  if (kind === "RAW_QUEUE") {
    const stub = env.RAW_QUEUE.getByName(name);
    return (payloads) => stub.insert(payloads);
  }
  if (kind === "AGENT_QUEUE") {
    const stub = await getAgentByName(env.AGENT_QUEUE, name);
    return ([payload]) => stub.schedule(3_600, "email", payload);
  }
  const queue = edgeQueue<Jobs>(env.KEEP_QUEUE, name);
  return (payloads) =>
    payloads.length === 1
      ? queue.addJob("email", payloads[0] as Payload)
      : queue.addJobs(payloads.map((payload) => ({ name: "email", payload })));
}

/** What `Contestant` does, inside the object: `/inside/<binding>/<object>/<method>?of=<argument>&of=…`. */
app.post("/inside/:kind/:name/:method", async (c) => {
  const { kind, name, method } = c.req.param();
  const object = (await objectOf(c.env, kind, name)) as unknown as Record<string, Method>;
  return c.json((await object[method]?.(...argumentsOf(c.req.queries("of")))) ?? null);
});

app.post("/rpc/:kind/:name/add", async (c) => {
  const { kind, name } = c.req.param();
  const [jobs, batch] = argumentsOf(c.req.queries("of")) as [number, number];
  const add = await adderOf(c.env, kind, name);
  for (const payloads of batchesOf(jobs, batch)) await add(payloads);
  return c.json(null);
});

/** Adds one job to the idle object; answers when its handler has started for the n-th time. */
app.post("/rpc/:kind/:name/startOne", async (c) => {
  const name = c.req.param("name");
  const object = c.env.WORK_QUEUE.getByName(name);
  const queue = edgeQueue<Jobs>(c.env.WORK_QUEUE, name);
  await Promise.all([queue.addJob("slow", payloadOf(0)), object.started(Number(c.req.query("of")))]);
  return c.json(null);
});

app.get("/hours", (c) => c.json(Object.keys(HOUR_CASES)));

/** A simulated hour of an object: `?case=<title>`. */
app.post("/hour", async (c) => {
  const { HOUR_QUEUE: queues, HOUR_SHOP: shops } = c.env;
  return c.json(await hourOf(HOUR_CASES[c.req.query("case") ?? ""] as HourCase, { queues, shops, evict }));
});

/** Sockets close with an object that is aborted: the runtime lets go of one that has some by itself, after ten seconds. */
async function evict(object: DurableObjectStub, hasSockets: boolean): Promise<void> {
  if (hasSockets) return pause(12_000);
  // It says nothing any more: the call ends with the object.
  await (object as unknown as HourStub).act("abort").catch(() => {});
}

/** The least that could take jobs over HTTP. */
app.post("/raw/:name/jobs", async (c) =>
  c.json(await c.env.RAW_QUEUE.getByName(c.req.param("name")).insert(await c.req.json()), 201),
);

app.onError((error, c) => c.text(`${error.stack}`, 500));

export default app;
