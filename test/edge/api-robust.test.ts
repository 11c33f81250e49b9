import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { LIMITS } from "@quayside/core";
import { afterEach, describe, expect, it } from "vitest";
import { add, type Call, call, email, problem } from "./api-call.ts";
import { api } from "./queues.ts";

afterEach(reset);

const nested = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;
const written = async () => (await env.BARE_QUEUE.getByName("mail").usage()).rowsWritten;

describe("a body", () => {
  it.each(["gzip", "deflate", "br", "GZIP, identity"])(
    "compressed by %s is 415, and writes nothing",
    async (coding) => {
      await add();
      const before = await written();
      const headers = { "content-encoding": coding };
      expect(await problem("/mail/jobs", { body: email, headers })).toMatchObject({
        status: 415,
        code: "unsupported_media_type",
        detail: expect.stringContaining(coding),
      });
      expect(await written()).toBe(before);
      const plain = { "content-encoding": "identity" };
      expect((await call("/mail/jobs", { body: email, headers: plain })).status).toBe(201);
    },
  );

  it.each([
    ["nested thousands of levels deep", nested(100_000), 400, [undefined]],
    ["whose payload is nested too deep", `{"name":"note","payload":${nested(101)}}`, 422, ["payload"]],
    ["with a number that is none", '{"name":"note","payload":{"board":"a","note":1e400}}', 422, ["payload.note"]],
    ["with __proto__ as a field", '{"name":"note","__proto__":{"options":{}}}', 400, ["__proto__"]],
    ["with constructor as a field", '{"name":"note","constructor":{"prototype":1}}', 400, ["constructor"]],
    ["with __proto__ as an option", '{"name":"note","options":{"__proto__":{"delay":1}}}', 400, ["options.__proto__"]],
    ["with __proto__ as its name", '{"name":"__proto__"}', 422, ["name"]],
    ["with half a character in an id", '{"name":"note","options":{"id":"\\ud800"}}', 400, ["options.id"]],
    [
      "with two dots as an id, which no URL can spell",
      '[{"name":"note","payload":{"board":"a","note":"b"}},{"name":"note","options":{"id":".."}}]',
      400,
      ["[1].options.id"],
    ],
    ["with a dot as an id", '{"name":"email","options":{"id":"."}}', 400, ["options.id"]],
    ["with a number beyond all bounds", '{"name":"email","options":{"delay":1e308}}', 400, ["options.delay"]],
    ["with a number that is not finite", '{"name":"email","options":{"priority":-1e999}}', 400, ["options.priority"]],
    ["of another kind in its list", '[{"name":"email"},[]]', 400, ["[1]"]],
  ])("%s is refused, named, and writes nothing", async (_, text, status, paths) => {
    await add();
    const before = await written();
    const answer = await problem("/mail/jobs", { text });
    expect(answer.status).toBe(status);
    expect(answer.errors?.map(({ path }) => path.slice(0, 30)) ?? [undefined]).toEqual(
      paths.map((path) => (path === "payload" ? `payload${"[0]".repeat(8)}`.slice(0, 30) : path)),
    );
    expect(await written()).toBe(before);
  });

  it.each([
    ["a byte that is no character", [0x22, 0xff, 0x22]],
    ["a character that is cut off", [0x22, 0xc3, 0x22]],
    ["half a surrogate pair", [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ["UTF-16", [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ])("with %s is 400: it is not UTF-8", async (_, bytes) => {
    const response = await api.request(
      "/mail/jobs",
      {
        method: "POST",
        headers: { authorization: "Bearer token-all", "content-type": "application/json" },
        body: new Uint8Array(bytes),
      },
      env,
    );
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: "bad_request", detail: expect.stringContaining("UTF-8") });
  });

  it("in pieces and without a length is taken, and is 413 when it is over the limit", async () => {
    const inPieces = (text: string) =>
      new Response(text).body?.pipeThrough(
        new TransformStream<Uint8Array, Uint8Array>({
          transform(chunk, controller) {
            for (let at = 0; at < chunk.length; at += 50_000) controller.enqueue(chunk.slice(at, at + 50_000));
          },
        }),
      ) as ReadableStream;
    const send = (text: string) =>
      api.request(
        "/mail/jobs",
        {
          method: "POST",
          headers: { authorization: "Bearer token-all", "content-type": "application/json" },
          body: inPieces(text),
        },
        env,
      );
    expect((await send(JSON.stringify(email))).status).toBe(201);
    const before = await written();
    const large = await send(JSON.stringify({ ...email, pad: "x".repeat(1_100_000) }));
    expect(large.status).toBe(413);
    expect(await large.json()).toMatchObject({ code: "too_large", details: { limit: 1_048_576 } });
    expect(await written()).toBe(before);
  });

  it("of odd but right values is kept as it is", async () => {
    const text = `{"__proto__":{"a":1},"constructor":null,"nul":"\\u0000","half":"\\ud800","deep":${nested(90)},"n":9007199254740993}`;
    const job = `{"name":"email","payload":{"to":"ada@example.com","lines":[]},"options":{"id":"a\\u0000b","tags":["\\u0000"]}}`;
    await call("/mail/exchange", {
      text: `{"worker":"w","leaseMs":1000,"exchange":1,"settle":[],"running":[],"claim":{"limit":0}}`,
    });
    expect((await call("/mail/jobs", { text: job })).status).toBe(201);
    const { body: claimed } = await call("/mail/exchange", {
      text: `{"worker":"w","leaseMs":1000,"exchange":2,"settle":[],"running":[],"claim":{"limit":1}}`,
    });
    const token = JSON.stringify(claimed.jobs[0].token);
    const progress = `[{"token":${token},"value":${text}}]`;
    const answer = await call("/mail/exchange", {
      text: `{"worker":"w","leaseMs":1000,"exchange":3,"settle":[],"running":[${token}],"progress":${progress},"claim":{"limit":0}}`,
    });
    expect(answer.status).toBe(200);
    const { body } = await call("/mail/jobs/a%00b");
    expect(body).toMatchObject({ id: "a\u0000b", tags: ["\u0000"], state: "active" });
    expect(JSON.stringify(body.progress)).toBe(JSON.stringify(JSON.parse(text)));
    expect(Object.prototype).not.toHaveProperty("a");
  });

  it("names at most a hundred of its mistakes", async () => {
    const fields = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`field${n}`, n]));
    const { errors, detail } = await problem("/mail/jobs", { body: { ...email, ...fields } });
    expect(errors).toHaveLength(100);
    expect(detail).toContain("and 4997 more");
  });
});

