import { createHmac } from "node:crypto";
import { fileURLToPath } from "node:url";
import { type JobRecord, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import { verifyWebhook } from "@quayside/edge/webhook";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { unstable_startWorker as startWorker } from "wrangler";
import { jobs } from "../edge/bridge-jobs.ts";
import { type Answer, Receiver } from "./support/receiver.ts";

// As the Worker has them; "new" is on its way to the receivers.
const OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW = "whsec_bmV3IHNlY3JldCBvZiB0aGUgdGVzdHMsIDMyIGJ5dGVz";

// The test harness has Node fetch what its Workers fetch, and Node follows redirects: here it is workerd that does it.
const start = () =>
  startWorker({
    config: fileURLToPath(new URL("../edge/wrangler.webhooks.jsonc", import.meta.url)),
    dev: {
      server: { hostname: "127.0.0.1", port: 0 },
      inspector: false,
      logLevel: "none",
      persist: false,
      watch: false,
    },
  });
// It would ask Cloudflare for an example of a request's place of origin: nothing here needs it.
process.env["CLOUDFLARE_CF_FETCH_ENABLED"] = "false";
let server: Awaited<ReturnType<typeof start>>;
const receiver = new Receiver();
let base = "";
let queue: Queue<typeof jobs>;

beforeAll(async () => {
  await receiver.listen();
  server = await start();
  base = (await server.url).href.replace(/\/$/, "");
  queue = new Queue<typeof jobs>("hooks", httpDriver({ url: `${base}/api`, token: "token-all" }), { jobs });
});
afterAll(async () => {
  await queue?.driver.close();
  await server?.dispose();
  await receiver.close();
});

const ended = async (id: string): Promise<JobRecord> => {
  await queue.waitFor(id, { timeout: "20s" }).catch(() => {});
  return (await queue.get(id)) as JobRecord;
};
interface Signed {
  readonly headers: Record<string, string>;
  readonly body: string;
}
let paths = 0;
/** A URL of its own that answers so. */
function on(answer: Answer): { readonly path: string; readonly url: string } {
  const path = `/hook-${paths++}`;
  return { path, url: receiver.on(path, answer) };
}
const status =
  (code: number, headers = {}, body = ""): Answer =>
  (response) =>
    void response.writeHead(code, headers).end(body);

describe("a job sent by webhook", () => {
  it("is a POST as Standard Webhooks has it, signed with each secret, and its JSON answer is the result", async () => {
    const { path, url } = on(status(200, { "content-type": "application/json; charset=utf-8" }, '{"taken":"yes"}'));
    const id = await queue.addJob("deliver", { url, words: ["grüße", "👋"] }, { id: "order 1.é/2" });
    expect(await ended(id)).toMatchObject({ state: "completed", attempts: 1, result: { taken: "yes" } });
    const [{ headers, body } = { headers: {}, body: "" }] = receiver.at(path) as readonly Signed[];
    expect(headers).toMatchObject({
      "content-type": "application/json",
      "quayside-attempt": "1",
      "webhook-id": "hooks/order%201%2E%C3%A9%2F2",
      "x-app": "test",
    });
    expect(JSON.parse(body)).toEqual({
      type: "deliver",
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      data: { url, words: ["grüße", "👋"] },
      id: "order 1.é/2",
      queue: "hooks",
    });
    // By the letter of the specification.
    const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
    const signatures = [OLD, NEW].map((secret) => {
      const key = Buffer.from(secret.slice("whsec_".length), "base64");
      return `v1,${createHmac("sha256", key).update(signed, "utf8").digest("base64")}`;
    });
    expect(headers["webhook-signature"]).toBe(signatures.join(" "));
    // By the reference library, for receivers that know either secret.
    for (const secret of [OLD, NEW])
      expect(new Webhook(secret).verify(body, headers)).toMatchObject({ type: "deliver" });
  });

  it("is completed by any 2xx, without a result that is not JSON, too large or broken", async () => {
    const json = { "content-type": "application/json" };
    const bare = on(status(204));
    expect(await ended(await queue.addJob("notify", bare))).toMatchObject({ state: "completed", attempts: 1 });
    const text = on(status(200, { "content-type": "text/plain" }, '"no"'));
    expect((await ended(await queue.addJob("notify", text))).result).toBeUndefined();
    const large = on(status(200, json, JSON.stringify("x".repeat(100))));
    const job = await ended(await queue.addJob("notify", large));
    expect(job).toMatchObject({
      state: "completed",
      attempts: 1,
      logs: [expect.stringContaining("longer than 100 bytes")],
    });
    expect(job.result).toBeUndefined();
    const broken = on(status(200, json, "{"));
    expect(await ended(await queue.addJob("notify", broken))).toMatchObject({
      state: "completed",
      logs: [expect.stringContaining("not the JSON")],
    });
  });

  it("is completed once by a 2xx whose body never ends, breaks off or does not fit its schema", async () => {
    const json = { "content-type": "application/json" };
    const endless = on((response) => void response.writeHead(200, json).write('{"a":'));
    const cut = on((response) => {
      response.writeHead(200, { ...json, "content-length": "100" }).write('{"a":', () => response.destroy());
    });
    const unfit = on(status(200, json, '{"taken":"longer than ten"}'));
    for (const [name, { path, url }, why] of [
      ["hurry", endless, "did not end in time"],
      ["notify", cut, "broke off"],
      ["fit", unfit, "does not fit the schema"],
      ["deliver", on(status(200, json, '{"taken":7}')), "does not fit the schema"],
    ] as const) {
      const job = await ended(await queue.addJob(name, { url }));
      expect(job).toMatchObject({ state: "completed", attempts: 1, logs: [expect.stringContaining(why)] });
      expect(job.result).toBeUndefined();
      expect(receiver.at(path)).toHaveLength(1);
    }
  });

  it("does not reach this machine unless allow names it", async () => {
    const { path, url } = on(status(200));
    const { state, error } = await ended(await queue.addJob("strict", { url }));
    expect({ state, error }).toMatchObject({ state: "failed", error: { code: "invalid_option" } });
    expect(receiver.at(path)).toEqual([]);
  });

  it("is tried again under the same webhook-id after an error, and says which attempt it is", async () => {
    const { path, url } = on((response, _, count) => response.writeHead(count < 3 ? 500 : 200).end("sorry"));
    expect(await ended(await queue.addJob("deliver", { url }))).toMatchObject({
      state: "completed",
      attempts: 3,
      error: { name: "WebhookError", message: `${receiver.url} answered 500: sorry` },
    });
    const received = receiver.at(path);
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    expect(received.map(({ headers }) => headers["quayside-attempt"])).toEqual(["1", "2", "3"]);
  });

  it("is tried again after a 4xx too, unless its definition says otherwise", async () => {
    const { path, url } = on(status(404));
    expect(await ended(await queue.addJob("deliver", { url }))).toMatchObject({ state: "failed", attempts: 3 });
    expect(receiver.at(path)).toHaveLength(3);
    const refused = on(status(400, {}, "no such account"));
    expect(await ended(await queue.addJob("notify", refused))).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { message: `${receiver.url} answered 400: no such account` },
    });
  });

  it("fails for good after 410 Gone", async () => {
    const { path, url } = on(status(410));
    expect(await ended(await queue.addJob("deliver", { url }))).toMatchObject({
      state: "failed",
      attempts: 1,
      error: { code: "unrecoverable" },
    });
    expect(receiver.at(path)).toHaveLength(1);
  });

  it.each([429, 503])("waits as long as the Retry-After of a %i says", async (code) => {
    const { path, url } = on(status(code, { "retry-after": "3600" }));
    const id = await queue.addJob("deliver", { url });
    await vi.waitFor(async () => expect((await queue.get(id))?.state).toBe("delayed"), { timeout: 5_000 });
    const { availableAt = 0, attempts } = (await queue.get(id)) ?? {};
    expect(attempts).toBe(1);
    expect(availableAt - Date.now()).toBeGreaterThan(3_500_000);
    expect(receiver.at(path)).toHaveLength(1);
  });

  // A date that is past asks for no wait, as 0 does.
  it.each([
    ["a negative number", "-5", 200],
    ["no number", "soon", 200],
    ["a date that is past", new Date(0).toUTCString(), 0],
  ])("keeps to its own backoff and attempts where the Retry-After of a 503 is %s", async (_, value, leastMs) => {
    const times: number[] = [];
    const { url } = on((response) => {
      times.push(Date.now());
      response.writeHead(503, { "retry-after": value }).end();
    });
    const id = await queue.addJob("deliver", { url }, { maxAttempts: 3, backoff: 200 });
    expect(await ended(id)).toMatchObject({ state: "failed", attempts: 3, error: { name: "WebhookError" } });
    expect(times).toHaveLength(3);
    for (const [n, time] of times.slice(1).entries()) expect(time - (times[n] ?? 0)).toBeGreaterThanOrEqual(leastMs);
  });

  it("follows no redirect", async () => {
    const elsewhere = on(status(200));
    const { url } = on(status(307, { location: elsewhere.url }));
    expect(await ended(await queue.addJob("notify", { url }))).toMatchObject({
      state: "failed",
      attempts: 2,
      error: { message: `${receiver.url} answered 307 (redirects are not followed)` },
    });
    expect(receiver.at(elsewhere.path)).toEqual([]);
  });

  it("is tried again when there is no answer in time, or nobody there", async () => {
    const late = { state: "failed", attempts: 2, error: { message: `${receiver.url} did not answer within 400 ms.` } };
    const silent = on(() => {});
    expect(await ended(await queue.addJob("hurry", silent))).toMatchObject(late);
    const nobody = await ended(await queue.addJob("notify", { url: "http://127.0.0.1:1/" }));
    expect(nobody).toMatchObject({ state: "failed", attempts: 2, error: { name: "WebhookError" } });
    expect(nobody.error?.message).toContain("http://127.0.0.1:1 could not be reached");
  });

  it("is given up when it is cancelled while it is on its way", async () => {
    let broken = false;
    const { path, url } = on((response) => void response.on("close", () => (broken = true)));
    const id = await queue.addJob("deliver", { url });
    await vi.waitFor(() => expect(receiver.at(path)).toHaveLength(1), { timeout: 5_000 });
    await queue.cancel(id);
    expect(await ended(id)).toMatchObject({ state: "cancelled" });
    // Long before its timeout of 30 s.
    await vi.waitFor(() => expect(broken).toBe(true), { timeout: 10_000 });
  });

  it("is refused where its URL is not https, or carries a password", async () => {
    for (const url of ["http://receiver.example/hook", "https://ada:secret@receiver.example/", "no url"]) {
      const { state, error } = await ended(await queue.addJob("notify", { url }));
      expect({ state, error }).toMatchObject({ state: "failed", error: { code: "invalid_option" } });
      expect(error?.message).not.toContain("secret");
    }
  });

  it("whose payload does not fit its schema is not sent, also by `dispatch`", async () => {
    const { path, url } = on(status(200));
    const stub = await fetch(`${base}/raw`, { method: "POST", body: JSON.stringify({ url, words: "none" }) });
    const { state, error } = (await ended((await stub.json()) as string)) as JobRecord;
    expect({ state, error }).toMatchObject({ state: "failed", error: { code: "invalid_payload" } });
    expect(receiver.at(path)).toEqual([]);
  });
});

