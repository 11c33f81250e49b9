import { QuaysideError } from "@quayside/core";
import type { NewJob } from "@quayside/core/engine";
import type { HttpDriver } from "@quayside/core/http";
import { createManualClock } from "@quayside/testing";
import { describe, expect, it, vi } from "vitest";
import { type Answer, open, pausing } from "./fake-api.ts";

const job = (queue = "mail", more: Partial<NewJob> = {}): NewJob => ({ queue, name: "note", payload: "1", ...more });
const page = (status = 200) =>
  new Response("<html>Sign in to the hotel's network</html>", { status, headers: { "content-type": "text/html" } });
const problem = (status: number, body: object, headers: Readonly<Record<string, string>> = {}) =>
  new Response(JSON.stringify(body), { status, headers: { "content-type": "application/problem+json", ...headers } });
const receipts: Answer = ({ body }) =>
  Response.json((body as unknown[]).map((_, index) => ({ id: `${index}`, deduplicated: false })));

/** The parts of an error that a caller looks at. */
const failure = (call: Promise<unknown>): Promise<QuaysideError> =>
  call.then(
    (answer) => {
      throw new Error(`It was answered: ${JSON.stringify(answer)}`);
    },
    (error: QuaysideError) => error,
  );

/** Every verb that asks the server. */
const VERBS: Readonly<Record<string, (driver: HttpDriver) => Promise<unknown>>> = {
  enqueue: (driver) => driver.enqueue([job(), job()], { sender: "s", number: 1, digest: "d" }),
  exchange: (driver) =>
    driver.exchange({
      worker: "w",
      liveness: "time",
      leaseMs: 30_000,
      exchange: 1,
      settle: [],
      running: [],
      claim: { limit: 1, queues: [{ queue: "mail" }] },
    }),
  get: (driver) => driver.get("mail", "a"),
  list: (driver) => driver.list({ queue: "mail" }),
  counts: (driver) => driver.counts("mail"),
  schedules: (driver) => driver.schedules("mail"),
  nextWake: (driver) => driver.nextWake(["mail"]),
  pause: (driver) => driver.command({ type: "pause", queue: "mail" }),
  remove: (driver) => driver.command({ type: "remove", queue: "mail", id: "a" }),
  clear: (driver) => driver.command({ type: "clear", queue: "mail" }),
};

describe("HttpDriver: an answer that is not the API's", () => {
  const answers: Readonly<Record<string, Answer>> = {
    "a page with 200": () => page(),
    "a page that says it is JSON": () => new Response("<html>", { headers: { "content-type": "application/json" } }),
    "an empty 200": () => new Response(""),
    "204 without a body": () => new Response(null, { status: 204 }),
    null: () => Response.json(null),
    true: () => Response.json(true),
    "a text": () => Response.json("ok"),
    "JSON that was cut off": () =>
      new Response('{"jobs":[{"id":"a"', { headers: { "content-type": "application/json" } }),
  };
  for (const [answer, reply] of Object.entries(answers)) {
    it(`${answer} fails every verb with network, and says who answered what`, async () => {
      for (const call of Object.values(VERBS)) {
        const { driver } = open(reply);
        const error = await failure(call(driver));
        expect(error).toMatchObject({ code: "network", details: { bare: true } });
        expect(error.message).toContain("https://api.test/queues/mail/");
      }
      const { message } = await failure(open(() => page()).driver.counts("mail"));
      expect(message).toContain("200 (text/html)");
    });
  }

  it.each([
    ["enqueue", { welcome: "to the portal" }],
    ["enqueue", []],
    ["enqueue", [{ id: "a", deduplicated: false }]],
    ["enqueue", [{ id: "a", deduplicated: false }, null]],
    [
      "enqueue",
      [
        { id: 1, deduplicated: false },
        { id: 2, deduplicated: false },
      ],
    ],
    ["enqueue", Array(3).fill({ id: "a", deduplicated: false })],
    ["exchange", {}],
    ["exchange", { jobs: [], lost: [] }],
    ["exchange", { jobs: [{}], lost: [], cancel: [], interrupted: [], unknown: [] }],
    ["exchange", { jobs: { length: 0 }, lost: [], cancel: [], interrupted: [], unknown: [] }],
    ["get", { status: "login required" }],
    ["get", [{ id: "a" }]],
    ["list", { jobs: "none" }],
    ["list", { jobs: [null] }],
    ["counts", {}],
    ["counts", { waiting: "3" }],
    ["schedules", {}],
    ["nextWake", { nextWakeMs: "soon" }],
    ["pause", []],
  ] as const)("JSON of another shape fails %s: %j", async (verb, body) => {
    const { driver } = open(() => Response.json(body));
    expect(await failure((VERBS[verb] as (driver: HttpDriver) => Promise<unknown>)(driver))).toMatchObject({
      code: "network",
    });
  });

  it("of more than 64 MiB is not read to its end", async () => {
    let sent = 0;
    let cancelled = false;
    const piece = new Uint8Array(1024 * 1024).fill(32);
    const body = () =>
      new ReadableStream<Uint8Array>({
        pull(controller) {
          sent++;
          controller.enqueue(piece);
        },
        cancel() {
          cancelled = true;
        },
      });
    const { driver } = open(() => new Response(body(), { headers: { "content-type": "application/json" } }));
    expect(await failure(driver.counts("mail"))).toMatchObject({ code: "network" });
    expect(cancelled).toBe(true);
    expect(sent).toBeLessThan(80);
  });

  it("names where a redirect has led", async () => {
    const { driver } = open(() => {
      const answer = page();
      Object.defineProperties(answer, {
        redirected: { value: true },
        url: { value: "https://login.example/?next=api" },
      });
      return answer;
    });
    const { message } = await failure(driver.counts("mail"));
    expect(message).toContain("https://login.example/?next=api");
  });
});

