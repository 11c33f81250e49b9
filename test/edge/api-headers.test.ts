import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, type QueueNamespace, queueApi } from "@quayside/edge";
import { Hono } from "hono";
import { afterEach, describe, expect, it, vi } from "vitest";
import { api, TOKENS } from "./queues.ts";

afterEach(reset);

const all = { authorization: "Bearer token-all" };
const object = (env: Cloudflare.Env) => env.BARE_QUEUE;

const SAFE = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

describe("every answer", () => {
  const corsApi = queueApi({ object, auth: bearerTokens(TOKENS), cors: { origin: ["https://page.example"] } });
  const mounted = new Hono<{ Bindings: Cloudflare.Env }>().route("/api/queues", corsApi);
  const preflight = { origin: "https://page.example", "access-control-request-method": "POST" };

  it.each<[what: string, status: number, path: string, init: RequestInit]>([
    ["a result", 200, "/mail/counts", { headers: all }],
    ["a stream", 200, "/mail/events", { headers: all }],
    ["the state of health", 200, "/health", {}],
    ["a refusal of a stranger", 401, "/mail/counts", {}],
    ["a refusal of a caller", 403, "/mail/counts", { headers: { authorization: "Bearer token-enqueue" } }],
    ["an error", 400, "/mail/jobs", { method: "POST", headers: all, body: "{" }],
    ["a job that is not there", 404, "/mail/jobs/x", { headers: all }],
    ["a route that is not there", 404, "/mail/nothing", { headers: all }],
    ["a preflight", 204, "/mail/jobs", { method: "OPTIONS", headers: preflight }],
  ])("is neither kept, guessed at, embedded nor framed: %s", async (_, status, path, init) => {
    const response = await mounted.request(`/api/queues${path}`, init, env);
    expect(response.status).toBe(status);
    expect(Object.fromEntries(response.headers)).toMatchObject(SAFE);
    expect(response.headers.get("strict-transport-security")).toBeNull();
    await response.body?.cancel();
    const secure = await mounted.request(`https://api.example/api/queues${path}`, init, env);
    expect(Object.fromEntries(secure.headers)).toMatchObject(SAFE);
    expect(secure.headers.get("strict-transport-security")).toBe("max-age=15552000");
    await secure.body?.cancel();
  });

  it("says that it depends on the origin, where pages of some may call", async () => {
    for (const origin of ["https://page.example", "https://evil.example", undefined]) {
      for (const [method, headers] of [
        ["GET", all],
        ["GET", {}],
        ["OPTIONS", preflight],
      ] as const) {
        const response = await corsApi.request(
          "/mail/counts",
          { method, headers: { ...headers, ...(origin !== undefined && { origin }) } },
          env,
        );
        expect(response.headers.get("vary") ?? "", `${method} from ${origin}`).toMatch(/\borigin\b/i);
        const allowed = origin ?? (method === "OPTIONS" ? preflight.origin : null);
        const expected = allowed === "https://page.example" ? allowed : null;
        expect(response.headers.get("access-control-allow-origin")).toBe(expected);
      }
    }
    const anyone = queueApi({ object, auth: bearerTokens(TOKENS), cors: { origin: "*" } });
    const response = await anyone.request("/mail/counts", { headers: { ...all, origin: "https://page.example" } }, env);
    expect(response.headers.get("access-control-allow-origin")).toBe("*");
    expect(response.headers.get("vary")).toBeNull();
  });
});

describe("an error of the server", () => {
  const secret = "SELECT token FROM sessions at /srv/queue.ts:12";
  /** What a store, a binding or a mistake may throw. */
  const odd: readonly [what: string, thrown: unknown][] = [
    ["an error with a cause", new Error(secret, { cause: new Error(secret) })],
    ["an error with fields", Object.assign(new TypeError(secret), { status: 200, code: secret, details: { secret } })],
    ["a text", secret],
    ["an object", { message: secret, code: "unauthorized" }],
    ["an object like one of ours", { name: "QuaysideError", code: "forbidden", message: secret, details: { secret } }],
    ["nothing", undefined],
    ["an error without a stack", Object.assign(new Error(secret), { stack: undefined })],
    ["an answer", new Response(secret, { status: 200, headers: { secret } })],
  ];

  it.each(odd)("tells nothing of itself, whatever was thrown: %s", async (_, thrown) => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const throws = () => {
      throw thrown;
    };
    const namespace: QueueNamespace = { idFromName: throws, get: throws };
    const auth = bearerTokens(TOKENS);
    const apps = [
      queueApi({ object: () => namespace, auth }),
      queueApi({ object: throws, auth }),
      queueApi({ object, auth: throws }),
      queueApi({ object, auth: async () => throws() }),
    ];
    for (const [index, app] of apps.entries()) {
      const response = await app.request("/mail/counts", { headers: all }, env);
      expect(response.status, `app ${index}`).toBe(500);
      expect(Object.fromEntries(response.headers)).toMatchObject(SAFE);
      const text = await response.text();
      expect(text + JSON.stringify([...response.headers])).not.toContain(secret);
      expect(JSON.parse(text)).toEqual({
        type: "about:blank",
        title: "Internal Server Error",
        status: 500,
        code: "internal",
        detail: "The server could not do this (internal).",
      });
    }
    expect(log).toHaveBeenCalledTimes(apps.length);
    log.mockRestore();
  });

  it("inside the queue's object is not told either", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const object = env.BARE_QUEUE.getByName("mail");
    // The first job makes the tables.
    await object.enqueue([{ queue: "mail", name: "email", payload: "1" }]);
    await runInDurableObject(object, (_, { storage }) => void storage.sql.exec("DROP TABLE quayside_jobs"));
    const response = await api.request("/mail/jobs", { headers: all }, env);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({
      type: "about:blank",
      title: "Service Unavailable",
      status: 503,
      code: "storage_unavailable",
      detail: "The server could not do this (storage_unavailable).",
    });
    expect(log).toHaveBeenCalled();
    log.mockRestore();
  });

  it("in its secrets is not the caller's to hear of", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const app = queueApi({ object, auth: bearerTokens(() => ({ undefined: { subject: "a", scopes: ["admin"] } })) });
    for (const authorization of ["Bearer undefined", "Bearer token-all"]) {
      const response = await app.request("/mail/counts", { headers: { authorization } }, env);
      expect(response.status).toBe(500);
      expect(await response.text()).not.toMatch(/secret|token|auth/);
    }
    expect(String(log.mock.calls[0]?.[0])).toMatch(/is a secret missing/);
    log.mockRestore();
  });
});

