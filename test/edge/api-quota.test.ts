import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { httpDriver } from "@quayside/core/http";
import { anyOf, bearerTokens, type Grant, jwtTokens, queueApi, queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { inSeconds, signHmac } from "./tokens.ts";

afterEach(reset);

const SECRET = "a secret of at least 32 bytes, or so";
const TEN_AN_HOUR = { jobs: 10, per: "1h" } as const;
const EACH_MS = 360_000;

const limited = <More extends Partial<Grant>>(more: More) => ({
  scopes: ["enqueue", "admin"] as const,
  quota: TEN_AN_HOUR,
  ...more,
});

const app = queueApi({
  object: (env: Cloudflare.Env) => env.BARE_QUEUE,
  auth: anyOf(
    bearerTokens({
      ada: limited({ subject: "ada" }),
      bob: limited({ subject: "bob" }),
      "team-1": limited({ subject: "team" }),
      "team-2": limited({ subject: "team" }),
      anyone: { subject: "anyone", scopes: ["enqueue", "admin"] },
    }),
    jwtTokens({
      algorithm: "HS256",
      keys: SECRET,
      grant: ({ plan }) => limited({ quota: { jobs: plan === "pro" ? 20 : 2, per: "1h" } }),
    }),
  ),
});

const job = (id?: string) => ({ name: "email", payload: null, ...(id !== undefined && { options: { id } }) });
const jobs = (count: number) => Array.from({ length: count }, () => job());

async function add(token: string, body: unknown, headers: Record<string, string> = {}, queue = "mail") {
  const init = {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  };
  const response = await app.request(`/${queue}/jobs`, init, env);
  // biome-ignore lint/suspicious/noExplicitAny: each case says itself what it expects
  return { status: response.status, headers: response.headers, body: await response.json<any>() };
}

const object = (queue = "mail") => env.BARE_QUEUE.getByName(queue);
const waiting = async (queue = "mail") => {
  const reply = await queueStub(env.BARE_QUEUE, queue).counts(queue);
  return reply.ok ? reply.value.waiting : undefined;
};

describe("a full queue", () => {
  it("answers 429 queue_full with Retry-After, and stores nothing of the request", async () => {
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
    await driver.command({ type: "configure", queue: "mail", maxWaiting: 2 });
    expect((await add("anyone", job())).status).toBe(201);
    const { status, headers, body } = await add("anyone", jobs(2));
    expect(status).toBe(429);
    expect(headers.get("retry-after")).toBe("1");
    expect(body).toMatchObject({ code: "queue_full", details: { queue: "mail", limit: 2, retryAfterMs: 1_000 } });
    expect(await waiting()).toBe(1);
    expect((await add("anyone", jobs(3))).body).toMatchObject({ status: 413, code: "too_large" });
  });

  it("costs a caller nothing of a quota", async () => {
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
    await driver.command({ type: "configure", queue: "mail", maxWaiting: 10 });
    expect((await add("anyone", jobs(10))).status).toBe(201);
    for (let turn = 0; turn < 3; turn++)
      expect((await add("ada", jobs(10))).body).toMatchObject({ code: "queue_full" });
    await driver.command({ type: "clear", queue: "mail" });
    expect((await add("ada", jobs(10))).status).toBe(201);
  });
});

describe("a quota", () => {
  it("holds exactly, however many requests come at once and by whatever way", async () => {
    const adds = await Promise.all(Array.from({ length: 40 }, (_, n) => add(n % 2 ? "team-1" : "team-2", job())));
    expect(adds.filter(({ status }) => status === 201)).toHaveLength(10);
    expect(adds.filter(({ status }) => status === 429)).toHaveLength(30);
    expect(await waiting()).toBe(10);
    // Of no instance of the API: the object itself keeps it.
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
    const quota = { subject: "team", max: 10, perMs: 3_600_000 };
    const more = driver.enqueue([{ queue: "mail", name: "email", payload: "1" }], undefined, quota);
    await expect(more).rejects.toMatchObject({ code: "rate_limited", details: { retryAfterMs: EACH_MS } });
  });

  it("that is used up is 429, and says when to come back: then there is room", async () => {
    expect((await add("ada", jobs(9))).status).toBe(201);
    const { status, headers, body } = await add("ada", jobs(2));
    expect(status).toBe(429);
    expect(headers.get("content-type")).toBe("application/problem+json");
    expect(headers.get("retry-after")).toBe("360");
    expect(body).toEqual({
      type: "about:blank",
      title: "Too Many Requests",
      status: 429,
      code: "rate_limited",
      detail: "The quota of 10 jobs within 3600000 ms is used up.",
      details: { retryAfterMs: EACH_MS, limit: 10, perMs: 3_600_000 },
    });
    await object().advance(EACH_MS - 1);
    expect((await add("ada", jobs(2))).headers.get("retry-after")).toBe("1");
    await object().advance(1);
    expect((await add("ada", jobs(2))).status).toBe(201);
    expect(await waiting()).toBe(11);
  });

  it("is of a subject, in a queue: others have their own", async () => {
    for (const token of ["ada", "bob", "team-1"]) expect((await add(token, jobs(10))).status).toBe(201);
    for (const token of ["ada", "bob", "team-1", "team-2"]) expect((await add(token, job())).status).toBe(429);
    expect((await add("ada", jobs(10), {}, "other")).status).toBe(201);
    expect((await add("anyone", jobs(50))).status).toBe(201);
    const token = (sub: string, plan: string) => signHmac({ sub, plan, exp: inSeconds(60) }, SECRET);
    expect((await add(await token("ada", "free"), jobs(2))).status).toBe(201);
    expect((await add(await token("ada", "free"), job())).status).toBe(429);
    // Another token of the same person, with a better plan: what was used counts.
    expect((await add(await token("ada", "pro"), jobs(18))).status).toBe(201);
    expect((await add(await token("ada", "pro"), job())).status).toBe(429);
    expect((await add(await token("bob", "free"), jobs(2))).status).toBe(201);
  });

  it("is not spent by a job that stands, by a request that is sent again, or by one that is refused", async () => {
    const again = { "quayside-request": "sender=s&number=1&digest=d" };
    const first = await add("ada", [job("a"), ...jobs(8)], again);
    for (let turn = 0; turn < 3; turn++) {
      expect((await add("ada", [job("a"), ...jobs(8)], again)).body).toEqual(first.body);
      expect((await add("ada", job("a"))).body).toEqual({ id: "a", deduplicated: true });
      expect((await add("ada", { name: "" })).status).toBe(400);
      expect((await add("ada", jobs(2))).status).toBe(429);
    }
    expect((await add("ada", [job("a"), job()])).status).toBe(201);
    expect((await add("ada", job())).status).toBe(429);
    expect((await add("ada", job("a"))).status).toBe(201);
    expect(await waiting()).toBe(10);
  });

  it("smaller than the request is 413: waiting would not help", async () => {
    const { status, body } = await add("ada", jobs(11));
    expect({ status, code: body.code, details: body.details }).toEqual({
      status: 413,
      code: "too_large",
      details: { limit: 10 },
    });
    expect((await add("ada", jobs(10))).status).toBe(201);
  });

  it("outlives the object's memory", async () => {
    expect((await add("ada", jobs(10))).status).toBe(201);
    await runInDurableObject(object(), (_, state) => state.abort("crash")).catch(() => {});
    expect((await add("ada", job())).status).toBe(429);
  });

  it("costs one row an add, and a refusal none; without one an add costs what it did", async () => {
    const rows = async (token: string, body: unknown) => {
      const before = await object().usage();
      await add(token, body);
      const after = await object().usage();
      return after.rowsWritten + after.alarmsSet - before.rowsWritten - before.alarmsSet;
    };
    expect(await rows("anyone", job())).toBe(1);
    expect(await rows("ada", job())).toBe(2);
    expect(await rows("ada", jobs(9))).toBe(10);
    expect(await rows("ada", job())).toBe(0);
    expect(await rows("ada", jobs(3))).toBe(0);
    expect(await rows("anyone", jobs(100))).toBe(100);
  });

  it("reaches a driver over HTTP as rate_limited, with the time to wait", async () => {
    const driver = httpDriver({
      url: "/",
      token: "ada",
      fetch: async (path, init) => app.request(path, init, env),
    });
    const all = Array.from({ length: 10 }, () => ({ queue: "mail", name: "email", payload: "1" }));
    await driver.enqueue(all);
    await expect(driver.enqueue(all.slice(0, 1))).rejects.toMatchObject({
      code: "rate_limited",
      details: { status: 429, retryAfterMs: EACH_MS },
    });
    await driver.close();
  });
});

describe("a quota that cannot be", () => {
  it("is refused where it is written", () => {
    for (const quota of [
      { jobs: 0, per: "1h" },
      { jobs: 1.5, per: "1h" },
      { jobs: 1, per: 0 },
      { jobs: 1, per: "soon" },
      { jobs: Number.MAX_SAFE_INTEGER, per: "1s" },
    ]) {
      const grants = { token: limited({ subject: "token", quota: quota as NonNullable<Grant["quota"]> }) };
      expect(() => bearerTokens(grants)).toThrow(/quota/);
    }
    expect(() => bearerTokens({ token: limited({ subject: "" }) })).toThrow(/subject/);
  });

  it("or is nobody's, is the server's fault and lets nothing through", async () => {
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    for (const grant of [
      limited({}),
      limited({ subject: "x", quota: { jobs: -1, per: "1h" } }),
      limited({ subject: "" }),
    ]) {
      const api = queueApi({ object: (env: Cloudflare.Env) => env.BARE_QUEUE, auth: () => grant });
      const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(job()) };
      const response = await api.request("/mail/jobs", init, env);
      expect(response.status).toBe(500);
      expect(await response.text()).not.toMatch(/subject|quota/);
    }
    expect(log).toHaveBeenCalledTimes(3);
    log.mockRestore();
    expect(await waiting()).toBe(0);
  });
});
