import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { bearerTokens, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { type Call, call, email, problem } from "./api-call.ts";
import { api, jobs, TOKENS } from "./queues.ts";

afterEach(reset);
afterEach(() => void vi.useRealTimers());

const keyed = (key: string, more: Call = {}): Call => ({
  body: email,
  ...more,
  headers: { "idempotency-key": key, ...more.headers },
});
const waiting = async (queue = "mail") => (await call(`/${queue}/counts`)).body.waiting;

describe("a request whose key is in progress", () => {
  const TEXT = JSON.stringify(email);

  /** A request that is sent up to half of its body: `begun` when that is being read. */
  function slow(key: string) {
    let begin = () => {};
    const begun = new Promise<void>((resolve) => {
      begin = resolve;
    });
    let send = (_: string) => {};
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          begin();
          return new Promise((resolve) => {
            send = (text) => {
              controller.enqueue(new TextEncoder().encode(text));
              controller.close();
              resolve();
            };
          });
        },
      },
      { highWaterMark: 0 },
    );
    const answer = post(api, body, key, { "content-length": `${TEXT.length}` });
    return { answer, begun, finish: () => send(TEXT) };
  }

  const post = (app: typeof api, body: ReadableStream | string, key = '"k"', headers = {}) =>
    app.request(
      "/mail/jobs",
      {
        method: "POST",
        headers: {
          authorization: "Bearer token-all",
          "content-type": "application/json",
          "idempotency-key": key,
          ...headers,
        },
        body,
      },
      env,
    );

  it("because its body is still on its way is 409, with Retry-After; afterwards it gets the receipts", async () => {
    const { answer, begun, finish } = slow('"k"');
    await begun;
    const refused = await problem("/mail/jobs", keyed('"k"', { body: [] }));
    expect(refused).toMatchObject({ status: 409, code: "in_progress", details: { retryAfterMs: 1_000 } });
    const { response } = await call("/mail/jobs", keyed('"k"'));
    expect(response.headers.get("retry-after")).toBe("1");
    expect((await call("/mail/jobs", keyed('"other"'))).status).toBe(201);
    finish();
    const done = await answer;
    expect(done.status).toBe(201);
    expect((await call("/mail/jobs", keyed('"k"'))).body).toEqual(await done.json());
    expect(await waiting()).toBe(2);
  });

  it("because the object has not answered yet is 409; afterwards it gets the receipts", async () => {
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const gated = queueApi({
      jobs,
      object: ({ BARE_QUEUE }: Cloudflare.Env) => ({
        idFromName: (name) => BARE_QUEUE.idFromName(name),
        get: (id) => {
          const stub = BARE_QUEUE.get(id);
          return {
            enqueue: async (...args: Parameters<typeof stub.enqueue>) => {
              const reply = await stub.enqueue(...args);
              arrived();
              await opened;
              return reply;
            },
          };
        },
      }),
      auth: bearerTokens(TOKENS),
    });
    const first = post(gated, JSON.stringify(email));
    await arrival;
    expect(await problem("/mail/jobs", keyed('"k"', { app: gated }))).toMatchObject({
      status: 409,
      code: "in_progress",
    });
    open();
    const receipt = await (await first).json();
    expect((await call("/mail/jobs", keyed('"k"', { app: gated }))).body).toEqual(receipt);
    expect(await waiting()).toBe(1);
  });

  it("is not held up for ever by one whose caller has gone", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    const { begun } = slow('"gone"');
    await begun;
    vi.setSystemTime(Date.now() + 59_000);
    expect((await call("/mail/jobs", keyed('"gone"'))).status).toBe(409);
    vi.setSystemTime(Date.now() + 1_000);
    expect((await call("/mail/jobs", keyed('"gone"'))).status).toBe(201);
  });
});