describe("what a worker says", () => {
  const round = (exchange: number, more: object = {}) => ({
    ...{ worker: "w", leaseMs: 30_000, exchange, settle: [], running: [], claim: { limit: 1 } },
    ...more,
  });

  it.each([
    ["that is not JSON", "{"],
    ["that is nested too deep", nested(101)],
  ])("of a result %s is 400, and the job stays its worker's", async (_, result) => {
    const { id } = await add();
    const claimed = (await call("/mail/exchange", { body: round(1) })).body;
    const settle = [{ token: claimed.jobs[0].token, outcome: "completed", result }];
    const { status, errors } = await problem("/mail/exchange", { body: round(2, { settle }) });
    expect({ status, paths: errors?.map(({ path }) => path) }).toEqual({ status: 400, paths: ["settle[0].result"] });
    expect((await call(`/mail/jobs/${id}`)).body).toMatchObject({ state: "active" });
  });

  it.each([
    ["settle[0].delayMs", { settle: [{ token: "1.0", outcome: "released", delayMs: 2 ** 53 - 1 }] }],
    ["worker", { worker: "ü" }],
    ["claim.limit", { claim: { limit: 1e9 } }],
  ])("of %s beyond its bounds is 400, named", async (path, more) => {
    const { status, errors } = await problem("/mail/exchange", { body: round(1, more) });
    expect({ status, paths: errors?.map((error) => error.path) }).toEqual({ status: 400, paths: [path] });
  });
});

