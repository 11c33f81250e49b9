import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, type QueueNamespace, queueApi } from "@quayside/edge";
import fc from "fast-check";
import { afterEach, expect, inject, it } from "vitest";
import { attacksOn } from "./fuzz/hostile-requests.ts";
import type { Document, FuzzRequest } from "./fuzz/requests.ts";

const { nightly, runs, seed = 20_261_129 } = inject("hostile");
const REQUESTS = runs ?? (nightly ? 10_000 : 1_000);
/** Within this a call is answered, and the object a question after it. */
const BOUND_MS = 5_000;
const READS_MOST = 10_000;
/** Jobs in a queue of the attackers': a call that reads all of them has no bound. */
const DEEP = 11_000;
/** Requests between two looks at what is not the attackers'. */
const STRETCH = 20;
/** In everything that the attackers must not see. */
const SECRET = "ann's secret 7f3a91";

afterEach(reset);

/** All queues in one object: nothing but the API keeps their callers apart. */
const object = ({ BARE_QUEUE }: Cloudflare.Env): QueueNamespace => ({
  idFromName: () => BARE_QUEUE.idFromName("shared"),
  get: (id) => BARE_QUEUE.get(id),
});
const shared = () => env.BARE_QUEUE.getByName("shared");
const api = queueApi({
  object,
  auth: bearerTokens({
    ann: { subject: "ann", scopes: ["enqueue", "work", "admin"], queues: ["mail"] },
    bob: { subject: "bob", scopes: ["enqueue", "work", "admin"], queues: ["other", "mail#1", "a/b"] },
    "bob-reads": { subject: "bob", scopes: ["work"], queues: ["deep"] },
    // Without caps it may replace a waiting job, and set the limit of a group, as the docs say.
    "bob-adds": {
      subject: "bob",
      scopes: ["enqueue"],
      queues: ["mail"],
      caps: { dedupe: ["drop", "throttle"], groupLimit: false },
    },
    setup: { subject: "setup", scopes: ["enqueue", "admin"] },
  }),
});
const ATTACKERS = [
  { token: "bob", queues: ["other", "other", "mail#1", "a/b", "mail"] },
  { token: "bob-reads", queues: ["deep", "deep", "mail"] },
  { token: "bob-adds", queues: ["mail", "mail", "other"] },
];

async function send({ token, method, path, headers, body }: Omit<FuzzRequest, "operation" | "way">) {
  const response = await api.request(
    path,
    { method, headers: { authorization: `Bearer ${token}`, ...headers }, ...(body !== undefined && { body }) },
    env,
  );
  const isStream = response.headers.get("content-type") === "text/event-stream";
  if (isStream) await response.body?.cancel();
  return { response, status: response.status, text: isStream ? "" : await response.text() };
}

