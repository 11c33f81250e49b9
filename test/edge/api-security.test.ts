import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { anyOf, bearerTokens, jwtTokens, queueApi, type Scope } from "@quayside/edge";
import type { JWTPayload } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { TOKENS } from "./queues.ts";
import { forge, type Issuer, inSeconds, issuerOf, signHmac } from "./tokens.ts";

const ISSUER = "https://login.example";
const AUDIENCE = "https://api.example";

let issuer: Issuer;
beforeAll(async () => {
  issuer = await issuerOf("RS256");
  await seed();
});

/** Bearer tokens and JWTs side by side, as an app has them that lets both its services and its users in. */
const app = queueApi({
  object: (env: Cloudflare.Env) => env.BARE_QUEUE,
  auth: anyOf(
    bearerTokens({
      ...TOKENS,
      "token-other": { subject: "other", scopes: ["enqueue", "work", "admin"], queues: ["other"] },
    }),
    jwtTokens({ algorithm: "RS256", keys: () => issuer.pem, issuer: ISSUER, audience: AUDIENCE }),
  ),
});

/** Routes that anybody may call: they tell nothing and change nothing. */
const OPEN = ["GET /health"];

const job = { name: "email", payload: { to: "ada@example.com" } };

/** All others: who may call them, and a request that does what the route is for. */
const GUARDED: readonly {
  readonly route: string;
  readonly scopes: readonly Scope[];
  readonly id?: string;
  readonly body?: unknown;
  /** It finds nothing to do in this queue. */
  readonly idle?: true;
  /** It is of no queue in particular. */
  readonly anyQueue?: true;
}[] = [
  { route: "POST /:queue/jobs", scopes: ["enqueue"], body: job },
  { route: "GET /openapi.json", scopes: ["enqueue", "work", "admin"], anyQueue: true },
  { route: "GET /:queue/jobs", scopes: ["work", "admin"] },
  { route: "GET /:queue/jobs/:id", scopes: ["work", "admin"] },
  { route: "POST /:queue/find", scopes: ["work", "admin"], body: { ids: ["none"] }, idle: true },
  { route: "GET /:queue/jobs/:id/children", scopes: ["work", "admin"] },
  { route: "PATCH /:queue/jobs/:id", scopes: ["admin"], body: { priority: 3 } },
  { route: "DELETE /:queue/jobs/:id", scopes: ["admin"] },
  { route: "POST /:queue/jobs/:id/cancel", scopes: ["admin"] },
  { route: "POST /:queue/jobs/:id/retry", scopes: ["admin"], id: "cancelled" },
  { route: "POST /:queue/jobs/:id/promote", scopes: ["admin"], id: "delayed" },
  { route: "GET /:queue/schedules", scopes: ["work", "admin"] },
  { route: "PUT /:queue/schedules/:key", scopes: ["admin"], body: { rule: { every: 5_000 }, job } },
  { route: "DELETE /:queue/schedules/:key", scopes: ["admin"] },
  { route: "POST /:queue/pause", scopes: ["admin"] },
  { route: "POST /:queue/resume", scopes: ["admin"], idle: true },
  { route: "POST /:queue/retry", scopes: ["admin"], idle: true },
  { route: "POST /:queue/clear", scopes: ["admin"] },
  { route: "PATCH /:queue/settings", scopes: ["admin"], body: { maxActive: 7 } },
  { route: "GET /:queue/counts", scopes: ["work", "admin"] },
  {
    route: "POST /:queue/exchange",
    scopes: ["work"],
    body: { worker: "w", leaseMs: 30_000, exchange: 1, settle: [], running: [], claim: { limit: 1 } },
  },
  { route: "GET /:queue/next-wake", scopes: ["work"] },
  { route: "GET /:queue/events", scopes: ["enqueue", "work", "admin"] },
];

