import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { anyOf, bearerTokens, type StaticGrant } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { call, problem } from "./api-call.ts";
import { api, closedApi, corsApi } from "./queues.ts";

afterEach(reset);

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
    expect(() => bearerTokens({ "": { subject: "a", scopes: ["admin"] } })).toThrow(/empty/);
    const auth = bearerTokens((secrets: { TOKEN?: string }) => ({
      [`${secrets.TOKEN}`]: { subject: "a", scopes: ["admin"] },
    }));
    const request = new Request("https://edge.test/", { headers: { authorization: "Bearer undefined" } });
    await expect(auth(request, {})).rejects.toMatchObject({ code: "invalid_option" });
  });
});

describe("who a caller is", () => {
  const show = (token: string) => new Request("https://edge.test/", { headers: { authorization: `Bearer ${token}` } });

  it("is what its grant says, the same for an old and a new token, and nothing that is made of the token", async () => {
    const auth = bearerTokens({
      old: { scopes: ["enqueue"], subject: "shop" },
      new: { scopes: ["enqueue"], subject: "shop" },
      // As one that was written before a subject was asked for.
      ...({ bare: { scopes: ["enqueue"] } } as unknown as Record<string, StaticGrant>),
    });
    const subject = async (token: string) => (await auth(show(token), {}))?.subject;
    expect(await Promise.all(["old", "new", "bare"].map(subject))).toEqual(["shop", "shop", undefined]);
  });

  it("is found by comparing all tokens, wherever the right one stands and whether there is one", async () => {
    const auth = bearerTokens(
      Object.fromEntries(
        Array.from({ length: 9 }, (_, n) => [`token-${n}`, { subject: "a", scopes: ["work"] as const }]),
      ),
    );
    const digest = vi.spyOn(crypto.subtle, "digest");
    for (const [token, known] of [
      ["token-0", true],
      ["token-8", true],
      ["token-9", false],
      ["", false],
    ] as const) {
      digest.mockClear();
      expect((await auth(show(token), {})) !== undefined).toBe(known);
      expect(digest).toHaveBeenCalledTimes(token === "" ? 0 : 10);
    }
    digest.mockRestore();
  });

  it("is what the first of several ways says that knows it; a way that cannot say is not passed over", async () => {
    const first = bearerTokens({ one: { scopes: ["work"], subject: "1" }, both: { scopes: ["work"], subject: "1" } });
    const second = bearerTokens({ two: { scopes: ["work"], subject: "2" }, both: { scopes: ["work"], subject: "2" } });
    const subject = async (token: string) => (await anyOf(first, second)(show(token), {}))?.subject;
    expect(await Promise.all(["one", "two", "both", "none"].map(subject))).toEqual(["1", "2", "1", undefined]);
    const broken = () => Promise.reject(new Error("the key set cannot be had"));
    await expect(Promise.resolve(anyOf(broken, second)(show("two"), {}))).rejects.toThrow("key set");
    expect(await anyOf()(show("one"), {})).toBeUndefined();
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
    for (const header of ["authorization", "idempotency-key", "quayside-request"])
      expect(headers.get("access-control-allow-headers")).toContain(header);
  });

  it("see the answer of a call, a refusal too", async () => {
    for (const token of ["token-all", "no such token"] as const) {
      const { response } = await call("/mail/counts", {
        app: corsApi,
        token,
        headers: { origin: "https://page.example" },
      });
      expect(response.headers.get("access-control-allow-origin")).toBe("https://page.example");
      expect(response.headers.get("access-control-expose-headers")).toContain("retry-after");
    }
  });

  it("are refused otherwise", async () => {
    expect((await preflight(api)).headers.get("access-control-allow-origin")).toBeNull();
  });
});