describe("HttpDriver: whose word an error is", () => {
  const own = { status: 422, code: "invalid_payload", detail: "No." };
  it.each<[string, Answer, Partial<QuaysideError>]>([
    ["problem details", () => problem(422, own), { code: "invalid_payload" }],
    [
      "problem details with a charset",
      () => problem(422, own, { "content-type": "Application/Problem+JSON; charset=utf-8" }),
      { code: "invalid_payload" },
    ],
  ])("%s are the API's own", async (_, answer, expected) => {
    const error = await failure(open(answer).driver.counts("mail"));
    expect(error).toMatchObject(expected);
    expect(error.details).not.toHaveProperty("bare");
  });

  it.each<[string, Answer, Partial<QuaysideError>]>([
    ["JSON of another type", () => Response.json(own, { status: 422 }), { code: "invalid_payload" }],
    ["another's problem details", () => problem(403, { type: "about:blank", status: 403 }), { code: "forbidden" }],
    ["a code that is a number", () => problem(403, { code: 1020 }), { code: "forbidden" }],
    ["a list", () => problem(400, [own]), { code: "bad_request" }],
    ["null", () => problem(400, null as never), { code: "bad_request" }],
    ["a page of that type", () => problem(403, "<html>" as never), { code: "forbidden" }],
    ["a firewall's page", () => page(403), { code: "forbidden" }],
    ["a limit on the way", () => page(413), { code: "too_large" }],
    ["not modified", () => new Response(null, { status: 304 }), { code: "network" }],
    ["a redirect that leads nowhere", () => new Response(null, { status: 307 }), { code: "network" }],
  ])("%s is not", async (_, answer, expected) => {
    const error = await failure(open(answer).driver.counts("mail"));
    expect(error).toMatchObject({ ...expected, details: { bare: true } });
  });

  it("`closed`, said by the server, is a failure that passes: this driver is open", async () => {
    const { driver } = open(() => problem(503, { status: 503, code: "closed", detail: "Closed." }));
    expect(await failure(driver.counts("mail"))).toMatchObject({ code: "network", details: { status: 503 } });
    await driver.close();
    expect(await failure(driver.counts("mail"))).toMatchObject({ code: "closed" });
  });

  it("details cannot claim what is not theirs to say", async () => {
    const details = { bare: true, status: 200, retryAfterMs: "soon", errors: "many" };
    const error = await failure(open(() => problem(422, { ...own, details })).driver.counts("mail"));
    expect(error.details).toEqual({ status: 422, errors: "many" });
  });
});