describe("a number is taken as far as core takes it, and refused beyond, named:", () => {
  const option = (name: string, value: unknown) => ({ "/mail/jobs": { ...email, options: { [name]: value } } });
  const { priority, attempts, groupLimit, backoffFactor, keep, maxActive, rateLimitMax, everyLeastMs } = LIMITS;
  const backoff = (factor: number) => ({ kind: "exponential", delay: 1, factor });
  it.each<[path: string, most: number, step: number, request: (value: number) => Record<string, unknown>]>([
    ["options.priority", priority, 1, (value) => option("priority", value)],
    ["options.priority", -priority, -1, (value) => option("priority", value)],
    ["options.maxAttempts", attempts, 1, (value) => option("maxAttempts", value)],
    ["options.maxExceptions", attempts, 1, (value) => option("maxExceptions", value)],
    ["options.maxInterruptions", attempts, 1, (value) => option("maxInterruptions", value)],
    ["options.group.limit", groupLimit, 1, (value) => option("group", { key: "a", limit: value })],
    ["options.backoff.factor", backoffFactor, 1, (value) => option("backoff", backoff(value))],
    ["options.keep.failed", keep, 1, (value) => option("keep", { failed: value })],
    ["keep.failed", keep, 1, (value) => ({ "/mail/settings": { keep: { failed: value } } })],
    ["maxActive", maxActive, 1, (value) => ({ "/mail/settings": { maxActive: value } })],
    ["rateLimit.max", rateLimitMax, 1, (value) => ({ "/mail/settings": { rateLimit: { max: value, per: 1 } } })],
    ["rule.every", everyLeastMs, -1, (value) => ({ "/mail/schedules/a": { rule: { every: value }, job: email } })],
  ])("%s, %d", async (path, most, step, request) => {
    const send = (value: number) => {
      const [[url, body]] = Object.entries(request(value)) as [[string, unknown]];
      const method = url.includes("settings") ? "PATCH" : url.includes("schedules") ? "PUT" : "POST";
      return call(url, { method, body });
    };
    expect((await send(most)).status).toBeLessThan(300);
    const { status, body } = await send(most + step);
    expect({ status, paths: body.errors.map((error: { path: string }) => error.path) }).toEqual({
      status: 400,
      paths: [path],
    });
  });
});

describe("a duration", () => {
  it("is ms or a text with a unit, in queries, settings and rules alike", async () => {
    const stored = async () => (await call("/mail/schedules")).body[0].rule;
    for (const every of [90_000, "90s", "1.5m"]) {
      const rule = { every, overlap: "allow", immediately: false };
      expect((await call("/mail/schedules/often", { method: "PUT", body: { rule, job: email } })).status).toBe(200);
      expect(await stored()).toEqual({ kind: "every", everyMs: 90_000 });
    }
    for (const per of [1_000, "1s"])
      expect((await call("/mail/settings", { method: "PATCH", body: { rateLimit: { max: 1, per } } })).status).toBe(
        200,
      );
    for (const olderThan of ["0", "1h", "1.5h", "60000"]) {
      const { status } = await call(`/mail/clear?state=failed&olderThan=${olderThan}`, { method: "POST" });
      expect({ olderThan, status }).toEqual({ olderThan, status: 200 });
    }
  });

  it.each([
    ["rateLimit.per", "/mail/settings", "PATCH", { rateLimit: { max: 1, per: "often" } }],
    ["rateLimit.per", "/mail/settings", "PATCH", { rateLimit: { max: 1, per: 0 } }],
    ["rateLimit.perMs", "/mail/settings", "PATCH", { rateLimit: { max: 1, per: 1, perMs: 1 } }],
    ["olderThan", "/mail/clear?olderThan=often", "POST", undefined],
    ["olderThan", "/mail/retry?olderThan=-1", "POST", undefined],
    ["olderThanMs", "/mail/clear?olderThanMs=1", "POST", undefined],
  ])("that is wrong is refused, named: %s of %s", async (path, url, method, body) => {
    const answer = await problem(url, { method, ...(body && { body }) });
    expect({ status: answer.status, paths: answer.errors?.map((error) => error.path) }).toEqual({
      status: 400,
      paths: [path],
    });
  });
});

