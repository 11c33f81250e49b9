// Counts the files of ours that one call runs through, by V8's coverage:
//
//   pnpm bench:journeys.mjs           prints the files of each journey
//   pnpm bench:journeys.mjs --json    prints them as JSON: test/core/journeys.test.ts holds them against their limits
//
// A file counts when one of its functions is called between the call and its answer. Modules are loaded, and each call is
// made once, before. The object runs in Node, on a database of node:sqlite in the place of a Durable Object's.
import { Session } from "node:inspector/promises";
import { registerHooks } from "node:module";
import { argv } from "node:process";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { requireSources } from "../scripts/sources.mjs";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const RUNTIME = `
  export class DurableObject { constructor(ctx, env) { this.ctx = ctx; this.env = env; } }
  export class WorkerEntrypoint extends DurableObject {}
  export class RpcTarget {}
  export const env = {};
`;
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === "cloudflare:workers"
      ? { url: `data:text/javascript,${encodeURIComponent(RUNTIME)}`, shortCircuit: true }
      : next(specifier, context),
});

requireSources(import.meta);
const from = (/** @type {string} */ path) => import(new URL(`../packages/${path}`, import.meta.url).href);
const { memoryDriver, Queue } = await from("core/src/index.ts");
const { bearerTokens, durableQueue, queueApi } = await from("edge/src/index.ts");

/** As much of a Durable Object's state as its queues use. */
function objectState() {
  const database = new DatabaseSync(":memory:");
  let alarm = null;
  let depth = 0;
  const storage = {
    sql: {
      databaseSize: 0,
      exec(text, ...bindings) {
        const statement = database.prepare(text);
        const names = statement.columns().map(({ name }) => name);
        statement.setReturnArrays(true);
        const rows = statement.all(...bindings);
        const objects = () => rows.map((row) => Object.fromEntries(row.map((value, at) => [names[at], value])));
        return {
          raw: () => rows.values(),
          toArray: objects,
          [Symbol.iterator]: () => objects().values(),
          rowsRead: 0,
          rowsWritten: 0,
        };
      },
    },
    transactionSync(run) {
      const name = `point${depth++}`;
      database.exec(`SAVEPOINT ${name}`);
      try {
        const result = run();
        database.exec(`RELEASE ${name}`);
        return result;
      } catch (error) {
        database.exec(`ROLLBACK TO ${name}`);
        database.exec(`RELEASE ${name}`);
        throw error;
      } finally {
        depth--;
      }
    },
    getAlarm: async () => alarm,
    setAlarm: async (at) => {
      alarm = Number(at);
    },
    deleteAlarm: async () => {
      alarm = null;
    },
    sync: async () => {},
  };
  return {
    storage,
    id: { name: "mail", toString: () => "mail" },
    blockConcurrencyWhile: (run) => run(),
    waitUntil: () => {},
    getWebSockets: () => [],
    setWebSocketAutoResponse: () => {},
  };
}

const session = new Session();
session.connect();
await session.post("Profiler.enable");
await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false });

/** Makes the call twice and returns the files that the second one ran through. @param {() => Promise<unknown>} call */
async function filesOf(call) {
  await call();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await session.post("Profiler.takePreciseCoverage");
  await call();
  const { result } = await session.post("Profiler.takePreciseCoverage");
  return result
    .filter(({ functions }) => functions.some(({ ranges }) => ranges[0].count > 0))
    .flatMap(({ url }) => (url.startsWith("file:") ? [fileURLToPath(url)] : []))
    .filter((path) => path.startsWith(`${ROOT}packages/`) && !path.includes("node_modules"))
    .map((path) => path.slice(`${ROOT}packages/`.length))
    .sort();
}

const job = { name: "email", payload: { to: "ada@example.com" } };
const queue = new Queue("mail", memoryDriver());

const Mail = durableQueue({});
const object = new Mail(objectState(), {});
let exchange = 0;
let settle = [];
const round = async () => {
  const reply = await object.exchange(
    {
      ...{ worker: "worker", liveness: "time", leaseMs: 30_000, exchange: ++exchange, settle, running: [] },
      claim: { limit: 1, queues: [{ queue: "mail" }] },
    },
    1,
  );
  settle = reply.value.jobs.map(({ token }) => ({ token, outcome: "completed" }));
};
await object.enqueue(Array.from({ length: 10 }, () => ({ queue: "mail", name: "email", payload: "1" })));
await round();

const api = queueApi({
  object: () => ({ idFromName: () => "", get: () => object }),
  auth: bearerTokens({ token: { scopes: ["enqueue"], subject: "journeys" } }),
});
const post = async () => {
  const response = await api.request("/mail/jobs", {
    method: "POST",
    headers: { authorization: "Bearer token", "content-type": "application/json" },
    body: JSON.stringify(job),
  });
  if (response.status !== 201) throw new Error(`POST was answered ${response.status}: ${await response.text()}`);
  await response.json();
};

const journeys = {
  "addJob to the stored record": await filesOf(() => queue.addJob(job.name, job.payload)),
  "an exchange on the object": await filesOf(round),
  "an HTTP POST": await filesOf(post),
};
if (argv.includes("--json")) console.log(JSON.stringify(journeys));
else
  for (const [name, files] of Object.entries(journeys))
    console.log(`${name}: ${files.length}\n  ${files.join("\n  ")}\n`);
process.exit(0);