describe("HttpDriver: Retry-After", () => {
  const clock = createManualClock(Date.UTC(2026, 0, 1));
  const asked = async (value: string, headers: Readonly<Record<string, string>> = {}) => {
    const answer = () => new Response("", { status: 503, headers: { "retry-after": value, ...headers } });
    return (await failure(open(answer, { clock }).driver.counts("mail"))).details["retryAfterMs"];
  };

  it.each([
    ["120", 120_000],
    ["0", 0],
    ["-5", undefined],
    ["1.5", undefined],
    ["1e3", undefined],
    ["2027", 2_027_000],
    ["", undefined],
    ["soon", undefined],
    ["5, 10", undefined],
    ["2026-01-02", undefined],
    ["Thu, 01 Jan 2026 00:01:00 GMT", 60_000],
    ["Wed, 31 Dec 2025 00:00:00 GMT", 0],
    ["Thu, 99 Jan 2026 00:01:00 GMT", undefined],
  ])("is whole seconds, or a date: %j", async (value, expected) => {
    expect(await asked(value)).toBe(expected);
  });

  it("that is a date is of the server's clock, whatever this one says", async () => {
    const date = "Sun, 04 Jan 2026 12:00:00 GMT";
    expect(await asked("Sun, 04 Jan 2026 12:01:00 GMT", { date })).toBe(60_000);
    expect(await asked("Thu, 01 Jan 2026 12:00:00 GMT", { date: "yesterday" })).toBe(43_200_000);
  });

  it.each(["86401", "Sun, 04 Jan 2026 12:01:00 GMT", "9".repeat(15)])("is a day at most: %s", async (value) => {
    expect(await asked(value)).toBe(86_400_000);
  });

  it.each([-1, Number.NaN, "1000", null, [5]])("in the details counts only as a number: %j", async (retryAfterMs) => {
    const body = { status: 429, code: "rate_limited", details: { retryAfterMs } };
    const error = await failure(open(() => problem(429, body, { "retry-after": "3" })).driver.counts("mail"));
    expect(error.details["retryAfterMs"]).toBe(3_000);
  });

  it.each([["0"], ["-3"], ["Wed, 31 Dec 2025 00:00:00 GMT"]])(
    "of a request in progress never makes the questions follow at once: %j",
    async (value) => {
      const { clock: moved, pass } = pausing(Date.UTC(2026, 0, 1));
      const busy = () => problem(409, { status: 409, code: "in_progress" }, { "retry-after": value });
      const refused = failure(open(busy, { clock: moved }).driver.enqueue([job()]));
      for (let question = 1; question <= 5; question++) await pass(1_000);
      expect(await refused).toMatchObject({ code: "in_progress" });
    },
  );

  it("of a request in progress that would keep the caller for more than a minute is the caller's to decide", async () => {
    const busy = () => problem(409, { status: 409, code: "in_progress" }, { "retry-after": "999999999" });
    expect(await failure(open(busy).driver.enqueue([job()]))).toMatchObject({ code: "in_progress" });
  });
});

describe("HttpDriver: the timeout", () => {
  const never = () => new Promise<never>(() => {});
  const TIMEOUT = { timeout: "5s" } as const;

  it.each<[string, Answer, (() => Promise<string>) | undefined]>([
    ["a token function that never answers", receipts, never],
    ["a fetch that never answers and does not listen to its signal", never, undefined],
    [
      "an answer that comes drop by drop",
      () => new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([32])) })),
      undefined,
    ],
    [
      "an error that comes drop by drop",
      () =>
        new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array([32])) }), {
          status: 503,
        }),
      undefined,
    ],
  ])("covers %s", async (_, answer, token) => {
    const clock = createManualClock();
    const { driver } = open(answer, { clock, ...TIMEOUT, ...(token && { token }) });
    const refused = failure(driver.counts("mail"));
    await clock.advance(5_000);
    expect(await refused).toMatchObject({ code: "network" });
    expect(clock.pending).toBe(0);
  });

  it("lets nothing be sent after it, when the token comes too late", async () => {
    const clock = createManualClock();
    const late = Promise.withResolvers<string>();
    const { driver, sent } = open(receipts, { clock, ...TIMEOUT, token: () => late.promise });
    const refused = failure(driver.enqueue([job()], { sender: "s", number: 1, digest: "d" }));
    await clock.advance(5_000);
    expect(await refused).toMatchObject({ code: "network" });
    late.resolve("token");
    await clock.nextTask();
    expect(sent).toEqual([]);
  });

  it("covers the second token, asked for after a 401", async () => {
    const clock = createManualClock();
    const token = (refused?: string) => (refused ? never() : "first");
    const { driver } = open(() => page(401), { clock, ...TIMEOUT, token });
    const refused = failure(driver.counts("mail"));
    await vi.waitFor(() => expect(clock.pending).toBe(1));
    await clock.nextTask();
    await clock.advance(5_000);
    expect(await refused).toMatchObject({ code: "network" });
  });

  it("covers the opening of a stream of events, which is then opened again", async () => {
    const clock = createManualClock();
    let asked = 0;
    const token = () => {
      asked++;
      return never();
    };
    const { driver } = open(receipts, { clock, ...TIMEOUT, token, queues: ["mail"] });
    driver.watch(() => {});
    await clock.advance(5_000);
    await clock.advance(1_000);
    await vi.waitFor(() => expect(asked).toBe(2));
    await driver.close();
  });
});

