import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, queueApi, type RateLimiter } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";

afterEach(reset);

/** What the binding lets through in a minute: see wrangler.jsonc. */
const LIMIT = 5;

const tokens = { ada: { scopes: ["admin"], subject: "ada" }, bob: { scopes: ["admin"], subject: "bob" } } as const;
const object = (env: Cloudflare.Env) => env.BARE_QUEUE;
const api = queueApi({ object, auth: bearerTokens(tokens), rateLimit: (env) => env.RATE_LIMITER });

const call = (token: string, address = "192.0.2.1", app = api) =>
  app.request("/mail/counts", { headers: { authorization: `Bearer ${token}`, "cf-connecting-ip": address } }, env);

/** More requests than the binding lets through, though its minute should end among them. */
const often = async (ask: () => Response | Promise<Response>): Promise<Response[]> => {
  const answers: Response[] = [];
  for (let request = 0; request < 2 * LIMIT + 1; request++) answers.push(await ask());
  return answers;
};
const statuses = (answers: readonly Response[]) => new Set(answers.map(({ status }) => status));

describe("with a rate-limit binding", () => {
  it("a caller that asks too often is answered 429, and nobody else", async () => {
    const answers = await often(() => call("ada"));
    expect(answers.slice(0, LIMIT).map(({ status }) => status)).toEqual(new Array(LIMIT).fill(200));
    const refusal = answers.find(({ status }) => status === 429);
    expect(refusal?.headers.get("retry-after")).toBe("10");
    expect(await refusal?.json()).toEqual({
      type: "about:blank",
      title: "Too Many Requests",
      status: 429,
      code: "rate_limited",
      detail: "Too many requests: try again later.",
      details: { retryAfterMs: 10_000 },
    });
    expect((await call("bob")).status).toBe(200);
  });

  it("who has no valid token is counted by address, and keeps nobody out who has one", async () => {
    const guess = (address: string) => often(() => call(`guess-${Math.random()}`, address));
    expect(statuses(await guess("192.0.2.7"))).toEqual(new Set([401, 429]));
    expect((await call("bob", "192.0.2.7")).status).toBe(200);
    expect((await call("no such token", "192.0.2.8")).status).toBe(401);
  });

  it("of an IPv6 address only the network counts", async () => {
    // Each written but once, so that no address by itself is over the limit.
    const addresses = Array.from({ length: 2 * LIMIT + 1 }, (_, n) =>
      n % 2 ? `2001:db8:1:2::${n}` : `2001:db8:1:2:${n}:4:5:6`,
    ).values();
    const answers = await often(() => call("no such token", addresses.next().value));
    expect(statuses(answers)).toEqual(new Set([401, 429]));
    for (const other of ["2001:db8:1:3::1", "2001:db8:1::2", "2001:db8::1:2:0:0:1", "::1", "::ffff:192.0.2.77"]) {
      expect((await call("no such token", other)).status, other).toBe(401);
    }
  });

  it("a caller without a subject is counted by address", async () => {
    const app = queueApi({ object, auth: () => ({ scopes: ["admin"] }), rateLimit: (env) => env.RATE_LIMITER });
    expect(statuses(await often(() => call("", "192.0.2.9", app)))).toEqual(new Set([200, 429]));
    expect((await call("", "192.0.2.10", app)).status).toBe(200);
  });

  it("/health is not counted", async () => {
    expect(statuses(await often(() => api.request("/health", {}, env)))).toEqual(new Set([200]));
  });
});

describe("a rate-limit binding", () => {
  it("that fails does not take the queues down with it", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const broken: RateLimiter = { limit: () => Promise.reject(new Error("unavailable")) };
    const app = queueApi({ object, auth: bearerTokens(tokens), rateLimit: () => broken });
    expect((await call("ada", undefined, app)).status).toBe(200);
    expect((await call("no such token", undefined, app)).status).toBe(401);
    expect(log).toHaveBeenCalledTimes(2);
    log.mockRestore();
  });

  it("that is missing is an error, and not a limit less", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const app = queueApi({ object, auth: bearerTokens(tokens), rateLimit: () => undefined as never });
    const response = await call("ada", undefined, app);
    expect(response.status).toBe(500);
    expect(await response.text()).not.toMatch(/binding|wrangler/);
    expect(String(log.mock.calls[0]?.[0])).toMatch(/wrangler/);
    log.mockRestore();
  });
});
