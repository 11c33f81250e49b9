import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { QuaysideError } from "@quayside/core";
import type { Problem } from "@quayside/edge";
import { bearerTokens, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { api, closedApi, corsApi, type TOKENS } from "./queues.ts";

afterEach(reset);

const email = { name: "email", payload: { to: "ada@example.com" } };
interface Call {
  readonly method?: string;
  readonly token?: keyof typeof TOKENS | "no such token";
  readonly body?: unknown;
  /** Sent as it is. */
  readonly text?: string;
  readonly headers?: Record<string, string>;
  readonly app?: typeof api;
}

async function call(path: string, { method, token = "token-all", body, text, headers, app = api }: Call = {}) {
  const sent = text ?? (body === undefined ? undefined : JSON.stringify(body));
  const response = await app.request(
    path,
    {
      method: method ?? (sent === undefined ? "GET" : "POST"),
      headers: {
        authorization: `Bearer ${token}`,
        ...(sent !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(sent !== undefined && { body: sent }),
    },
    env,
  );
  const type = response.headers.get("content-type") ?? "";
  return {
    response,
    status: response.status,
    type,
    // biome-ignore lint/suspicious/noExplicitAny: each case says itself what it expects
    body: type.includes("json") ? await response.json<any>() : undefined,
  };
}

/** The problem that a call is answered with. */
async function problem(path: string, options: Call = {}): Promise<Problem> {
  const { type, status, body } = await call(path, options);
  expect(type).toBe("application/problem+json");
  expect(body.status).toBe(status);
  return body;
}

const add = async (body: unknown = email) => (await call("/mail/jobs", { body })).body;

describe("adding jobs", () => {
  it("answers 201 and a receipt", async () => {
    const { status, body } = await call("/mail/jobs", { body: email });
    expect(status).toBe(201);
    expect(body).toEqual({ id: expect.any(String), deduplicated: false });
  });

  it("answers a receipt a job, in order, for an array", async () => {
    const named = [1, 2, 3].map((n) => ({ ...email, options: { id: `order-${n}` } }));
    const { status, body } = await call("/mail/jobs", { body: named });
    expect(status).toBe(201);
    expect(body.map(({ id }: { id: string }) => id)).toEqual(["order-1", "order-2", "order-3"]);
    expect((await call("/mail/jobs", { body: [] })).body).toEqual([]);
  });

  it("says when the id stands already", async () => {
    const order = { ...email, options: { id: "order-1" } };
    expect(await add(order)).toEqual({ id: "order-1", deduplicated: false });
    expect(await add(order)).toEqual({ id: "order-1", deduplicated: true });
  });

  it("takes options as addJob does: durations with a unit, priority, tags, backoff, dedupe, keep", async () => {
    const options = {
      delay: "5m",
      priority: 7,
      maxAttempts: 9,
      timeout: "30s",
      expiresIn: "1h",
      tags: ["a"],
      backoff: { kind: "exponential", delay: "1s", max: "1m", jitter: 0.5 },
      dedupe: { key: "ada", mode: "throttle", ttl: "1h" },
      keep: { completed: 0 },
    };
    const { id } = await add({ ...email, options });
    expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({
      state: "delayed",
      priority: 7,
      maxAttempts: 9,
      timeoutMs: 30_000,
      tags: ["a"],
      backoff: { kind: "exponential", delayMs: 1_000, maxMs: 60_000, jitter: 0.5 },
      dedupe: { key: "ada", mode: "throttle", ttlMs: 3_600_000 },
      payload: { to: "ada@example.com" },
    });
  });

  it("applies the options of the job's definition", async () => {
    const { id } = await add();
    expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({ maxAttempts: 2 });
  });

  it("keeps each queue in an object of its own", async () => {
    await add();
    expect((await call("/mail/counts")).body).toMatchObject({ waiting: 1 });
    expect((await call("/logs/counts")).body).toMatchObject({ waiting: 0 });
  });
});

describe("a bad request", () => {
  it.each([
    ["text that is not JSON", { text: "{" }],
    ["no body", { method: "POST", headers: { "content-type": "application/json" } }],
    ["a body that does not say it is JSON", { text: JSON.stringify(email), headers: { "content-type": "text/plain" } }],
  ])("%s is 400", async (_, options) => {
    expect(await problem("/mail/jobs", options as Call)).toMatchObject({ status: 400, code: "bad_request" });
  });

  it.each([
    ["a missing name", { payload: {} }, ["name"]],
    ["an unknown field", { ...email, nmae: 1 }, ["nmae"]],
    ["an unknown option", { ...email, options: { prio: 1 } }, ["options.prio"]],
    ["an option of the wrong type", { ...email, options: { tags: "a" } }, ["options.tags"]],
    ["one bad job of several", [email, email, { name: 7 }], ["[2].name"]],
    ["several wrong fields", { name: 1, options: { priority: "high" } }, ["name", "options.priority"]],
    ["a body of another kind", 7, [""]],
  ])("%s is 400, and named", async (_, body, paths) => {
    const { status, code, errors } = await problem("/mail/jobs", { body });
    expect({ status, code }).toEqual({ status: 400, code: "bad_request" });
    expect(errors?.map(({ path }) => path)).toEqual(paths);
  });

  it.each([
    ["a delay", { delay: "5 minutes" }, "options.delay"],
    ["a priority", { priority: 101 }, "options.priority"],
    ["a part of the backoff", { backoff: ["1s", "soon"] }, "options.backoff[1]"],
    ["a throttle without a ttl", { dedupe: { key: "a", mode: "throttle" } }, "options.dedupe.ttl"],
  ])("an option's value that cannot be (%s) is 400, and named", async (_, options, path) => {
    const { status, code, errors } = await problem("/mail/jobs", { body: [email, { ...email, options }] });
    expect({ status, code }).toEqual({ status: 400, code: "invalid_option" });
    expect(errors?.map((error) => error.path)).toEqual([`[1].${path}`]);
  });

  it("a payload that does not fit its schema is 422, each field named", async () => {
    const body = [email, { name: "email", payload: { to: "nobody", lines: ["a", 2] } }];
    const { status, code, errors } = await problem("/mail/jobs", { body });
    expect({ status, code }).toEqual({ status: 422, code: "invalid_payload" });
    expect(errors?.map(({ path }) => path)).toEqual(["[1].payload.to", "[1].payload.lines[1]"]);
  });

  it("a job that the job map does not have is 422, also one that every object has", async () => {
    for (const name of ["fax", "toString", "__proto__"]) {
      const { status, code, errors } = await problem("/mail/jobs", { body: { name, payload: {} } });
      expect({ status, code }).toEqual({ status: 422, code: "unknown_job" });
      expect(errors?.map(({ path }) => path)).toEqual(["name"]);
    }
  });

  it("of which one job is bad stores none", async () => {
    await problem("/mail/jobs", { body: [email, { name: "fax" }] });
    expect((await call("/mail/counts")).body).toMatchObject({ waiting: 0 });
  });

  it("a payload over the limit is 413, and so are a body and a batch", async () => {
    const large = { name: "email", payload: { to: "ada@example.com", lines: ["x".repeat(1_000)] } };
    expect(await problem("/mail/jobs", { body: large })).toMatchObject({ status: 413, code: "payload_too_large" });
    const text = JSON.stringify({ ...email, pad: "x".repeat(1_100_000) });
    expect(await problem("/mail/jobs", { text })).toMatchObject({ status: 413, code: "too_large" });
    const body = Array.from({ length: 1_001 }, () => email);
    expect(await problem("/mail/jobs", { body })).toMatchObject({ status: 413, code: "too_large" });
  });

  it("never shows a stack or the message of an unexpected error", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken = { ...env, BARE_QUEUE: undefined } as unknown as typeof env;
    const response = await api.request("/mail/counts", { headers: { authorization: "Bearer token-all" } }, broken);
    expect(response.status).toBe(500);
    const text = await response.text();
    expect(JSON.parse(text)).toMatchObject({ code: "internal", status: 500 });
    expect(text).not.toMatch(/undefined|idFromName|\.ts/);
    expect(log).toHaveBeenCalled();
    log.mockRestore();
  });

  it("keeps the message of an error that is about the server to the log", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const failing = queueApi({
      object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE,
      auth: () => {
        throw new QuaysideError("storage_unavailable", "no such table: sessions");
      },
    });
    const { status, code, detail } = await problem("/mail/counts", { app: failing });
    expect({ status, code }).toEqual({ status: 503, code: "storage_unavailable" });
    expect(detail).not.toContain("sessions");
    log.mockRestore();
  });

  it("for a route that is not there is 404", async () => {
    expect(await problem("/mail/nothing")).toMatchObject({ status: 404, code: "bad_request" });
  });
});

describe("inspecting and steering", () => {
  it("lists pages of a state", async () => {
    await add([1, 2, 3].map((n) => ({ ...email, options: { id: `job-${n}` } })));
    const first = (await call("/mail/jobs?state=waiting&limit=2")).body;
    const second = (await call(`/mail/jobs?state=waiting&limit=2&cursor=${encodeURIComponent(first.cursor)}`)).body;
    const ids = [...first.jobs, ...second.jobs].map(({ id }: { id: string }) => id);
    expect(ids).toEqual(["job-1", "job-2", "job-3"]);
    expect((await call("/mail/jobs?state=failed")).body).toEqual({ jobs: [] });
  });

  it.each(["state=lost", "limit=0", "limit=many", "page=2"])(
    "refuses a query like ?%s, naming the field",
    async (query) => {
      const { status, errors } = await problem(`/mail/jobs?${query}`);
      expect(status).toBe(400);
      expect(errors?.map(({ path }) => path)).toEqual([query.split("=")[0]]);
    },
  );

  it("answers 404 for a job that is not there, to whatever is asked of it", async () => {
    const missing = { status: 404, code: "job_not_found" };
    expect(await problem("/mail/jobs/nothing")).toMatchObject(missing);
    expect(await problem("/mail/jobs/nothing", { method: "DELETE" })).toMatchObject(missing);
    for (const verb of ["cancel", "retry", "promote"]) {
      expect(await problem(`/mail/jobs/nothing/${verb}`, { method: "POST" })).toMatchObject(missing);
    }
  });

  it("cancels, retries, promotes and removes", async () => {
    const { id } = await add({ ...email, options: { delay: "1h" } });
    const act = async (verb: string) => (await call(`/mail/jobs/${id}/${verb}`, { method: "POST" })).body;
    expect(await act("promote")).toEqual({ affected: 1, state: "waiting" });
    expect(await act("cancel")).toEqual({ affected: 1, state: "cancelled" });
    expect(await act("retry")).toEqual({ affected: 1, state: "waiting" });
    expect((await call(`/mail/jobs/${id}`, { method: "DELETE" })).body).toMatchObject({ affected: 1 });
    expect((await call(`/mail/jobs/${id}`)).status).toBe(404);
  });

  it("answers 409 when a job's state forbids it", async () => {
    const { id } = await add();
    expect(await problem(`/mail/jobs/${id}/retry`, { method: "POST" })).toMatchObject({
      status: 409,
      code: "conflict",
    });
  });

  it("finds jobs by ids of any characters", async () => {
    for (const id of ["a/b", "50%", "ü ñ", "?x=1#y", "%2F"]) {
      await add({ ...email, options: { id } });
      const { status, body } = await call(`/mail/jobs/${encodeURIComponent(id)}`);
      expect({ status, id: body.id }).toEqual({ status: 200, id });
    }
  });

  it("pauses, resumes and clears a queue", async () => {
    await add([email, email]);
    await call("/mail/pause", { method: "POST" });
    expect((await call("/mail/counts")).body).toMatchObject({ waiting: 2, paused: true });
    await call("/mail/resume", { method: "POST" });
    expect((await call("/mail/counts")).body).toMatchObject({ paused: false });
    expect((await call("/mail/clear?state=failed", { method: "POST" })).body).toMatchObject({ affected: 0 });
    expect((await call("/mail/clear", { method: "POST" })).body).toMatchObject({ affected: 2 });
  });

  it("is alive without credentials and without touching a queue", async () => {
    expect((await closedApi.request("/health", {}, env)).status).toBe(200);
  });
});

describe("working over HTTP", () => {
  const round = (exchange: number, more: object = {}) => ({
    worker: "w1",
    leaseMs: 30_000,
    exchange,
    settle: [],
    running: [],
    claim: { limit: 10 },
    ...more,
  });

  it("claims, then settles", async () => {
    const { id } = await add();
    const claimed = (await call("/mail/exchange", { body: round(1) })).body;
    expect(claimed.jobs).toMatchObject([{ job: { id, name: "email", payload: email.payload } }]);
    const settle = [{ token: claimed.jobs[0].token, outcome: "completed", result: "1" }];
    expect((await call("/mail/exchange", { body: round(2, { settle }) })).body).toMatchObject({ lost: [] });
    expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({ state: "completed", result: 1 });
  });

  it("refuses an exchange with an old number with 409, code stale_exchange", async () => {
    await add();
    await call("/mail/exchange", { body: round(2) });
    expect(await problem("/mail/exchange", { body: round(1) })).toMatchObject({ status: 409, code: "stale_exchange" });
  });

  it("names the fields of an exchange that are wrong", async () => {
    const settle = [{ token: "1.0", outcome: "failed" }];
    const { status, errors } = await problem("/mail/exchange", { body: round(0, { settle, leaseMs: "long" }) });
    expect(status).toBe(400);
    expect(errors?.map(({ path }) => path).sort()).toEqual(["exchange", "leaseMs", "settle[0].error"]);
  });

  it("tells when there will be something to do", async () => {
    expect((await call("/mail/next-wake")).body).toEqual({ nextWakeMs: null });
    await add({ ...email, options: { delay: 1_000 } });
    expect((await call("/mail/next-wake")).body).toEqual({ nextWakeMs: 1_000 });
  });

  it("streams changes of its queue as server-sent events", async () => {
    const { response } = await call("/mail/events");
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const reader = (response.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream()).getReader();
    await reader.read();
    await call("/logs/jobs", { body: email });
    await add();
    const { value } = await reader.read();
    expect(value).toBe('data: {"queue":"mail","kind":"ready"}\n\n');
    await reader.cancel();
  });
});

/** Each route with who may call it. */
const ROUTES = [
  ["POST", "/mail/jobs", ["enqueue"]],
  ["GET", "/mail/jobs", ["work", "admin"]],
  ["GET", "/mail/jobs/x", ["work", "admin"]],
  ["POST", "/mail/jobs/x/cancel", ["admin"]],
  ["POST", "/mail/jobs/x/retry", ["admin"]],
  ["POST", "/mail/jobs/x/promote", ["admin"]],
  ["DELETE", "/mail/jobs/x", ["admin"]],
  ["POST", "/mail/pause", ["admin"]],
  ["POST", "/mail/resume", ["admin"]],
  ["POST", "/mail/clear", ["admin"]],
  ["PATCH", "/mail/settings", ["admin"]],
  ["GET", "/mail/counts", ["work", "admin"]],
  ["POST", "/mail/exchange", ["work"]],
  ["GET", "/mail/next-wake", ["work"]],
  ["GET", "/mail/events", ["enqueue", "work", "admin"]],
] as const;

describe("who may call", () => {
  describe.each(ROUTES)("%s %s", (method, path, scopes) => {
    it("is nobody without auth", async () => {
      const { status, body } = await call(path, { method, app: closedApi });
      expect({ status, code: body.code }).toEqual({ status: 401, code: "unauthorized" });
    });

    it("is nobody without a known token", async () => {
      const { status, response } = await call(path, { method, token: "no such token" });
      expect(status).toBe(401);
      expect(response.headers.get("www-authenticate")).toBe("Bearer");
    });

    it.each(["enqueue", "work", "admin"] as const)("with the scope %s, if that is among its own", async (scope) => {
      const { response, status } = await call(path, { method, token: `token-${scope}` });
      await response.body?.cancel().catch(() => {});
      if ((scopes as readonly string[]).includes(scope)) expect([401, 403]).not.toContain(status);
      else expect(status).toBe(403);
    });

    it("is nobody whose token is for other queues", async () => {
      const other = path.replace("/mail", "/secret");
      const { status, body } = await call(other, { method, token: "token-mail" });
      expect({ status, code: body.code }).toEqual({ status: 403, code: "forbidden" });
    });
  });

  it("learns nothing of what routes there are without a token", async () => {
    expect(await problem("/mail/nothing", { token: "no such token" })).toMatchObject({ status: 401 });
    expect(await problem("/openapi.json", { app: closedApi })).toMatchObject({ status: 401 });
  });

  it("must not be known by a token that is a missing secret", async () => {
    expect(() => bearerTokens({ "": { scopes: ["admin"] } })).toThrow(/empty/);
    const auth = bearerTokens((secrets: { TOKEN?: string }) => ({ [`${secrets.TOKEN}`]: { scopes: ["admin"] } }));
    const request = new Request("https://edge.test/", { headers: { authorization: "Bearer undefined" } });
    await expect(auth(request, {})).rejects.toMatchObject({ code: "invalid_option" });
  });
});

describe("pages of other origins", () => {
  const preflight = (app: typeof api) =>
    app.request(
      "/mail/jobs",
      {
        method: "OPTIONS",
        headers: { origin: "https://page.example", "access-control-request-method": "POST" },
      },
      env,
    );

  it("may ask before they call, without credentials, where cors says so", async () => {
    const { status, headers } = await preflight(corsApi);
    expect(status).toBe(204);
    expect(headers.get("access-control-allow-origin")).toBe("https://page.example");
    expect(headers.get("access-control-allow-headers")).toContain("authorization");
  });

  it("see the answer of a call, a refusal too", async () => {
    for (const token of ["token-all", "no such token"] as const) {
      const { response } = await call("/mail/counts", {
        app: corsApi,
        token,
        headers: { origin: "https://page.example" },
      });
      expect(response.headers.get("access-control-allow-origin")).toBe("https://page.example");
    }
  });

  it("are refused otherwise", async () => {
    expect((await preflight(api)).headers.get("access-control-allow-origin")).toBeNull();
  });
});