describe("a recurrence", () => {
  it.each([
    ["job", []],
    ["job", null],
    ["job.name", { name: "" }],
    ["job.name", { name: "fax" }],
    ["job.payload.to", { name: "email", payload: { to: "nobody" } }],
    ["job.options.delay", { name: "email", payload: email.payload, options: { delay: "soon" } }],
  ])("whose %s is wrong is refused, named", async (path, job) => {
    const answer = await problem("/mail/schedules/daily", {
      method: "PUT",
      body: { rule: { every: 1_000 }, job },
    });
    expect([400, 422]).toContain(answer.status);
    expect(answer.errors?.map((error) => error.path)).toEqual([path]);
  });

  it.each([
    ["rule.startAt", { every: 1_000, startAt: 2 ** 53 - 1 }],
    ["rule.every", { every: 2 ** 53 - 1 }],
    ["rule.every", { every: "99ms" }],
    ["rule.every", { every: "soon" }],
    ["rule.timeZone", { every: "5m", timeZone: "Europe/Vienna" }],
    ["rule", {}],
    ["rule", { every: "5m", cron: "0 3 * * *" }],
    ["rule.everyMs", { everyMs: 60_000 }],
  ])("whose %s is wrong is refused, named: %j", async (path, rule) => {
    const answer = await problem("/mail/schedules/daily", { method: "PUT", body: { rule, job: email } });
    expect({ status: answer.status, paths: answer.errors?.map((error) => error.path) }).toEqual({
      status: 400,
      paths: [path],
    });
  });
});

describe("a URL", () => {
  it.each(["/mail/jobs/%", "/mail/jobs/%zz", "/%ff/counts", "/mail/jobs/%c3", "/mail/jobs/%ed%a0%80/cancel"])(
    "that cannot be decoded (%s) is 400",
    async (path) => {
      const options: Call = path.endsWith("cancel") ? { method: "POST" } : {};
      expect(await problem(path, options)).toMatchObject({ status: 400, code: "bad_request" });
    },
  );

  it("whose queue is no name is 400", async () => {
    const { status, errors } = await problem(`/${"x".repeat(257)}/counts`);
    expect({ status, paths: errors?.map(({ path }) => path) }).toEqual({ status: 400, paths: ["queue"] });
  });

  it.each([
    ["limit=1&limit=2", "limit"],
    ["state=waiting&state=failed", "state"],
    ["limit=", "limit"],
    ["limit=1e1", "limit"],
    ["limit=0x5", "limit"],
    ["limit=%205", "limit"],
    ["limit=99999999999999999999", "limit"],
    ["__proto__=1", "__proto__"],
    ["constructor=1", "constructor"],
    ["cursor=%5B%5D", "cursor"],
  ])("with the query ?%s is 400, named", async (query, path) => {
    const { status, errors } = await problem(`/mail/jobs?${query}`);
    expect(status).toBe(400);
    expect(new Set(errors?.map((error) => error.path))).toEqual(new Set([path]));
  });

  it("may say tags more than once, and an empty number is none and clears nothing", async () => {
    await add([
      { ...email, options: { id: "both", tags: ["a", "b"] } },
      { ...email, options: { id: "one", tags: ["a"] } },
    ]);
    const { body } = await call("/mail/jobs?tags=a&tags=b");
    expect(body.jobs.map(({ id }: { id: string }) => id)).toEqual(["both"]);
    expect((await problem("/mail/clear?olderThan=", { method: "POST" })).status).toBe(400);
    expect((await call("/mail/counts")).body.waiting).toBe(2);
  });
});
