import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { defineJobs, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, type Grant, jwtTokens, type QueueNamespace, queueApi, queueStub } from "@quayside/edge";
import { SqlStore } from "@quayside/edge/engine";
import { snapshot } from "@quayside/testing";
import { afterEach, describe, expect, it, vi } from "vitest";
import { jobs } from "./queues.ts";
import { inSeconds, signHmac } from "./tokens.ts";
import { ended, open } from "./work-queue.ts";

afterEach(reset);

const SECRET = "a secret of at least 32 bytes, or so";
const note = { name: "note", payload: { board: "a", note: "b" } };

/** All queues in one object, as an app may have it. */
const shared = ({ BARE_QUEUE }: Cloudflare.Env): QueueNamespace => ({
  idFromName: () => BARE_QUEUE.idFromName("shared"),
  get: (id) => BARE_QUEUE.get(id),
});

const app = queueApi({
  object: shared,
  auth: bearerTokens({
    ann: { subject: "ann", scopes: ["enqueue"] },
    bob: { subject: "bob", scopes: ["enqueue"] },
    "ann-renewed": { subject: "ann", scopes: ["enqueue"] },
    "ann/worker": { subject: "ann", scopes: ["enqueue", "work", "admin"], queues: ["mail"] },
    "bob/worker": { subject: "bob", scopes: ["enqueue", "work", "admin"], queues: ["other"] },
    "bob/mail": { subject: "bob", scopes: ["work"], queues: ["mail"] },
    "ann/both": { subject: "ann", scopes: ["enqueue", "work", "admin"] },
  }),
});

interface Sent {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly app?: typeof app;
}

async function send(token: string, path: string, { method, body, headers, app: to = app }: Sent = {}) {
  const response = await to.request(
    path,
    {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    },
    env,
  );
  // biome-ignore lint/suspicious/noExplicitAny: each case says itself what it expects
  return { status: response.status, body: await response.json<any>() };
}

const waiting = async (queue = "mail") => (await send("ann/both", `/${queue}/counts`)).body.waiting as number;
const number = (sender: string, count: number, digest = "d") => ({
  "quayside-request": `${new URLSearchParams({ sender, number: `${count}`, digest })}`,
});
const KEY = { "idempotency-key": '"order-1"' };