describe("a page of another site", () => {
  /** An application that goes by a cookie, as a browser sends it to whoever asks. */
  const app = queueApi({
    object,
    auth: (request) => (request.headers.get("cookie") === "session=ada" ? { scopes: ["enqueue", "admin"] } : undefined),
    cors: { origin: ["https://app.example", "https://admin.example"], credentials: true },
  });
  const paused = async () => {
    const response = await app.request("/mail/counts", { headers: { cookie: "session=ada" } }, env);
    return (await response.json<{ paused: boolean }>()).paused;
  };
  const pause = async (headers: Record<string, string>, target = app, init: RequestInit = {}) => {
    const url = "https://api.example/mail/pause";
    return (await target.request(url, { method: "POST", headers: { cookie: "session=ada", ...headers }, ...init }, env))
      .status;
  };
  const form = { "content-type": "application/x-www-form-urlencoded" };

  it.each([
    ["a form", { origin: "https://evil.example", "sec-fetch-site": "cross-site", ...form }],
    ["a form without a body", { origin: "https://evil.example", "sec-fetch-site": "cross-site" }],
    ["a form of text", { origin: "https://evil.example", "content-type": "text/plain" }],
    ["a form of parts", { origin: "https://evil.example", "content-type": "multipart/form-data; boundary=x" }],
    ["a form of a page without an origin", { origin: "null" }],
    ["a form of another of our hosts", { origin: "https://blog.api.example", "sec-fetch-site": "same-site" }],
    ["a browser that says only where it comes from", { "sec-fetch-site": "cross-site" }],
    ["an older browser", { origin: "https://evil.example" }],
    ["a page by http", { origin: "http://api.example" }],
    ["what pretends to be a token", { origin: "https://evil.example", authorization: "Basic YTpi" }],
  ])("can make a visitor's browser do nothing: %s", async (_, headers) => {
    expect(await pause(headers)).toBe(403);
    expect(await paused()).toBe(false);
  });

  it("can delete nothing either, nor add", async () => {
    const foreign = { cookie: "session=ada", origin: "https://evil.example" };
    const send = (method: string, path: string, headers: object, body?: string) =>
      app.request(path, { method, headers: { ...foreign, ...headers }, ...(body !== undefined && { body }) }, env);
    const job = '{"name":"email","payload":null}';
    expect((await send("DELETE", "/mail/jobs/x", {})).status).toBe(403);
    expect((await send("POST", "/mail/jobs", form, job)).status).toBe(403);
    expect((await send("POST", "/mail/jobs", { "content-type": "text/plain" }, job)).status).toBe(403);
    expect((await send("GET", "/mail/counts", {})).status).toBe(200);
  });

  it.each([
    ["the application's own", { origin: "https://api.example", "sec-fetch-site": "same-origin", ...form }],
    ["its own in an older browser", { origin: "https://api.example" }],
    ["one that cors lets in with credentials", { origin: "https://app.example", "sec-fetch-site": "same-site" }],
    ["another of those", { origin: "https://admin.example", "sec-fetch-site": "cross-site" }],
    ["none: no browser", {}],
    [
      "one that shows a token, which no browser does by itself",
      { origin: "https://evil.example", authorization: "Bearer x" },
    ],
  ])("is told from those that may: %s", async (_, headers) => {
    expect(await pause(headers)).toBe(200);
    expect(await paused()).toBe(true);
  });

  it("is not let in by cors that lets in anybody, or no credentials", async () => {
    const auth = () => ({ scopes: ["admin"] as const });
    const headers = { origin: "https://app.example", "sec-fetch-site": "cross-site" };
    for (const cors of [
      undefined,
      { origin: "*" },
      { origin: "*", credentials: true },
      { origin: "https://app.example" },
    ]) {
      const other = queueApi({ object, auth, ...(cors && { cors }) });
      expect(await pause(headers, other)).toBe(403);
    }
    const asked = { origin: (origin: string) => (origin.endsWith("//app.example") ? origin : null), credentials: true };
    expect(await pause(headers, queueApi({ object, auth, cors: asked }))).toBe(200);
  });

  it("is a stranger before all else", async () => {
    expect(await pause({ cookie: "session=eve", origin: "https://evil.example" })).toBe(401);
    expect(
      (await api.request("/mail/pause", { method: "POST", headers: { origin: "https://evil.example" } }, env)).status,
    ).toBe(401);
  });
});
