import { createExecutionContext, reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { memoryDriver, Queue } from "@quayside/core";
import { httpDriver } from "@quayside/core/http";
import {
  bearerTokens,
  edgeQueue,
  embeddedQueues,
  type QueueNamespace,
  queueApi,
  queueStub,
  shardedDriver,
} from "@quayside/edge";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { problem } from "./api-call.ts";

afterEach(reset);

const log = vi.spyOn(console, "error");
beforeEach(() => void log.mockReset().mockImplementation(() => {}));

const missing = undefined as unknown as QueueNamespace;
const auth = bearerTokens({ "token-all": { subject: "all", scopes: ["enqueue", "work", "admin"] } });

const rejected = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => new Error("It did not reject."),
    (error: Error) => error,
  );

describe("a binding that the Worker does not have", () => {
  it.each([
    ["undefined", missing, "missing"],
    ["a namespace of another kind", { get: () => null } as unknown as QueueNamespace, "something else"],
    ["a text", "MAIL_QUEUE" as unknown as QueueNamespace, "something else"],
  ])("is named where it is used: %s", (_, namespace, what) => {
    const uses = [
      () => edgeQueue(namespace, "mail"),
      () => edgeQueue(namespace, "mail", { shards: 2 }),
      () => shardedDriver(namespace, "mail", { shards: 2 }),
      () => queueStub(namespace, "mail"),
      () => embeddedQueues(namespace),
    ];
    for (const use of uses) expect(use).toThrow(`namespace is ${what}: is its binding in durable_objects.bindings`);
  });

  it.each([
    ["of a queue", undefined, () => missing],
    ["of a queue that is split", { mail: 2 }, () => missing],
    ["of a class that embeds it", undefined, () => embeddedQueues(missing)],
  ])("is a matter of the API's log, not of its caller: %s", async (_, shards, object) => {
    const app = queueApi<Cloudflare.Env>({ object, auth, ...(shards && { shards }) });
    const answer = await problem("/mail/counts", { app });
    expect(answer).toMatchObject({ status: 500, code: "internal", detail: "The server could not do this (internal)." });
    const [error] = log.mock.calls[0] as [Error];
    expect(error.cause).toMatchObject({ message: expect.stringContaining("durable_objects.bindings") });
  });

  it("does not keep the API from saying that it is there", async () => {
    const app = queueApi<Cloudflare.Env>({ object: () => missing });
    expect((await app.request("/health", {}, env)).status).toBe(200);
  });
});

describe("an API without auth", () => {
  it("says so in the log, once, and to its caller what it says of a wrong token", async () => {
    const open = queueApi<Cloudflare.Env>({ object: (bound) => bound.WORK_QUEUE });
    const guarded = queueApi<Cloudflare.Env>({ object: (bound) => bound.WORK_QUEUE, auth });
    const answers = [];
    for (const app of [open, open, guarded])
      answers.push(await problem("/mail/counts", { app, token: "no such token" }));
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(log.mock.calls).toEqual([["queueApi has no auth: every route but /health answers 401 until you set it."]]);
  });
});

describe("cron where nothing reads it", () => {
  it("tells the API's caller what it can do itself", async () => {
    const app = queueApi<Cloudflare.Env>({ object: (bound) => bound.WORK_QUEUE, auth });
    const body = {
      rule: { cron: "* * * * *" },
      job: { name: "email", payload: { to: "a@example.com" } },
    };
    expect(await problem("/mail/schedules/digest", { app, method: "PUT", body })).toMatchObject({
      status: 400,
      code: "invalid_option",
      detail: "This server takes no cron rules. Use a rule with every.",
      errors: [{ path: "rule.cron" }],
    });
  });

  it("tells whose code made the driver what to pass it", async () => {
    const schedule = (queue: Queue) =>
      rejected(queue.schedule("digest", { cron: "* * * * *", name: "email", payload: null }));
    for (const queue of [new Queue("mail", memoryDriver()), edgeQueue(env.WORK_QUEUE, "mail") as unknown as Queue])
      expect((await schedule(queue)).message).toContain("pass { cron } from @quayside/core/cron");
  });
});

describe("a driver over HTTP with a wrong URL", () => {
  const message = async (url: string, fetch?: (url: string) => Promise<Response>) =>
    (await rejected(httpDriver({ url, ...(fetch && { fetch }) }).counts("mail"))).message;

  it.each([undefined, null, 5, "/queues?key=1", "https://app.example/#queues"])("refuses %s at once", (url) => {
    expect(() => httpDriver({ url: url as string })).toThrow("url must say where the queue API is mounted");
  });

  it("names the URL, the platform's reason and what to look at", async () => {
    const cause = new Error("getaddrinfo ENOTFOUND nowhere.example");
    const fails = () => Promise.reject(new TypeError("fetch failed", { cause }));
    const text = await message("https://nowhere.example/queues", fails);
    expect(text).toContain("GET https://nowhere.example/queues/mail/counts did not get through");
    expect(text).toContain("(fetch failed: getaddrinfo ENOTFOUND nowhere.example). Is its URL right");
    expect(await message("https://nowhere.example", () => Promise.reject("odd"))).toContain("get through. Is its URL");
    // Relative, where there is no page.
    expect(await message("/queues")).toMatch(
      /GET \/queues\/mail\/counts did not get through \(.+\)\. Is its URL right/,
    );
  });

  it("says which URL it asked where the API is mounted elsewhere", async () => {
    const app = queueApi<Cloudflare.Env>({ object: (bound) => bound.WORK_QUEUE, auth });
    const driver = httpDriver({
      url: "https://app.example/api/queues",
      token: "token-all",
      fetch: (url, init) => Promise.resolve(app.request(new URL(url).pathname, init, env, createExecutionContext())),
    });
    expect((await rejected(driver.counts("mail"))).message).toContain(
      "Is the driver's URL right? It sent GET https://app.example/api/queues/mail/counts.",
    );
  });

  it("says that it has no token where it is refused without one", async () => {
    const app = queueApi<Cloudflare.Env>({ object: (bound) => bound.WORK_QUEUE, auth });
    const fetch = (url: string, init: RequestInit) => Promise.resolve(app.request(url, init, env));
    const at = (token?: string) => httpDriver({ url: "", fetch, ...(token !== undefined && { token }) }).counts("mail");
    expect((await rejected(at())).message).toContain("The driver was made without a token.");
    expect((await rejected(at("wrong"))).message).toBe("This request carries no valid credentials.");
  });
});