/** Sends a route's request with this header, and nothing else of who calls. */
async function send({ route, id = "waiting", body }: (typeof GUARDED)[number], authorization: string | undefined) {
  const [method = "", pattern = ""] = route.split(" ");
  const path = pattern.replace(":queue", "mail").replace(":id", id).replace(":key", "nightly");
  const response = await app.request(
    path,
    {
      method,
      headers: {
        ...(authorization !== undefined && { authorization }),
        ...(body !== undefined && { "content-type": "application/json" }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    },
    env,
  );
  const isProblem = response.headers.get("content-type") === "application/problem+json";
  const answer = isProblem ? await response.json<Record<string, unknown>>() : undefined;
  if (!isProblem) await response.body?.cancel();
  return { status: response.status, headers: response.headers, answer };
}

/** A queue in which each of the requests finds what it is about. */
async function seed(): Promise<void> {
  const call = async (method: string, path: string, body?: unknown) => {
    const headers = { authorization: "Bearer token-all", "content-type": "application/json" };
    const init = { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) };
    expect((await app.request(`/mail/${path}`, init, env)).ok).toBe(true);
  };
  await call("POST", "jobs", [
    { ...job, options: { id: "waiting" } },
    { ...job, options: { id: "delayed", delay: "1h" } },
    { ...job, options: { id: "cancelled" } },
  ]);
  await call("POST", "jobs/cancelled/cancel");
  await call("PUT", "schedules/nightly", { rule: { every: 60_000 }, job });
}

/** All that the queue's object has stored, its alarm too. */
const dump = () =>
  runInDurableObject(env.BARE_QUEUE.getByName("mail"), async (_, { storage }) => {
    const names = [...storage.sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")]
      .map(({ name }) => name)
      .filter((name) => !name.startsWith("_cf_") && !name.startsWith("sqlite_"));
    const tables = names.map((name) => [name, [...storage.sql.exec(`SELECT * FROM "${name}"`)]] as const);
    return { tables: Object.fromEntries(tables), alarm: await storage.getAlarm() };
  });

const valid = (claims: JWTPayload = {}): JWTPayload => ({
  iss: ISSUER,
  aud: AUDIENCE,
  sub: "ada",
  exp: inSeconds(600),
  scope: "enqueue work admin",
  ...claims,
});

/** The token as JWS has it, with its signature over something else. */
const changed = (token: string, claims: JWTPayload): string => {
  const [header = "", , signature = ""] = token.split(".");
  return `${header}.${btoa(JSON.stringify(claims)).replaceAll("=", "")}.${signature}`;
};

const bearer = (token: string): string => `Bearer ${token}`;

/** Headers of nobody: what they lack, and how they look. */
const STRANGERS: readonly [name: string, header: () => Promise<string> | string | undefined][] = [
  ["no token", () => undefined],
  ["an empty header", () => ""],
  ["a scheme without a token", () => "Bearer"],
  ["a token without a scheme", () => "token-all"],
  ["another scheme", () => `Basic ${btoa("token-all:token-all")}`],
  ["two tokens", () => "Bearer token-all token-all"],
  ["a list of tokens", () => "Bearer token-all, Bearer token-all"],
  ["a wrong token", () => bearer("token-al1")],
  ["the beginning of a token", () => bearer("token-al")],
  ["a token in other letters", () => bearer("TOKEN-ALL")],
  ["what every object has", () => bearer("__proto__")],
  ["a JWT that has expired", async () => bearer(await issuer.sign(valid({ exp: inSeconds(-1) })))],
  [
    "a JWT without exp",
    async () => {
      const { exp: _, ...endless } = valid();
      return bearer(await issuer.sign(endless));
    },
  ],
  ["a JWT that has not begun", async () => bearer(await issuer.sign(valid({ nbf: inSeconds(60) })))],
  ["a JWT of alg none", async () => bearer(await forge({ alg: "none" }, valid()))],
  ["a JWT of alg none, signed", async () => bearer(await forge({ alg: "none" }, valid(), issuer.pem))],
  ["a JWT of HS256 with the public key as its secret", async () => bearer(await signHmac(valid(), issuer.pem))],
  ["a JWT of RS256 by its header only", async () => bearer(await forge({ alg: "RS256" }, valid(), issuer.pem))],
  ["a JWT of RS512", async () => bearer(await issuer.sign(valid(), { alg: "RS512" }))],
  ["a JWT of another key", async () => bearer(await (await issuerOf("RS256")).sign(valid()))],
  ["a JWT that was changed", async () => bearer(changed(await issuer.sign(valid({ scope: "" })), valid()))],
  ["a JWT of another issuer", async () => bearer(await issuer.sign(valid({ iss: "https://evil.example" })))],
  ["a JWT for another audience", async () => bearer(await issuer.sign(valid({ aud: "https://shop.example" })))],
  ["a JWT whose scopes are no text", async () => bearer(await issuer.sign(valid({ scope: ["admin"] })))],
  ["a JWT whose queues are no list", async () => bearer(await issuer.sign(valid({ queues: "mail" })))],
];

/** Headers of somebody who may not do this. */
const othersThan = (scopes: readonly Scope[]): readonly [name: string, header: () => Promise<string> | string][] => [
  ...(["enqueue", "work", "admin"] as const)
    .filter((scope) => !scopes.includes(scope))
    .flatMap((scope): [string, () => Promise<string> | string][] => [
      [`the scope ${scope}`, () => bearer(`token-${scope}`)],
      [`a JWT with the scope ${scope}`, async () => bearer(await issuer.sign(valid({ scope })))],
    ]),
  ["a JWT without a scope of ours", async () => bearer(await issuer.sign(valid({ scope: "openid email" })))],
  ["a token for another queue", () => bearer("token-other")],
  ["a JWT for other queues", async () => bearer(await issuer.sign(valid({ queues: ["other", "mai", "mail2"] })))],
  ["a JWT for no queue", async () => bearer(await issuer.sign(valid({ queues: [] })))],
];

it("every route of the API is either open, or guarded in the cases below", () => {
  const routes = app.routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path}`);
  expect([...new Set(routes)].sort()).toEqual([...OPEN, ...GUARDED.map(({ route }) => route)].sort());
});

describe.each(GUARDED)("$route", (request) => {
  it.each(STRANGERS)("is 401 for %s, and changes nothing", async (_, header) => {
    const before = await dump();
    const { status, headers, answer } = await send(request, await header());
    expect(status).toBe(401);
    expect(headers.get("www-authenticate")).toBe("Bearer");
    // Whatever is wrong with the credentials, it looks the same: nobody learns how near they came.
    expect(answer).toEqual({
      type: "about:blank",
      title: "Unauthorized",
      status: 401,
      code: "unauthorized",
      detail: "This request carries no valid credentials.",
    });
    expect(await dump()).toEqual(before);
  });

  it.each(request.anyQueue ? [] : othersThan(request.scopes))(
    "is 403 for %s, and changes nothing",
    async (_, header) => {
      const before = await dump();
      const { status, answer } = await send(request, await header());
      expect(status).toBe(403);
      expect(answer).toMatchObject({ type: "about:blank", title: "Forbidden", status: 403, code: "forbidden" });
      expect(Object.keys(answer ?? {}).sort()).toEqual(["code", "detail", "details", "status", "title", "type"]);
      expect(await dump()).toEqual(before);
    },
  );
});

/** What these requests do is what the others above did not: so they could have. */
describe.each(GUARDED)("with the right credentials $route", (request) => {
  const changes =
    !request.route.startsWith("GET") && !/\/(resume|retry|find)$/.test(request.route.replace("/:id/retry", ""));

  it.each(request.scopes)("is done with the scope %s, by token and by JWT", async (scope) => {
    for (const header of [bearer(`token-${scope}`), bearer(await issuer.sign(valid({ scope, queues: ["mail"] })))]) {
      await reset();
      await seed();
      const before = await dump();
      const { status, answer } = await send(request, header);
      expect({ ok: status >= 200 && status < 300, answer }).toEqual({ ok: true, answer: undefined });
      if (changes) expect(await dump()).not.toEqual(before);
    }
  });
});
