import type { QuaysideError } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it } from "vitest";
import { type Answer, open } from "./fake-api.ts";

const problem = (status: number, code: string, more: object = {}) =>
  new Response(JSON.stringify({ status, code, detail: `It is ${code}.`, ...more }), {
    status,
    headers: { "content-type": "application/problem+json" },
  });

const job = (queue: string, more: Partial<NewJob> = {}): NewJob => ({
  queue,
  name: "email",
  payload: '{"n":1}',
  ...more,
});

/** Answers adds with ids `queue-0`, `queue-1` … */
const receipts: Answer = ({ path, body }) =>
  Response.json((body as unknown[]).map((_, index) => ({ id: `${path.split("/")[1]}-${index}`, deduplicated: false })));

describe("HttpDriver: adding", () => {
  it("sends jobs of several queues to each its own, and answers in the order of the call", async () => {
    const { driver, sent } = open(receipts);
    const answered = await driver.enqueue([job("mail"), job("a/b"), job("mail")]);
    expect(answered.map(({ id }) => id)).toEqual(["mail-0", "a%2Fb-0", "mail-1"]);
    expect(sent.map(({ method, path }) => `${method} ${path}`)).toEqual(["POST /mail/jobs", "POST /a%2Fb/jobs"]);
  });

  it("sends options as the API takes them, the payload as it is, and nothing that was not said", async () => {
    const { driver, sent } = open(receipts);
    const backoff = { kind: "exponential", delayMs: 1_000, factor: 2, maxMs: 5_000, jitter: 0.5 } as const;
    const list = { kind: "list", delaysMs: [1, 2], jitter: 0 } as const;
    const dedupe = { key: "k", mode: "throttle", ttlMs: 9 } as const;
    await driver.enqueue([
      job("mail"),
      job("mail", { id: "x", delayMs: 5, timeoutMs: 6, expiresInMs: 7, priority: 1, backoff, dedupe, tags: ["t"] }),
      job("mail", { backoff: list, keep: { completed: 0 }, maxAttempts: 2 }),
    ]);
    expect(sent[0]?.body).toEqual([
      { name: "email", payload: { n: 1 } },
      {
        name: "email",
        payload: { n: 1 },
        options: {
          id: "x",
          priority: 1,
          tags: ["t"],
          delay: 5,
          timeout: 6,
          expiresIn: 7,
          backoff: { kind: "exponential", delay: 1_000, factor: 2, max: 5_000, jitter: 0.5 },
          dedupe: { key: "k", mode: "throttle", ttl: 9 },
        },
      },
      { name: "email", payload: { n: 1 }, options: { backoff: [1, 2], keep: { completed: 0 }, maxAttempts: 2 } },
    ]);
  });

  it("sends more than the API takes at once in several requests, each within its limits", async () => {
    const { driver, sent } = open(receipts);
    expect(await driver.enqueue(Array.from({ length: 2_500 }, () => job("mail")))).toHaveLength(2_500);
    expect(sent.map(({ body }) => (body as unknown[]).length)).toEqual([1_000, 1_000, 500]);
    sent.length = 0;
    const large = job("mail", { payload: JSON.stringify("ñ".repeat(50_000)) });
    await driver.enqueue(Array.from({ length: 25 }, () => large));
    for (const { body } of sent) {
      expect(new TextEncoder().encode(JSON.stringify(body)).length).toBeLessThanOrEqual(1024 * 1024);
    }
    expect(sent.length).toBeLessThan(5);
  });
});