/** A call of someone who is no attacker; answers its JSON. */
async function call(token: string, path: string, method = "GET", body?: unknown, headers = {}) {
  const { status, text } = await send({
    token,
    path,
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (status >= 400) throw new Error(`${method} ${path} of ${token} was answered ${status}: ${text}`);
  return JSON.parse(text);
}

async function sha256(text: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Rejects when the promise takes longer than the bound. */
async function bounded<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took over ${BOUND_MS} ms.`)), BOUND_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The caller whom the others attack: what it has, and whether all of it is as it was. */
class Ann {
  readonly ids = ["waiting", "delayed", "failed", "completed", "running"].map((state) => `ann-${state}`);
  readonly worker = "ann0secret0worker";
  readonly job = { name: "note", payload: SECRET, options: { tags: [SECRET], dedupe: { key: "ann's key" } } };
  /** Keys of its adds to come, which attackers may have guessed. */
  readonly orders = Array.from({ length: 40 }, (_, n) => `order-${n}`);
  #before: unknown;
  #exchange = 0;
  #running: string[] = [];
  #ordered = 0;

  async furnish(): Promise<void> {
    const options = { maxAttempts: 1, tags: [SECRET], priority: 100 };
    const add = (id: string, more = {}) =>
      call("ann", "/mail/jobs", "POST", { ...this.job, options: { ...options, id, ...more } });
    await add("ann-failed");
    await add("ann-completed");
    await add("ann-running");
    const { jobs } = await this.exchange({ claim: { limit: 3 } });
    const [failed, completed, running] = jobs.map(({ token }: { token: string }) => token);
    const error = { code: "handler_failed", message: SECRET };
    this.#running = [running];
    await this.exchange({
      settle: [
        { token: failed, outcome: "failed", error },
        { token: completed, outcome: "completed", result: JSON.stringify(SECRET) },
      ],
      progress: [{ token: running, value: SECRET, log: [SECRET] }],
    });
    await add("ann-waiting", { dedupe: this.job.options.dedupe, group: { key: "ann's group" } });
    await add("ann-delayed", { delay: "1h" });
    const rule = { kind: "every", everyMs: 3_600_000 };
    await call("ann", "/mail/schedules/ann-hourly", "PUT", { rule, job: { name: "note", payload: SECRET } });
    this.#before = await this.#all();
  }

  exchange(more: object) {
    const body = { worker: this.worker, leaseMs: 600_000_000, exchange: ++this.#exchange, settle: [] };
    return call("ann", "/mail/exchange", "POST", { ...body, running: this.#running, claim: { limit: 0 }, ...more });
  }

  async #all(): Promise<unknown> {
    const jobs = await Promise.all(
      this.ids.map(async (id) => {
        // A flow may wait for a job that exists: that one then says so.
        const { parent: _, ...job } = await call("ann", `/mail/jobs/${id}`);
        return job;
      }),
    );
    return { jobs, schedules: await call("ann", "/mail/schedules") };
  }

  /** Nothing of it was changed; its worker still holds its job, and what it adds under a key is added. */
  async look(): Promise<void> {
    expect(await this.#all()).toEqual(this.#before);
    expect((await this.exchange({})).lost).toEqual([]);
    const key = this.orders[this.#ordered++ % this.orders.length] as string;
    if (this.#ordered > this.orders.length) return;
    const receipt = await call(
      "ann",
      "/mail/jobs",
      "POST",
      { ...this.job, options: { id: key } },
      { "idempotency-key": `"${key}"` },
    );
    expect(receipt).toEqual({ id: key, deduplicated: false });
    expect((await call("ann", `/mail/jobs/${key}`)).payload).toBe(SECRET);
  }
}

/** Returns whether a call acts on all jobs of a queue, a bounded part of them at a time: it reads them all. */
const isBulk = (operation: string) => ["clearQueue", "retryJobs", "configureQueue"].includes(operation);

it(`${REQUESTS} requests from the table of routes, by tokens of other rights: no 5xx, no call over ${READS_MOST} records, nothing of another's seen or changed`, {
  timeout: 600_000,
}, async () => {
  console.info(`hostile requests over HTTP: ${REQUESTS}, HOSTILE_SEED=${seed}`);
  const ann = new Ann();
  await ann.furnish();
  for (let n = 0; n < DEEP; n += 1_000)
    await call(
      "setup",
      "/deep/jobs",
      "POST",
      Array.from({ length: 1_000 }, (_, k) => ({ name: "note", options: { tags: [`${(n + k) % 7}`] } })),
    );
  // The first question for counts reads the whole queue, once in the object's life.
  await call("setup", "/deep/counts");
  // Of the same ids as Ann's, in the attackers' own queue.
  const others = [...ann.ids, "other-1"].map((id) => ({ name: "note", options: { id, delay: "1h" } }));
  const furnishOther = () => call("bob", "/other/jobs", "POST", others);
  await furnishOther();
  const { cursor } = await call("ann", "/mail/jobs?limit=1");
  const order = (key: string) => ({ ...ann.job, options: { id: key } });
  const sorted = (value: object) => JSON.stringify(Object.fromEntries(Object.entries(value).sort()));
  const target = {
    // Not those of orders to come: a producer may hold an id that others would use.
    ids: [...ann.ids, "other-1"],
    keys: ["ann-hourly", "nightly"],
    worker: ann.worker,
    cursors: cursor === undefined ? [] : [cursor as string],
    senders: await Promise.all(
      ann.orders.map(async (key) => `key/${await sha256(JSON.stringify(["subject", "ann", "mail", key]))}`),
    ),
    digests: await Promise.all(ann.orders.slice(0, 5).map((key) => sha256(sorted(order(key))))),
  };
  const document = await call("ann", "/openapi.json");
  const seen = new Map<string, number>();
  const recent: string[] = [];
  let sent = 0;
  let { rowsRead } = await shared().usage();

  const property = fc.asyncProperty(attacksOn(document as Document, target, ATTACKERS), async (request) => {
    // One of the requests since the last look did it.
    recent.push(JSON.stringify(request));
    if (recent.length > STRETCH) recent.shift();
    const { response, status, text } = await bounded(`The call`, send(request));
    const kind = `${request.token} ${request.operation} ${status < 400 ? "done" : status}`;
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    if (status >= 400 && request.method !== "HEAD") {
      expect(response.headers.get("content-type")).toBe("application/problem+json");
      expect(JSON.parse(text)).toMatchObject({ status, code: expect.any(String) });
    }
    expect([500, 502, 503, 504]).not.toContain(status);
    expect(text).not.toContain(SECRET);
    expect(text).not.toContain(ann.worker);
    const usage = await bounded("The question after it", shared().usage());
    if (!isBulk(request.operation)) expect(usage.rowsRead - rowsRead).toBeLessThanOrEqual(READS_MOST);
    if (++sent % STRETCH === 0) {
      await bounded("Ann's calls after it", ann.look());
      await furnishOther();
    }
    ({ rowsRead } = await shared().usage());
  });
  try {
    await fc.assert(property, { numRuns: REQUESTS, seed, endOnFailure: true });
    await ann.look();
  } catch (error) {
    console.info(`The last requests:\n${recent.join("\n")}`);
    throw error;
  }
  const reached = new Set([...seen.keys()].filter((kind) => kind.endsWith("done")).map((kind) => kind.split(" ")[1]));
  console.info(`reached: ${[...reached].sort().join(", ")}`);
  for (const operation of ["addJobs", "listJobs", "exchange", "getJob", "cancelJob", "clearQueue", "setSchedule"])
    expect([...reached]).toContain(operation);
});