describe("verifyWebhook", () => {
  const now = () => Math.floor(Date.now() / 1_000);
  const body = JSON.stringify({
    type: "deliver",
    timestamp: new Date().toISOString(),
    data: { url: "https://a.example" },
    id: "1",
    queue: "hooks",
  });
  /** As the reference library signs it. */
  const signed = (text: string, { secret = OLD as string, id = "msg_1", at = now() } = {}) => ({
    "webhook-id": id,
    "webhook-timestamp": String(at),
    "webhook-signature": new Webhook(secret).sign(id, new Date(at * 1_000), text),
  });
  const post = (headers: Record<string, string>, text: BodyInit = body) =>
    new Request("https://receiver.example/hooks", { method: "POST", headers, body: text });

  it("takes what the reference library signs, in Node and in workerd, with data as the schema makes it", async () => {
    const headers = { ...signed(body), "quayside-attempt": "2" };
    const expected = {
      webhookId: "msg_1",
      attempt: 2,
      type: "deliver",
      data: { url: "https://a.example", words: [] },
      id: "1",
      queue: "hooks",
    };
    const event = await verifyWebhook<typeof jobs>(post(headers), OLD, { jobs });
    expect(event).toMatchObject(expected);
    expect(event.sentAt).toEqual(new Date(Number(headers["webhook-timestamp"]) * 1_000));
    const answer = await fetch(`${base}/hooks`, { method: "POST", headers, body });
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject(expected);
  });

  it("takes what the Worker's webhooks send", async () => {
    const { path, url } = on(status(200));
    await ended(await queue.addJob("deliver", { url }, { id: "own" }));
    const [received] = receiver.at(path);
    const request = post(received?.headers as Record<string, string>, received?.body);
    expect(await verifyWebhook(request, NEW)).toMatchObject({ webhookId: "hooks/own", attempt: 1, data: { url } });
  });

  it("takes any of several secrets and any of several signatures", async () => {
    expect(await verifyWebhook(post(signed(body, { secret: NEW })), [OLD, NEW])).toMatchObject({ id: "1" });
    const headers = signed(body);
    const many = { ...headers, "webhook-signature": `v1a,AAAA v1,AAAA ${headers["webhook-signature"]}` };
    expect(await verifyWebhook(post(many), OLD)).toMatchObject({ id: "1" });
  });

  it("refuses what is signed by another secret, altered, too old, too new, or not signed", async () => {
    const refused = (headers: Record<string, string>, text = body) =>
      expect(verifyWebhook(post(headers, text), OLD)).rejects.toMatchObject({ code: "unauthorized" });
    await refused(signed(body, { secret: NEW }));
    await refused(signed(body), body.replace("a.example", "b.example"));
    await refused({ ...signed(body), "webhook-id": "msg_2" });
    const at = now();
    await refused({ ...signed(body, { at }), "webhook-timestamp": String(at - 1) });
    await refused(signed(body, { at: now() - 301 }));
    await refused(signed(body, { at: now() + 310 }));
    for (const name of ["webhook-id", "webhook-timestamp", "webhook-signature"]) {
      const { [name]: _, ...rest } = signed(body) as Record<string, string>;
      await refused(rest);
    }
    expect(await verifyWebhook(post(signed(body, { at: now() - 290 })), OLD)).toMatchObject({ id: "1" });
  });

  it("refuses what is too large, no JSON, no job, unknown, or does not fit its schema, each by its code", async () => {
    const code = async (text: string, options = {}) => {
      try {
        await verifyWebhook(post(signed(text), text), OLD, options);
        return "taken";
      } catch (error) {
        return (error as { readonly code: string }).code;
      }
    };
    expect(await code(body, { bodyBytes: 20 })).toBe("too_large");
    expect(await code("{")).toBe("bad_request");
    expect(await code("null")).toBe("bad_request");
    expect(await code('{"type":"deliver"}')).toBe("bad_request");
    expect(await code(body.replace("deliver", "fax"), { jobs })).toBe("unknown_job");
    expect(await code(body.replace("url", "uri"), { jobs })).toBe("invalid_payload");
    await expect(verifyWebhook(post(signed(body), new Uint8Array([0x22, 0xff, 0x22])), OLD)).rejects.toMatchObject({
      code: "bad_request",
    });
  });

  it("refuses secrets that cannot be meant, and does not repeat them", async () => {
    for (const secret of ["", "undefined", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64!", OLD.slice(6), []]) {
      const refusal = await verifyWebhook(post(signed(body)), secret).catch((error: unknown) => error);
      expect(refusal).toMatchObject({ code: "invalid_option" });
      expect(String(refusal)).not.toMatch(/c2hvcnQ|MfKQ9r8/);
    }
  });
});
