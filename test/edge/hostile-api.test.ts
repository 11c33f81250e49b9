import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, type QueueNamespace, queueApi } from "@quayside/edge";
import fc from "fast-check";
import { afterEach, expect, inject, it } from "vitest";
import { attacksOn } from "./fuzz/hostile-requests.ts";
import type { Document, FuzzRequest } from "./fuzz/requests.ts";

const { nightly, runs, seed = 20_261_132 } = inject("hostile");
const REQUESTS = runs ?? (nightly ? 10_000 : 1_000);
/** Within this a call is answered, and the object a question after it. */
const BOUND_MS = 5_000;
/** Rows that one call may read (R32), unless it acts on all jobs of a queue. */
const READS_MOST = 10_000;
/** Rows that each transaction may read of a call that acts on all jobs of a queue, a bounded part of them at a time. */
const STEP_MOST = 2_500;
/** Jobs in a queue of the attackers': a call that reads all of them has no bound. */
const DEEP = 12_000;
/** Jobs of it that have failed. */
const FAILED = 1_000;
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
    "bob-runs": { subject: "bob", scopes: ["admin"], queues: ["deep"] },
    // Without caps it may replace a waiting job, and set the limit of a group, as the docs say.
    "bob-adds": {
      subject: "bob",
      scopes: ["enqueue"],
      queues: ["mail"],
      caps: { dedupe: ["drop", "throttle"], groupLimit: false },
    },
    setup: { subject: "setup", scopes: ["enqueue", "work", "admin"] },
  }),
});
const ATTACKERS = [
  { token: "bob", queues: ["other", "other", "mail#1", "a/b", "mail"] },
  { token: "bob-reads", queues: ["deep", "deep", "mail"] },
  { token: "bob-runs", queues: ["deep", "deep", "mail"] },
  { token: "bob-adds", queues: ["mail", "mail", "other"] },
];

async function send({ token, method, path, headers, body }: Omit<FuzzRequest, "operation" | "way">) {
  const response = await api.request(
    path,
    { method, headers: { authorization: `Bearer ${token}`, ...headers }, ...(body !== undefined && { body }) },
    env,
  );
  const isStream = response.headers.get("content-type") === "text/event-stream";
  return { response, status: response.status, text: isStream ? await begun(response) : await response.text() };
}

/** The first piece of a stream, which is then left. */
async function begun({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  const { value } = (await reader?.read()) ?? {};
  await reader?.cancel();
  return new TextDecoder().decode(value);
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
  readonly ids = ["waiting", "delayed", "failed", "completed", "running", "parent"].map((state) => `ann-${state}`);
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
    await add("ann-delayed", { delay: "365d" });
    const note = { name: "note", payload: SECRET };
    await call("ann", "/mail/jobs", "POST", [
      { ...note, options: { id: "ann-parent" }, flow: { ref: "p" } },
      { ...note, options: { delay: "365d" }, flow: { parentRef: "p" } },
    ]);
    const rule = { every: 365 * 86_400_000 };
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

/** A queue of the attackers' that is long, with jobs that have failed. */
class Deep {
  #keepers = 0;

  /** Makes it as long as it was. */
  async restore(): Promise<void> {
    const { waiting, delayed, failed } = await call("setup", "/deep/counts");
    if (failed < FAILED / 2) await this.#fail();
    if (waiting + delayed > READS_MOST) return;
    for (let left = DEEP - waiting - delayed; left > 0; left -= 1_000) await this.#add(Math.min(left, 1_000));
  }

  #add(count: number, options = {}): Promise<unknown> {
    const jobs = Array.from({ length: count }, (_, n) => ({
      name: "note",
      options: { tags: [`${n % 7}`], ...options },
    }));
    return call("setup", "/deep/jobs", "POST", jobs);
  }

  /** Has jobs of it fail, whatever limits attackers have set. */
  async #fail(): Promise<void> {
    await call("setup", "/deep/settings", "PATCH", { maxActive: null, rateLimit: null, keep: { failed: 10 * FAILED } });
    await call("setup", "/deep/resume", "POST");
    await this.#add(FAILED, { priority: 100 });
    const round = { worker: `keeper-${++this.#keepers}`, leaseMs: 60_000, running: [] };
    const { jobs } = await call("setup", "/deep/exchange", "POST", {
      ...round,
      exchange: 1,
      settle: [],
      claim: { limit: FAILED },
    });
    const error = { code: "unrecoverable", message: "to be retried" };
    await call("setup", "/deep/exchange", "POST", {
      ...round,
      exchange: 2,
      settle: jobs.map(({ token }: { token: string }) => ({ token, outcome: "failed", error })),
      claim: { limit: 0 },
      leave: true,
    });
  }
}

