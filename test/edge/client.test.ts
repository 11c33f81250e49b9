import type { Change, ExchangeRequest, NewJob } from "@quayside/core";
import { createManualClock } from "@quayside/core/testing";
import { type HttpDriverOptions, httpDriver } from "@quayside/edge/client";
import { describe, expect, it, vi } from "vitest";

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: unknown;
}

type Answer = (sent: Sent, init: RequestInit) => Response | Promise<Response>;

/** A driver whose server is a function. */
function open(answer: Answer, options: Partial<HttpDriverOptions> = {}) {
  const sent: Sent[] = [];
  const fetch = async (url: string, init: RequestInit) => {
    const headers = init.headers as Record<string, string>;
    const request = {
      method: init.method as string,
      path: url.slice("https://api.test/queues".length),
      authorization: headers["authorization"],
      body: init.body === undefined ? undefined : JSON.parse(init.body as string),
    };
    sent.push(request);
    return answer(request, init);
  };
  return { driver: httpDriver({ url: "https://api.test/queues/", fetch, ...options }), sent };
}

const problem = (status: number, code: string, more: object = {}) =>
  Response.json({ status, code, detail: `It is ${code}.`, ...more }, { status });

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
  it("are the API's own, with code and details", async () => {
    const errors = [{ path: "payload.to", message: "Invalid email" }];
    const { driver } = open(() => problem(422, "invalid_payload", { errors, details: { job: "email" } }));
    await expect(driver.enqueue([job("mail")])).rejects.toMatchObject({
      name: "QuaysideError",
      code: "invalid_payload",
      message: "It is invalid_payload.",
      details: { status: 422, job: "email", errors },
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
    const none = open(() => Response.json({}));
    await none.driver.counts("mail");
    expect(none.sent[0]?.authorization).toBeUndefined();
    let serial = 0;
    const renewed = open(() => Response.json({}), { token: async () => `token-${++serial}` });
    await renewed.driver.counts("mail");
    await renewed.driver.counts("mail");
    expect(renewed.sent.map(({ authorization }) => authorization)).toEqual(["Bearer token-1", "Bearer token-2"]);
  });

  it("that cannot be had are the application's own error", async () => {
    const { driver, sent } = open(() => Response.json({}), {
      token: () => {
        throw new Error("Signed out.");
      },
    });
    await expect(driver.counts("mail")).rejects.toThrow("Signed out.");
    expect(sent).toEqual([]);
  });
});

/** A queue's object as far as an exchange goes: it hands out what it has and notes what it is told. */
function objects(stock: Record<string, number>): Answer {
  return ({ path, body }) => {
    const queue = path.split("/")[1] as string;
    const { exchange, claim } = body as ExchangeRequest;
    const count = Math.min(claim.limit, stock[queue] ?? 0);
    stock[queue] = (stock[queue] ?? 0) - count;
    const jobs = Array.from({ length: count }, (_, index) => ({
      token: `${exchange}.${index}`,
      job: { id: `${queue}-${index}`, queue },
    }));
    return Response.json({
      exchange,
      jobs,
      lost: [],
      cancel: [],
      interrupted: [],
      unknown: [],
      nextWakeMs: queue === "a" ? 70 : 50,
    });
  };
}

describe("HttpDriver: a worker of several queues", () => {
  const round = (exchange: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
    worker: "w",
    liveness: "time",
    leaseMs: 30_000,
    exchange,
    settle: [],
    running: [],
    claim: { limit: 0, queues: [] },
    ...more,
  });
  const queues = [{ queue: "a" }, { queue: "b", limit: 2, names: ["email"] }];

  it("shares its limit out in the order of the queues, and stops asking when it is full", async () => {
    const { driver, sent } = open(objects({ a: 3, b: 9 }));
    const reply = await driver.exchange(round(1, { claim: { limit: 10, queues } }));
    expect(reply.jobs.map(({ job: { id } }) => id)).toEqual(["a-0", "a-1", "a-2", "b-0", "b-1"]);
    expect(sent.map(({ body }) => (body as ExchangeRequest).claim)).toEqual([
      { limit: 10 },
      { limit: 2, names: ["email"] },
    ]);
    expect(reply.nextWakeMs).toBe(50);
    sent.length = 0;
    const full = open(objects({ a: 9, b: 9 }));
    await full.driver.exchange(round(1, { claim: { limit: 3, queues } }));
    expect(full.sent.map(({ path }) => path)).toEqual(["/a/exchange"]);
  });

  it("settles and renews each job where it came from, though all objects count their tokens alike", async () => {
    const { driver, sent } = open(objects({ a: 1, b: 2 }));
    const { jobs } = await driver.exchange(round(1, { claim: { limit: 10, queues } }));
    const [first, second, third] = jobs.map(({ token }) => token) as [string, string, string];
    expect(new Set([first, second, third]).size).toBe(3);
    sent.length = 0;
    await driver.exchange(
      round(2, {
        settle: [{ token: first, outcome: "completed" }],
        running: [second, third],
        progress: [{ token: third, value: 0.5 }],
      }),
    );
    expect(sent.map(({ path, body }) => [path, body])).toMatchObject([
      ["/a/exchange", { settle: [{ token: "1.0", outcome: "completed" }], running: [] }],
      ["/b/exchange", { settle: [], running: ["1.0", "1.1"], progress: [{ token: "1.1", value: 0.5 }] }],
    ]);
  });

  it("sends an exchange again as it was, to the same objects", async () => {
    let failures = 1;
    const stock = objects({ a: 1, b: 1 });
    const { driver, sent } = open((request, init) => {
      if (request.path.startsWith("/b") && failures-- > 0) throw new TypeError("Failed to fetch");
      return stock(request, init);
    });
    const request = round(1, { claim: { limit: 10, queues } });
    await expect(driver.exchange(request)).rejects.toMatchObject({ code: "network" });
    await driver.exchange(request);
    expect(sent.map(({ path, body }) => [path, (body as ExchangeRequest).exchange])).toEqual([
      ["/a/exchange", 1],
      ["/b/exchange", 1],
      ["/a/exchange", 1],
      ["/b/exchange", 1],
    ]);
  });

  it("takes its leave of every object it has asked", async () => {
    const { driver, sent } = open(objects({}));
    await driver.exchange(round(1, { claim: { limit: 10, queues } }));
    sent.length = 0;
    await driver.exchange(round(2, { leave: true }));
    expect(sent.map(({ path, body }) => [path, (body as ExchangeRequest).leave])).toEqual([
      ["/a/exchange", true],
      ["/b/exchange", true],
    ]);
  });

  it("is told at once that what it holds nowhere is lost", async () => {
    const { driver } = open(objects({}));
    expect(await driver.exchange(round(1, { running: ["nothing"] }))).toMatchObject({ lost: ["nothing"], jobs: [] });
  });
});