/** The sender under which the API keeps the outcome of a key, which whoever reads the source can compute. */
async function senderOfKey(subject: string, queue: string, key: string): Promise<string> {
  const text = JSON.stringify(["subject", subject, queue, key]);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return `key/${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

describe("the sender of a numbered request", () => {
  it("cannot be that of another caller's Idempotency-Key: the job is added", async () => {
    const sender = await senderOfKey("ann", "mail", "order-1");
    const forged = await send("bob", "/mail/jobs", { body: [note], headers: number(sender, 1) });
    expect(forged.status).toBe(201);
    const { status, body } = await send("ann", "/mail/jobs", { body: note, headers: KEY });
    expect(status).toBe(201);
    expect(body.id).not.toBe(forged.body[0].id);
    expect(await waiting()).toBe(2);
  });

  it("cannot be used up by another: a higher number does not make a caller's own requests stale", async () => {
    await send("bob", "/mail/jobs", { body: [note], headers: number(await senderOfKey("ann", "mail", "order-1"), 9) });
    expect((await send("ann", "/mail/jobs", { body: note, headers: KEY })).status).toBe(201);
    expect((await send("bob", "/mail/jobs", { body: [note], headers: number("outbox", 1_000) })).status).toBe(201);
    expect((await send("ann", "/mail/jobs", { body: [note], headers: number("outbox", 1) })).status).toBe(201);
    expect(await waiting()).toBe(4);
  });

  it("tells another caller nothing of what was added under the same name and number", async () => {
    const own = await send("ann", "/mail/jobs", { body: [note], headers: number("outbox", 1) });
    const other = await send("bob", "/mail/jobs", { body: [note], headers: number("outbox", 1) });
    expect(other.status).toBe(201);
    expect(other.body[0].id).not.toBe(own.body[0].id);
    const probed = await send("bob", "/mail/jobs", { body: [note], headers: number("outbox", 1, "other") });
    expect(JSON.stringify(probed.body)).not.toContain(own.body[0].id);
    expect(await waiting()).toBe(2);
  });

  it("is one queue's own, where several lie in one object", async () => {
    await send("ann/both", "/other/jobs", { body: [note], headers: number("outbox", 5) });
    expect((await send("ann/both", "/mail/jobs", { body: [note], headers: number("outbox", 1) })).status).toBe(201);
    expect(await waiting()).toBe(1);
  });

  it("is the same caller's with a renewed token: a batch whose answer was lost is recognised", async () => {
    const sent = await send("ann", "/mail/jobs", { body: [note], headers: number("outbox", 1) });
    const again = await send("ann-renewed", "/mail/jobs", { body: [note], headers: number("outbox", 1) });
    expect(again).toEqual(sent);
    const keyed = await send("ann", "/mail/jobs", { body: note, headers: KEY });
    expect(await send("ann-renewed", "/mail/jobs", { body: note, headers: KEY })).toEqual(keyed);
    expect(await waiting()).toBe(2);
  });
});

describe("a numbered request that says for whom it was first sent", () => {
  const bound = (subject: string, count = 1) => ({
    "quayside-request": `${new URLSearchParams({ sender: "outbox", number: `${count}`, digest: "d", subject })}`,
  });
  const labelOf = async (token: string, queue = "mail"): Promise<string> =>
    (await send(token, `/${queue}/jobs`, { body: [note], headers: bound("") })).body.details.subject;

  it("is refused while it does not know: the refusal tells the label, and nothing is done", async () => {
    const { status, body } = await send("ann", "/mail/jobs", { body: [note], headers: bound("") });
    expect({ status, code: body.code }).toEqual({ status: 403, code: "wrong_subject" });
    expect(body.details.subject).toMatch(/^[0-9a-f]{32}$/);
    expect(await labelOf("ann-renewed")).toBe(body.details.subject);
    expect(await waiting()).toBe(0);
  });

  it("is taken with any token of that subject, and refused with each other one", async () => {
    const ann = await labelOf("ann");
    const sent = await send("ann", "/mail/jobs", { body: [note], headers: bound(ann) });
    expect(sent.status).toBe(201);
    const other = await send("bob", "/mail/jobs", { body: [note], headers: bound(ann) });
    expect({ status: other.status, code: other.body.code }).toEqual({ status: 403, code: "wrong_subject" });
    expect(JSON.stringify(other.body)).not.toContain(ann);
    expect(await send("ann-renewed", "/mail/jobs", { body: [note], headers: bound(ann) })).toEqual(sent);
    expect(await waiting()).toBe(1);
  });

  it("has another label in each queue, and of each subject", async () => {
    const labels = [await labelOf("ann"), await labelOf("bob"), await labelOf("ann/both", "other")];
    expect(new Set(labels).size).toBe(3);
    const { status } = await send("ann/both", "/other/jobs", { body: [note], headers: bound(labels[0] as string) });
    expect(status).toBe(403);
    expect(await waiting("other")).toBe(0);
  });

  it.each(["x".repeat(65), "x".repeat(10_000)])("names no subject of more than 64 characters", async (subject) => {
    const { status, body } = await send("ann", "/mail/jobs", { body: [note], headers: bound(subject) });
    expect({ status, code: body.code }).toEqual({ status: 400, code: "bad_request" });
    expect(body.errors[0].path).toBe("quayside-request.subject");
  });

  it("is nobody's without a subject of its own", async () => {
    const bare = queueApi({ object: shared, auth: () => ({ scopes: ["enqueue"] }) });
    const { body } = await send("any", "/mail/jobs", { body: [note], headers: bound(""), app: bare });
    expect(body.code).toBe("subject_required");
  });
});

describe("credentials without a subject", () => {
  const bare = { scopes: ["enqueue", "work", "admin"] } as const satisfies Grant;
  const ways = {
    "a static token": queueApi({ object: shared, auth: bearerTokens({ token: bare as never }) }),
    "an auth of the app's own": queueApi({ object: shared, auth: () => bare }),
  };
  const exchange = { worker: "w", leaseMs: 1_000, exchange: 1, settle: [], running: [], claim: { limit: 1 } };

  it.each(Object.entries(ways))("of %s add and read, but nothing that must be told from another's", async (_, to) => {
    for (const [path, more] of [
      ["/mail/jobs", { body: note, headers: KEY }],
      ["/mail/jobs", { body: [note], headers: number("outbox", 1) }],
      ["/mail/exchange", { body: exchange }],
      ["/mail/exchange", { body: exchange, headers: KEY }],
    ] as const) {
      const { status, body } = await send("token", path, { ...more, app: to });
      expect({ status, code: body.code }).toEqual({ status: 403, code: "subject_required" });
      expect(body.detail).toContain("subject");
    }
    expect(await waiting()).toBe(0);
    expect((await send("token", "/mail/jobs", { body: note, app: to })).status).toBe(201);
    expect((await send("token", "/mail/counts", { app: to })).body.waiting).toBe(1);
  });

  it("of a JWT without sub neither", async () => {
    const auth = jwtTokens({ algorithm: "HS256", keys: SECRET });
    const to = queueApi({ object: shared, auth });
    const token = await signHmac({ scope: "enqueue", exp: inSeconds(60) }, SECRET);
    const { body } = await send(token, "/mail/jobs", { body: note, headers: KEY, app: to });
    expect(body.code).toBe("subject_required");
    const named = await signHmac({ scope: "enqueue", sub: "ada", exp: inSeconds(60) }, SECRET);
    expect((await send(named, "/mail/jobs", { body: note, headers: KEY, app: to })).status).toBe(201);
  });
});

/** One round of a worker of this key. */
const round = (token: string, queue: string, worker: string, more: object = {}) =>
  send(token, `/${queue}/exchange`, {
    body: { worker, leaseMs: 60_000, exchange: 1, settle: [], running: [], claim: { limit: 0 }, ...more },
  });
const SECRET_KEY = "0123456789abcdef0123456789abcdef";

describe("the key of a worker", () => {
  async function running() {
    await send("ann/both", "/mail/jobs", { body: { ...note, options: { id: "mine" } } });
    const { body } = await round("ann/worker", "mail", SECRET_KEY, { claim: { limit: 1 } });
    const token = body.jobs[0].token as string;
    const state = async () => (await send("ann/both", "/mail/jobs/mine")).body;
    return { token, state };
  }
  const forgery = (token: string) => [{ token, outcome: "completed", result: '"forged"' }];

  it.each([
    ["of another queue of the object", "bob/worker", "other"],
    ["of the same subject, for another queue of the object", "ann/both", "other"],
    ["of another subject, for the same queue", "bob/mail", "mail"],
  ])("settles nothing with a token %s", async (_, other, queue) => {
    const { token, state } = await running();
    for (const exchange of [1, 2, 99]) {
      const { status, body } = await round(other, queue, SECRET_KEY, { exchange, settle: forgery(token) });
      expect({ status, code: body.code }).toEqual({ status: 409, code: "lease_lost" });
    }
    expect(await state()).toMatchObject({ state: "active" });
    const own = await round("ann/worker", "mail", SECRET_KEY, {
      exchange: 2,
      settle: [{ token, outcome: "completed" }],
    });
    expect(own.status).toBe(200);
    expect(await state()).toMatchObject({ state: "completed", attempts: 1 });
    expect(await state()).not.toHaveProperty("result");
  });

  it.each([
    ["of another queue of the object", "bob/worker", "other"],
    ["of another subject, for the same queue", "bob/mail", "mail"],
  ])("releases, renews and reports nothing, and uses up no numbers, with a token %s", async (_, other, queue) => {
    const { token, state } = await running();
    // A worker that holds nothing releases what its lease lists.
    await round(other, queue, SECRET_KEY, { exchange: 2 });
    await round(other, queue, SECRET_KEY, { exchange: 3, leave: true });
    await round(other, queue, SECRET_KEY, { exchange: 50, running: [token], progress: [{ token, value: "forged" }] });
    expect(await state()).toMatchObject({ state: "active" });
    expect(await state()).not.toHaveProperty("progress");
    expect((await round("ann/worker", "mail", SECRET_KEY, { exchange: 2, running: [token] })).body.lost).toEqual([]);
  });

  it("is one worker in each of several queues of one object, as its client sees it", async () => {
    for (const queue of ["mail", "other"]) await send("ann/both", `/${queue}/jobs`, { body: note });
    for (const queue of ["mail", "other"]) {
      const { body } = await round("ann/both", queue, SECRET_KEY, { claim: { limit: 5 } });
      expect(body.jobs.map(({ job }: { job: { queue: string } }) => job.queue)).toEqual([queue]);
    }
  });

  it("that cannot be one is refused by its name", async () => {
    for (const worker of ["", "a b", "é", "x".repeat(129), "\ud800"]) {
      const { status, body } = await round("ann/worker", "mail", worker);
      expect({ status, code: body.code, path: body.errors[0].path }).toEqual({
        status: 400,
        code: "invalid_option",
        path: "worker",
      });
    }
  });

  it("tells its worker of no job that it took back in another queue", async () => {
    const object = env.BARE_QUEUE.getByName("shared");
    await send("ann/both", "/mail/jobs", { body: { ...note, options: { id: "mine" } } });
    await round("ann/worker", "mail", SECRET_KEY, { claim: { limit: 1 }, leaseMs: 1_000 });
    let replies = "";
    for (let exchange = 1; exchange <= 4; exchange++) {
      replies += JSON.stringify(await round("bob/worker", "other", SECRET_KEY, { exchange, claim: { limit: 1 } }));
      await object.advance(1_000);
    }
    expect((await send("ann/both", "/mail/jobs/mine")).body).toMatchObject({ interruptions: 1 });
    expect(replies).not.toContain("mine");
  });

  it("ends no job of another queue for the last time: a worker of that queue does, whose onFailed runs", async () => {
    const object = env.BARE_QUEUE.getByName("shared");
    await send("ann/both", "/mail/jobs", { body: { ...note, options: { id: "mine", maxInterruptions: 1 } } });
    await round("ann/worker", "mail", SECRET_KEY, { claim: { limit: 1 }, leaseMs: 1_000 });
    for (let exchange = 1; exchange <= 4; exchange++) {
      await round("bob/worker", "other", SECRET_KEY, { exchange, claim: { limit: 1 } });
      await object.advance(1_000);
    }
    expect((await send("ann/both", "/mail/jobs/mine")).body).toMatchObject({
      interruptions: 1,
      state: expect.stringMatching(/waiting|delayed/),
    });
    await object.advance(600_000);
    const failed: unknown[] = [];
    const ran: unknown[] = [];
    const driver = httpDriver({
      url: "https://api.example",
      token: "ann/worker",
      fetch: async (url, init) => app.request(url, init, env),
    });
    const mail = new Queue("mail", driver, {
      jobs: defineJobs({
        note: {
          onFailed: ({ id }, error) => void failed.push([id, (error as { code?: unknown }).code]),
          handler: (payload) => void ran.push(payload),
        },
      }),
    });
    await mail.drain();
    expect(failed).toEqual([["mine", "interrupted"]]);
    expect(ran).toEqual([]);
    expect((await send("ann/both", "/mail/jobs/mine")).body).toMatchObject({ state: "failed" });
    await driver.close();
  });
});

/** The text of a stream so far, which goes on being read. */
function read(stream: ReadableStream<Uint8Array>) {
  const decoder = new TextDecoder();
  const seen = { text: "", ended: false };
  const reader = stream.getReader();
  void (async () => {
    for (;;) {
      const { done, value } = await reader.read().catch(() => ({ done: true, value: undefined }));
      if (done || !value) break;
      seen.text += decoder.decode(value, { stream: true });
    }
    seen.ended = true;
  })();
  return { seen, stop: () => reader.cancel() };
}

describe("a worker's key is in no event, record or refusal", () => {
  it("over HTTP and RPC", async () => {
    const headers = { authorization: "Bearer ann/both" };
    const { body: http } = await app.request("/mail/events", { headers }, env);
    const rpc = await queueStub(env.BARE_QUEUE, "shared").events();
    const bare = await env.BARE_QUEUE.getByName("shared").events();
    const streams = [http as ReadableStream<Uint8Array>, rpc, bare].map(read);
    await send("ann/both", "/mail/jobs", { body: { ...note, options: { id: "mine" } } });
    const { body } = await round("ann/worker", "mail", SECRET_KEY, { exchange: 5, claim: { limit: 1 } });
    const raw = await queueStub(env.BARE_QUEUE, "shared").exchange({
      worker: SECRET_KEY,
      leaseMs: 1_000,
      liveness: "time",
      exchange: 3,
      settle: [],
      running: [],
      claim: { limit: 1, queues: [{ queue: "mail" }] },
    });
    expect(raw.ok).toBe(true);
    for (const { seen } of streams) await vi.waitFor(() => expect(seen.text).toContain('"active"'));
    await round("ann/worker", "mail", SECRET_KEY, {
      exchange: 6,
      settle: [{ token: body.jobs[0].token, outcome: "completed" }],
    });
    for (const { seen } of streams) await vi.waitFor(() => expect(seen.text).toContain('"ended"'));
    const stale = await round("ann/worker", "mail", SECRET_KEY, { exchange: 1 });
    expect(stale.body.code).toBe("stale_exchange");
    const records = [stale, body, await send("ann/both", "/mail/jobs"), await send("ann/both", "/mail/jobs/mine")];
    const told = [...streams.map(({ seen }) => seen.text), ...records.map((record) => JSON.stringify(record))].join();
    // Of the key its worker knows itself by, no more than a label is told.
    expect(told).not.toContain(SECRET_KEY.slice(0, 12));
    await Promise.all(streams.map(({ stop }) => stop()));
  });

  it.each(["w1", "worker-of-ann", "x".repeat(8), "x".repeat(23)])("however short it is: %s", async (worker) => {
    const stream = read(await env.BARE_QUEUE.getByName("shared").events());
    await send("ann/both", "/mail/jobs", { body: note });
    await queueStub(env.BARE_QUEUE, "shared").exchange({
      worker,
      leaseMs: 1_000,
      liveness: "time",
      exchange: 1,
      settle: [],
      running: [],
      claim: { limit: 1, queues: [{ queue: "mail" }] },
    });
    await vi.waitFor(() => expect(stream.seen.text).toContain('"active"'));
    expect(stream.seen.text).not.toContain(worker.slice(0, 8));
    await stream.stop();
  });
});

describe("an object's own worker", () => {
  it("cannot be spoken for by RPC: its job is not settled, released or renewed", async () => {
    const { queue, storage, name } = open();
    const id = await queue.addJob("sleep", { ms: 300 });
    const worker = await vi.waitFor(async () => {
      const { leases } = await storage((inside) => new SqlStore(inside).transact(snapshot));
      expect(leases).toHaveLength(1);
      return leases[0]?.key[0] as string;
    });
    const stub = queueStub(env.WORK_QUEUE, name);
    for (const exchange of [1, 2, 99])
      for (const settle of [[], [{ token: "1.0", outcome: "completed", result: '"forged"' } as const]]) {
        const reply = await stub.exchange({
          worker,
          leaseMs: 1_000,
          liveness: "process",
          exchange,
          settle,
          running: [],
          claim: { limit: 0, queues: [{ queue: name }] },
        });
        expect(reply).toMatchObject({ ok: false, error: { code: "forbidden" } });
      }
    const job = await ended(queue, id);
    expect(job).toMatchObject({ state: "completed", attempts: 1 });
    expect(job.result).not.toBe("forged");
  });
});

describe("a stream of events", () => {
  it("ends with the token that opened it", async () => {
    const to = queueApi({ object: shared, auth: jwtTokens({ algorithm: "HS256", keys: SECRET }) });
    const exp = inSeconds(2);
    const token = await signHmac({ scope: "enqueue", sub: "ada", exp }, SECRET);
    const { body } = await to.request("/mail/events", { headers: { authorization: `Bearer ${token}` } }, env);
    const stream = read(body as ReadableStream<Uint8Array>);
    await send("ann", "/mail/jobs", { body: note });
    await vi.waitFor(() => expect(stream.seen.text).toContain('"ready"'));
    await vi.waitFor(() => expect(stream.seen.ended).toBe(true), { timeout: 5_000 });
    expect(Date.now()).toBeGreaterThanOrEqual(exp * 1_000 - 5);
    const told = stream.seen.text;
    await send("ann", "/mail/jobs", { body: note });
    expect(stream.seen.text).toBe(told);
  });

  it("ends with what an auth of the app's own says, and at once where that is over", async () => {
    for (const ms of [100, -1]) {
      const to = queueApi({ object: shared, auth: () => ({ scopes: ["enqueue"], expiresAt: Date.now() + ms }) });
      const { body } = await to.request("/mail/events", {}, env);
      const stream = read(body as ReadableStream<Uint8Array>);
      await vi.waitFor(() => expect(stream.seen.ended).toBe(true), { timeout: 2_000 });
    }
  });

  it("whose reader goes before leaves nothing behind", async () => {
    const to = queueApi({ object: shared, auth: () => ({ scopes: ["enqueue"], expiresAt: Date.now() + 60_000 }) });
    const { body } = await to.request("/mail/events", {}, env);
    const stream = read(body as ReadableStream<Uint8Array>);
    await vi.waitFor(() => expect(stream.seen.text).toContain(":"));
    await stream.stop();
    expect((await send("ann", "/mail/jobs", { body: note })).status).toBe(201);
  });
});

describe("a grant with caps", () => {
  const capped = (caps: NonNullable<Grant["caps"]>) =>
    queueApi({ object: shared, jobs, auth: () => ({ subject: "page", scopes: ["enqueue", "admin"], caps }) });
  const PAGE = {
    maxAttempts: 5,
    priority: 0,
    delay: "1d",
    expiresIn: "7d",
    backoff: { least: "1s", most: "1h" },
    dedupe: ["drop", "throttle"],
    groupLimit: false,
  } as const;

  it.each([
    ["maxAttempts", { maxAttempts: 6 }, "maxAttempts"],
    ["priority", { priority: 1 }, "priority"],
    ["delay", { delay: "25h" }, "delay"],
    ["an instant that is too far", { availableAt: Date.UTC(2100, 0) }, "delay"],
    ["expiresIn", { expiresIn: "8d" }, "expiresIn"],
    ["a backoff that is too short", { backoff: 10 }, "backoff"],
    ["a backoff of a list with one that is too short", { backoff: [60_000, 0] }, "backoff"],
    ["a backoff of a list with one that is too long", { backoff: ["1s", "2h"] }, "backoff"],
    [
      "a backoff that grows too long",
      { backoff: { kind: "exponential", delay: "1m", factor: 10, max: "1d" } },
      "backoff",
    ],
    ["replace", { dedupe: { key: "k", mode: "replace" } }, "dedupe.mode"],
    ["debounce", { dedupe: { key: "k", mode: "debounce", wait: 1_000 } }, "dedupe.mode"],
    ["the limit of a group", { group: { key: "g", limit: 1 } }, "group.limit"],
  ])("refuses %s over its bound, names it, and stores nothing", async (_, options, path) => {
    const to = capped(PAGE);
    const { status, body } = await send("t", "/mail/jobs", { body: [note, { ...note, options }], app: to });
    expect({ status, code: body.code }).toEqual({ status: 403, code: "forbidden" });
    expect(body.errors.map((error: { path: string }) => error.path)).toEqual([`[1].options.${path}`]);
    expect(await waiting()).toBe(0);
    const set = {
      rule: { every: 60_000 },
      job: { ...note, options: { ...options, dedupe: undefined } },
    };
    if (!("dedupe" in options) && !("delay" in options) && !("availableAt" in options))
      expect((await send("t", "/mail/schedules/s", { method: "PUT", body: set, app: to })).status).toBe(403);
  });

  it("takes what is within, and what the job map says itself", async () => {
    const options = {
      maxAttempts: 5,
      priority: -100,
      delay: "1d",
      expiresIn: "7d",
      backoff: { kind: "exponential", delay: "1s", max: "1h" },
      dedupe: { key: "k" },
      group: { key: "g" },
    };
    expect((await send("t", "/mail/jobs", { body: { ...note, options }, app: capped(PAGE) })).status).toBe(201);
    const email = { name: "email", payload: { to: "ada@example.com" } };
    expect((await send("t", "/mail/jobs", { body: email, app: capped({ maxAttempts: 1 }) })).status).toBe(201);
    expect((await send("t", "/mail/jobs", { body: { ...note, options }, app: capped({}) })).status).toBe(201);
  });

  it("holds for the change of a job too", async () => {
    await send("ann", "/mail/jobs", { body: { ...note, options: { id: "mine" } } });
    const patch = (body: object) => send("t", "/mail/jobs/mine", { method: "PATCH", body, app: capped(PAGE) });
    expect(await patch({ priority: 1 })).toMatchObject({ status: 403, body: { errors: [{ path: "priority" }] } });
    expect(await patch({ delay: "2d" })).toMatchObject({ status: 403, body: { errors: [{ path: "delay" }] } });
    expect((await patch({ priority: 0, delay: "1d" })).status).toBe(200);
  });

  it("that cannot be is the server's fault, in its log alone", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const caps of [{ maxAttempts: 1.5 }, { priority: Number.NaN }, { delay: "soon" as never }]) {
      const { status, body } = await send("t", "/mail/counts", { app: capped(caps) });
      expect({ status, code: body.code }).toEqual({ status: 500, code: "internal" });
      expect(() => bearerTokens({ t: { subject: "t", scopes: [], caps } })).toThrow(/auth\.caps/);
    }
    log.mockRestore();
  });
});