describe("HttpDriver: errors", () => {
  it("of an API that is asked too often keep their code, and say for how long to wait: to the millisecond where it does", async () => {
    const headers = { "retry-after": "2" };
    const limited = (details: object) =>
      Response.json({ status: 429, code: "rate_limited", detail: "Later.", ...details }, { status: 429, headers });
    const exact = open(() => limited({ details: { retryAfterMs: 1_250 } })).driver;
    const expected = (retryAfterMs: number) => ({ code: "rate_limited", details: { status: 429, retryAfterMs } });
    await expect(exact.enqueue([job("mail")])).rejects.toMatchObject(expected(1_250));
    await expect(open(() => limited({})).driver.counts("mail")).rejects.toMatchObject(expected(2_000));
    // Said by something on the way, it is one more way of not getting through.
    const proxy = open(() => new Response("", { status: 429, headers })).driver;
    const bare = { code: "network", details: { bare: true, retryAfterMs: 2_000 } };
    await expect(proxy.counts("mail")).rejects.toMatchObject(bare);
  });

  it("are the API's own, with code and details", async () => {
    const errors = [{ path: "payload.to", message: "Invalid email" }];
    const { driver } = open(() => problem(422, "invalid_payload", { errors, details: { job: "email" } }));
    await expect(driver.enqueue([job("mail")])).rejects.toMatchObject({
      name: "QuaysideError",
      code: "invalid_payload",
      message: "It is invalid_payload.",
      details: { status: 422, job: "email", issues: errors },
    });
  });

  it.each([
    ["a fetch that fails", () => Promise.reject(new TypeError("Failed to fetch")), "network"],
    ["a gateway's own page", () => new Response("<h1>Bad gateway</h1>", { status: 502 }), "network"],
    ["too many requests", () => new Response("", { status: 429 }), "network"],
    ["a page in place of JSON", () => new Response("<html>"), "network"],
    ["a proxy that wants a login", () => new Response("", { status: 401 }), "unauthorized"],
    ["a route that is not there", () => new Response("", { status: 404 }), "bad_request"],
  ] as const)("%s has a code too", async (_, answer, code) => {
    const { driver } = open(answer);
    await expect(driver.counts("mail")).rejects.toMatchObject({ name: "QuaysideError", code });
  });

  it("say when to come again, where the server did: in seconds, or by the clock", async () => {
    const clock = createManualClock(Date.UTC(2026, 0, 1));
    const said = async (value: string) => {
      const { driver } = open(() => new Response("", { status: 503, headers: { "retry-after": value } }), { clock });
      return driver.counts("mail").catch((error: QuaysideError) => error.details["retryAfterMs"]);
    };
    expect(await said("120")).toBe(120_000);
    expect(await said("Thu, 01 Jan 2026 00:01:00 GMT")).toBe(60_000);
    expect(await said("Wed, 31 Dec 2025 00:00:00 GMT")).toBe(0);
    // Neither whole seconds nor an HTTP date: `Date.parse` takes most of these for a day or a year.
    for (const odd of ["soon", "1.5", "-3", "12.2031", "2040-01-01", "0x10", ""])
      expect(await said(odd)).toBeUndefined();
    // No server keeps its callers away for longer than a day.
    for (const long of ["999999999999", "Thu, 01 Jan 2099 00:00:00 GMT"]) expect(await said(long)).toBe(86_400_000);
    const { driver } = open(() => problem(503, "closed"));
    await expect(driver.counts("mail")).rejects.toMatchObject({ details: { status: 503 } });
  });

  it("tell whether it was the API that refused, or something on the way", async () => {
    const bare = open(() => new Response("Not here", { status: 404 })).driver;
    await expect(bare.counts("mail")).rejects.toMatchObject({ code: "bad_request", details: { bare: true } });
    const own = open(() => problem(400, "bad_request")).driver;
    const error = await own.counts("mail").catch((thrown: QuaysideError) => thrown);
    expect(error).toMatchObject({ code: "bad_request", details: { status: 400 } });
    expect((error as QuaysideError).details).not.toHaveProperty("bare");
  });

  it("a request that takes too long is aborted, and counts as a lost one", async () => {
    const clock = createManualClock();
    const never: Answer = (_, { signal }) =>
      new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
    const { driver } = open(never, { clock, timeout: "5s" });
    const counts = driver.counts("mail");
    const refused = expect(counts).rejects.toMatchObject({ code: "network" });
    await clock.advance(5_000);
    await refused;
    expect(clock.pending).toBe(0);
  });

  it("a job that is not there is undefined, and cancelling or removing it affects nothing", async () => {
    const { driver } = open(() => problem(404, "job_not_found"));
    expect(await driver.get("mail", "x")).toBeUndefined();
    expect(await driver.command({ type: "cancel", queue: "mail", id: "x" })).toEqual({ affected: 0 });
    expect(await driver.command({ type: "remove", queue: "mail", id: "x" })).toEqual({ affected: 0 });
    await expect(driver.command({ type: "retry", queue: "mail", id: "x" })).rejects.toMatchObject({
      code: "job_not_found",
    });
  });
});

describe("HttpDriver: credentials", () => {
  it("are a token, or what a function says each time", async () => {
    const none = open(() => Response.json({ waiting: 0 }));
    await none.driver.counts("mail");
    expect(none.sent[0]?.authorization).toBeUndefined();
    let serial = 0;
    const renewed = open(() => Response.json({ waiting: 0 }), { token: async () => `token-${++serial}` });
    await renewed.driver.counts("mail");
    await renewed.driver.counts("mail");
    expect(renewed.sent.map(({ authorization }) => authorization)).toEqual(["Bearer token-1", "Bearer token-2"]);
  });

  it("that were refused are asked for once more, and the request sent again with the fresh ones", async () => {
    const asked: (string | undefined)[] = [];
    const token = (refused?: string) => {
      asked.push(refused);
      return refused ? "fresh" : "stale";
    };
    const { driver, sent } = open(
      ({ authorization }) =>
        authorization === "Bearer fresh" ? Response.json({ waiting: 1 }) : problem(401, "unauthorized"),
      { token },
    );
    expect(await driver.counts("mail")).toEqual({ waiting: 1 });
    expect(asked).toEqual([undefined, "stale"]);
    expect(sent).toHaveLength(2);
  });

  it("that are refused again, or are no others, are an error at once", async () => {
    let serial = 0;
    const renewed = open(() => problem(401, "unauthorized"), { token: () => `token-${++serial}` });
    await expect(renewed.driver.counts("mail")).rejects.toMatchObject({ code: "unauthorized" });
    expect(renewed.sent).toHaveLength(2);
    for (const token of ["one", () => "one"]) {
      const same = open(() => problem(401, "unauthorized"), { token });
      await expect(same.driver.counts("mail")).rejects.toMatchObject({ code: "unauthorized" });
      expect(same.sent).toHaveLength(1);
    }
  });

  it("that cannot be had are an error that says why, and nothing is sent", async () => {
    const { driver, sent } = open(() => Response.json({}), {
      token: () => {
        throw new Error("Signed out.");
      },
    });
    await expect(driver.counts("mail")).rejects.toThrow("Signed out.");
    expect(sent).toEqual([]);
  });
});