/** The events of an attacker's stream, while it is open. */
class Stream {
  text = "";

  async follow(queue: string): Promise<void> {
    const response = await api.request(`/${queue}/events`, { headers: { authorization: "Bearer bob" } }, env);
    const decoder = new TextDecoder();
    try {
      for await (const piece of response.body ?? []) this.text += decoder.decode(piece, { stream: true });
    } catch {
      // The object has gone: the test is over.
    }
  }

  look(queue: string, worker: string): void {
    expect(this.text).not.toContain(SECRET);
    expect(this.text).not.toContain(worker);
    for (const [, named] of this.text.matchAll(/"queue":"([^"]*)"/g)) expect(named).toBe(queue);
  }
}

/** Returns whether a call acts on all jobs of a queue, a bounded part of them at a time: it reads them all. */
const isBulk = (operation: string) => ["clearQueue", "retryJobs", "configureQueue"].includes(operation);

it(`${REQUESTS} requests from the table of routes, by tokens of other rights: no 5xx, reads within bounds, nothing of another's seen or changed`, {
  timeout: 900_000,
}, async () => {
  console.info(`hostile requests over HTTP: ${REQUESTS}, HOSTILE_SEED=${seed}`);
  const ann = new Ann();
  await ann.furnish();
  const deep = new Deep();
  await deep.restore();
  // The first question for counts reads the whole queue, once in the object's life.
  await call("setup", "/deep/counts");
  const stream = new Stream();
  void stream.follow("other");
  // Of the same ids as Ann's, in the attackers' own queue.
  const others = [...ann.ids, "other-1"].map((id) => ({ name: "note", options: { id, delay: "365d" } }));
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
  const most = { call: { rows: 0, of: "" }, step: { rows: 0, of: "" } };
  let sent = 0;
  let shrunk = false;
  await shared().spent();

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
    const { read, step } = await bounded("The question after it", shared().spent());
    const bulk = isBulk(request.operation);
    if (!bulk && read > most.call.rows) most.call = { rows: read, of: kind };
    if (bulk && step > most.step.rows) most.step = { rows: step, of: kind };
    if (bulk) expect(step).toBeLessThanOrEqual(STEP_MOST);
    else expect(read).toBeLessThanOrEqual(READS_MOST);
    shrunk ||= bulk && status < 400;
    await bounded("A health call after it", call("ann", "/mail/jobs/ann-waiting"));
    if (++sent % STRETCH === 0) {
      await bounded("Ann's calls after it", ann.look());
      stream.look("other", ann.worker);
      await shared().advance(60_000);
      await furnishOther();
      if (shrunk) await deep.restore();
      shrunk = false;
    }
    await shared().spent();
  });
  try {
    await fc.assert(property, { numRuns: REQUESTS, seed, endOnFailure: true });
    await ann.look();
  } catch (error) {
    console.info(`The last requests:\n${recent.join("\n")}`);
    throw error;
  }
  const reached = new Set([...seen.keys()].filter((kind) => kind.endsWith("done")).map((kind) => kind.split(" ")[1]));
  console.info(
    `most rows of one call: ${most.call.rows} (${most.call.of}), of one transaction of a bulk verb: ${most.step.rows} (${most.step.of})`,
  );
  expect(stream.text).toContain('"queue":"other"');
  console.info(`reached: ${[...reached].sort().join(", ")}`);
  for (const operation of [
    ...["addJobs", "listJobs", "exchange", "getJob", "cancelJob", "setSchedule", "countJobs", "listChildren"],
    ...["clearQueue", "retryJobs", "configureQueue", "pauseQueue", "resumeQueue", "watchQueue"],
  ])
    expect([...reached]).toContain(operation);
});
