import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";
import { type Call, call, email, problem } from "./api-call.ts";
import { api, jobs, TOKENS } from "./queues.ts";

afterEach(reset);

const KEY = "8e03978e-40d5-43dd-bc93-6894a57f9324";
const DAY_MS = 86_400_000;
const keyed = (key: string, more: Call = {}): Call => ({
  body: email,
  ...more,
  headers: { "idempotency-key": key, ...more.headers },
});
const waiting = async (queue = "mail") => (await call(`/${queue}/counts`)).body.waiting;
const object = () => env.BARE_QUEUE.getByName("mail");

describe("an Idempotency-Key", () => {
  it("with the same payload answers the same receipts, and nothing is done, whatever became of the jobs", async () => {
    const first = await call("/mail/jobs", keyed(`"${KEY}"`, { body: [email, email] }));
    expect(first.status).toBe(201);
    await call("/mail/clear", { method: "POST" });
    for (let again = 0; again < 3; again++) {
      const { status, body } = await call("/mail/jobs", keyed(`"${KEY}"`, { body: [email, email] }));
      expect({ status, body }).toEqual({ status: 201, body: first.body });
    }
    expect(await waiting()).toBe(0);
  });

  it("goes by what the body says and not by how it is written", async () => {
    const text = '{"name":"note","payload":{"board":"a","note":"b"}}';
    const other = ' { "payload" : {"note":"\\u0062", "board":"a"}, "name":"note" } ';
    const { body } = await call("/mail/jobs", keyed('"k"', { text }));
    expect((await call("/mail/jobs", keyed('"k"', { text: other }))).body).toEqual(body);
    expect(await waiting()).toBe(1);
  });

  it.each([
    ["in quotes or without", `"${KEY}"`, KEY],
    ["with escapes", '"a\\"b\\\\c"', '"a\\"b\\\\c"'],
    ["with spaces around it", '"a b"', '  "a b" '],
    ["of 255 characters", `"${"x".repeat(255)}"`, "x".repeat(255)],
  ])("may be written %s", async (_, one, two) => {
    const { body } = await call("/mail/jobs", keyed(one));
    expect((await call("/mail/jobs", keyed(two))).body).toEqual(body);
    expect(await waiting()).toBe(1);
  });

  it.each(['""', '"', '"a', 'a"', "a b", '"a";b=1', '"a", "b"', "a,b", '"a\\b"', '"\t"', `"${"x".repeat(256)}"`])(
    "that is malformed (%s) is 400, named, and nothing is done",
    async (key) => {
      const { status, code, errors } = await problem("/mail/jobs", keyed(key));
      expect({ status, code }).toEqual({ status: 400, code: "bad_request" });
      expect(errors?.map(({ path }) => path)).toEqual(["Idempotency-Key"]);
      expect(await problem("/mail/exchange", keyed(key, { body: {} }))).toMatchObject({ status: 400, errors });
      expect(await waiting()).toBe(0);
    },
  );

  it("with another payload is 422, and nothing is done", async () => {
    const { body } = await call("/mail/jobs", keyed(`"${KEY}"`));
    for (const other of [
      [email],
      { ...email, options: { priority: 1 } },
      { ...email, payload: { to: "bo@example.com" } },
    ]) {
      const { status, code, detail } = await problem("/mail/jobs", keyed(`"${KEY}"`, { body: other }));
      expect({ status, code }).toEqual({ status: 422, code: "mark_conflict" });
      expect(detail).toContain("Idempotency-Key");
    }
    expect(await waiting()).toBe(1);
    expect((await call("/mail/jobs", keyed(`"${KEY}"`))).body).toEqual(body);
  });

  it("of a request that was refused may be used again: nothing was done under it", async () => {
    expect((await problem("/mail/jobs", keyed('"k"', { body: { name: "fax" } }))).status).toBe(422);
    expect((await call("/mail/jobs", keyed('"k"'))).status).toBe(201);
    expect(await waiting()).toBe(1);
  });

  it("is one queue's own, also where queues share an object", async () => {
    const app = queueApi({
      jobs,
      object: ({ BARE_QUEUE }: Cloudflare.Env) => ({
        idFromName: () => BARE_QUEUE.idFromName("mail"),
        get: (id) => BARE_QUEUE.get(id),
      }),
      auth: bearerTokens(TOKENS),
    });
    expect((await call("/red/jobs", keyed('"k"', { app }))).status).toBe(201);
    expect((await call("/blue/jobs", keyed('"k"', { app, body: [email] }))).status).toBe(201);
    const one = await call("/mail/jobs", keyed('"k"'));
    const other = await call("/logs/jobs", keyed('"k"', { body: [email] }));
    expect([one.status, other.status]).toEqual([201, 201]);
    expect([await waiting("mail"), await waiting("logs")]).toEqual([1, 1]);
  });

  it("is the caller's own: another token learns nothing of it", async () => {
    const one = await call("/mail/jobs", keyed('"k"', { token: "token-all" }));
    const two = await call("/mail/jobs", keyed('"k"', { token: "token-enqueue", body: [email] }));
    expect(two.status).toBe(201);
    expect(two.body[0].id).not.toBe(one.body.id);
    expect(await waiting()).toBe(2);
  });

  it("is the subject's own, where the grant names one: a renewed token is the same caller", async () => {
    const grant = { scopes: ["enqueue"], subject: "ada" } as const;
    const app = queueApi({
      jobs,
      object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE,
      auth: bearerTokens({ "token-all": grant, "token-enqueue": grant, "token-work": { ...grant, subject: "bo" } }),
    });
    const one = await call("/mail/jobs", keyed('"k"', { app, token: "token-all" }));
    const renewed = await call("/mail/jobs", keyed('"k"', { app, token: "token-enqueue" }));
    const other = await call("/mail/jobs", keyed('"k"', { app, token: "token-work" }));
    expect(renewed.body).toEqual(one.body);
    expect(other.body).not.toEqual(one.body);
    expect(await waiting()).toBe(2);
  });

  it("is kept as a hash, and so is who used it", async () => {
    await call("/mail/jobs", keyed(`"${KEY}"`));
    const stored = await object().stored();
    expect(stored).toContain('"mark"');
    expect(stored).not.toContain(KEY);
    expect(stored).not.toContain("token-all");
  });

  it("is remembered for 24 hours, or as long as the API's limits say", async () => {
    const brief = queueApi({
      jobs,
      object: (bindings: Cloudflare.Env) => bindings.BARE_QUEUE,
      auth: bearerTokens(TOKENS),
      limits: { keyTtl: "1m" },
    });
    for (const [app, ms, key] of [
      [api, DAY_MS, '"long"'],
      [brief, 60_000, '"short"'],
    ] as const) {
      const { body } = await call("/mail/jobs", keyed(key, { app }));
      await object().jump(ms - 1);
      expect((await call("/mail/jobs", keyed(key, { app }))).body).toEqual(body);
      await object().jump(1);
      expect((await call("/mail/jobs", keyed(key, { app }))).body).not.toEqual(body);
    }
  });

  it("costs a row, and none where there is no key", async () => {
    const rows = async (options: Call) => {
      const before = (await object().usage()).rowsWritten;
      await call("/mail/jobs", { body: email, ...options });
      return (await object().usage()).rowsWritten - before;
    };
    expect(await rows({})).toBe(1);
    // The first key also stores when to search for lapsed ones.
    expect(await rows(keyed('"first"'))).toBe(3);
    expect(await rows(keyed('"k"'))).toBe(2);
    expect(await rows(keyed('"k"'))).toBe(0);
  });

  it("gives way to the number that a driver gave its request itself", async () => {
    const numbered = (key: string) =>
      keyed(key, { headers: { "quayside-request": "sender=outbox&number=1&digest=d" } });
    const { body } = await call("/mail/jobs", numbered('"one"'));
    expect((await call("/mail/jobs", numbered('"two"'))).body).toEqual(body);
    expect((await problem("/mail/jobs", numbered('"'))).status).toBe(400);
    expect(await waiting()).toBe(1);
  });
});