describe("HttpDriver: the token", () => {
  it.each([undefined, null, "", "  \n", 7, "two\nlines", "two\r\nlines: x", "tök\u20acn", "\u0000"])(
    "that no header can carry is not sent: %j",
    async (token) => {
      const { driver, sent } = open(receipts, { token: () => token as never });
      expect(await failure(driver.enqueue([job()]))).toMatchObject({ code: "unauthorized", details: { bare: true } });
      expect(sent).toEqual([]);
    },
  );

  it("may end in white space, as one that was read from a file does", async () => {
    const { driver, sent } = open(receipts, { token: "secret\n" });
    await driver.enqueue([job()]);
    expect(sent[0]?.authorization).toBe("Bearer secret");
  });

  it.each<[string, unknown]>([
    ["an error", new Error("The session service is down.")],
    ["what another API of ours refused", new QuaysideError("invalid_payload", "Not yours.")],
    ["a text", "no"],
    ["nothing", undefined],
    ["an error that cannot be read", Proxy.revocable({}, {})],
  ])("function that throws %s is a failure that passes: it says nothing of the jobs", async (_, thrown) => {
    const revoked = thrown as { proxy?: object; revoke?: () => void } | undefined;
    revoked?.revoke?.();
    const { driver, sent } = open(receipts, {
      token: () => {
        throw revoked?.proxy ?? thrown;
      },
    });
    const error = await failure(driver.enqueue([job()]));
    expect(error).toMatchObject({ code: "network", details: { reason: "token" } });
    expect(sent).toEqual([]);
  });

  it("function may say itself that nobody is signed in", async () => {
    const thrown = new QuaysideError("unauthorized", "Signed out.");
    const { driver } = open(receipts, { token: () => Promise.reject(thrown) });
    expect(await failure(driver.counts("mail"))).toBe(thrown);
  });
});

describe("HttpDriver: events", () => {
  it("a page in place of a stream is not taken for one: nothing is told, and it is tried again ever later", async () => {
    const { clock, pass } = pausing();
    const told: unknown[] = [];
    const { driver, sent } = open(() => page(), { clock, queues: ["mail"] });
    driver.watch((change) => told.push(change));
    for (const ms of [1_000, 2_000, 4_000]) await pass(ms);
    await vi.waitFor(() => expect(sent).toHaveLength(4));
    expect(told).toEqual([]);
    await driver.close();
  });

  it("a server that asks for time is given it", async () => {
    const { clock, pass } = pausing();
    const busy = () => new Response("", { status: 503, headers: { "retry-after": "120" } });
    const { driver, sent } = open(busy, { clock, queues: ["mail"] });
    driver.watch(() => {});
    await pass(120_000);
    await vi.waitFor(() => expect(sent).toHaveLength(2));
    await driver.close();
  });
});

describe("HttpDriver: errors about one of many jobs", () => {
  it("name it by its place in the call, whichever request it went with", async () => {
    const errors = [{ path: "[1].payload.to", message: "Invalid email" }];
    let requests = 0;
    const { driver } = open((request, init) =>
      ++requests === 1 ? receipts(request, init) : problem(422, { status: 422, code: "invalid_payload", errors }),
    );
    const jobs = Array.from({ length: 1_200 }, () => job());
    const error = await failure(driver.enqueue(jobs));
    // The first request's jobs are stored: the error is not the refusal alone.
    expect(error).toMatchObject({
      code: "internal",
      details: { cause: "invalid_payload", issues: [{ path: "[1001].payload.to", message: "Invalid email" }] },
    });
    expect((error as QuaysideError).details["stored"]).toHaveLength(1_000);
  });
});