describe("HttpDriver: watching", () => {
  /** A server whose event streams the test holds in hand. */
  function streams() {
    const opened: { path: string; send: (text: string) => void; end: () => void; cancelled: boolean }[] = [];
    const answer: Answer = ({ path }, { signal }) => {
      if (!path.endsWith("/events")) return Response.json({});
      const stream = { path, send: (_: string) => {}, end: () => {}, cancelled: false };
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          stream.send = (text) => controller.enqueue(new TextEncoder().encode(text));
          stream.end = () => controller.close();
          signal?.addEventListener("abort", () => {
            if (!stream.cancelled) controller.error(signal.reason);
            stream.cancelled = true;
          });
        },
        cancel: () => {
          stream.cancelled = true;
        },
      });
      opened.push(stream);
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    return { opened, answer };
  }

  it("opens a stream for each queue it is used for, only while somebody listens", async () => {
    const { opened, answer } = streams();
    const { driver } = open(answer, { queues: ["mail"] });
    await driver.counts("logs");
    expect(opened).toEqual([]);
    const stop = driver.watch(() => {});
    await vi.waitFor(() => expect(opened.map(({ path }) => path)).toEqual(["/mail/events", "/logs/events"]));
    await driver.counts("later");
    await vi.waitFor(() => expect(opened).toHaveLength(3));
    stop();
    await vi.waitFor(() => expect(opened.every(({ cancelled }) => cancelled)).toBe(true));
  });

  it("tells what the stream says, however it is cut into pieces, and passes over what is no change", async () => {
    const { opened, answer } = streams();
    const told: Change[] = [];
    const { driver } = open(answer, { queues: ["mail"] });
    driver.watch((change) => told.push(change));
    await vi.waitFor(() => expect(opened).toHaveLength(1));
    await vi.waitFor(() => expect(told.map(({ kind }) => kind)).toContain("ready"));
    told.length = 0;
    const [stream] = opened as [(typeof opened)[0]];
    stream.send(': hello\n\nevent: x\ndata: {"queue":"mail","ki');
    stream.send('nd":"ended"}\r\n\r\ndata: nonsense\n\ndata: {"queue":"mail","kind":"cancel"}\n\n');
    await vi.waitFor(() =>
      expect(told).toEqual([
        { queue: "mail", kind: "ended" },
        { queue: "mail", kind: "cancel" },
      ]),
    );
    await driver.close();
  });

  it("opens a stream that broke again, ever later, and then reports that something may have been missed", async () => {
    const clock = createManualClock();
    const { opened, answer } = streams();
    const told: Change[] = [];
    let down = false;
    const { driver } = open(
      (request, init) => {
        if (down) throw new TypeError("Failed to fetch");
        return answer(request, init);
      },
      { clock, queues: ["mail"] },
    );
    driver.watch((change) => told.push(change));
    await vi.waitFor(() => expect(told.length).toBeGreaterThan(0));
    told.length = 0;
    down = true;
    opened[0]?.end();
    await vi.waitFor(() => expect(clock.pending).toBe(1));
    await clock.advance(1_000);
    await vi.waitFor(() => expect(clock.pending).toBe(1));
    down = false;
    await clock.advance(1_999);
    expect(opened).toHaveLength(1);
    await clock.advance(1);
    await vi.waitFor(() => expect(opened).toHaveLength(2));
    await vi.waitFor(() => expect(told.map(({ kind }) => kind)).toEqual(["ready", "ended", "cancel", "settings"]));
    await driver.close();
    expect(clock.pending).toBe(0);
  });
});
