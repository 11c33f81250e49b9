import type { OutboxDriver, OutboxEvents } from "@quayside/browser";
import { type Driver, QuaysideError } from "@quayside/core";
import type { HttpDriverOptions } from "@quayside/core/http";
import { afterEach, describe, expect, it, vi } from "vitest";
import { couldHaveSent, delivered, emails, Site } from "./support/outbox.ts";
import { type Answer, page, problem, Server } from "./support/server.ts";

let sites: Site[] = [];
afterEach(async () => {
  vi.restoreAllMocks();
  for (const site of sites) await site.close();
  sites = [];
});

/** A tab with an outbox to a server that the test holds in hand. */
function open(http: Partial<HttpDriverOptions> = {}) {
  const site = new Site();
  sites.push(site);
  const server = new Server();
  const tab = (options: Partial<HttpDriverOptions> = {}) => {
    const { outbox, mail } = site.tab({ remote: server.driver({ ...http, ...options }) });
    return { outbox, mail, heard: listen(outbox) };
  };
  return { site, server, clock: site.clock, tab, ...tab() };
}

/** All that an outbox tells of, by the name of the event. */
function listen(outbox: OutboxDriver) {
  const heard: { [Name in keyof OutboxEvents]: OutboxEvents[Name][] } = {
    forwarded: [],
    refused: [],
    error: [],
    paused: [],
    resumed: [],
    elsewhere: [],
  };
  outbox.on("forwarded", (event) => heard.forwarded.push(event));
  outbox.on("refused", (event) => heard.refused.push(event));
  outbox.on("error", (event) => heard.error.push(event));
  outbox.on("paused", (event) => heard.paused.push(event));
  outbox.on("resumed", (event) => heard.resumed.push(event));
  outbox.on("elsewhere", (event) => heard.elsewhere.push(event));
  return heard;
}

const messageOf = (event: { readonly error: unknown } | undefined) => (event?.error as Error | undefined)?.message;
const order = (count: number) => Array.from({ length: count }, (_, index) => index);
/** A batch that failed is tried again, as if five minutes were over, until all is delivered. */
const deliveredInTime = (outbox: OutboxDriver, clock: Site["clock"]) =>
  vi.waitFor(async () => {
    await clock.advance(300_000);
    expect(await outbox.state()).toMatchObject({ pending: 0 });
  });

describe("R30: a queue that nobody is signed in for", () => {
  const refusals: readonly (readonly [string, Answer])[] = [
    ["401 in the API's words", () => problem(401, "unauthorized")],
    ["401 with a page", () => page(401)],
    ["401 that asks for a day", () => page(401, { "retry-after": "86400" })],
    ["403 with a firewall's page", () => page(403)],
    ["403 with JSON of another API", () => Response.json({ code: "forbidden", message: "Blocked" }, { status: 403 })],
    ["403 with another's problem details", () => problem(403, 1020 as never)],
    ["403 with nothing", () => new Response(null, { status: 403 })],
    ["our own wrong_subject", () => problem(403, "wrong_subject")],
  ];
  it.each(refusals)(
    "is held by %s: it says so once, nothing fails, and `forward()` lets it go on",
    async (_, answer) => {
      const { server, clock, outbox, mail, heard } = open();
      server.outage = answer;
      const ids = await mail.addJobs(emails(3));
      await vi.waitFor(() => expect(heard.paused).toMatchObject([{ queue: "mail", reason: "auth" }]));
      expect(await outbox.state()).toMatchObject({ pending: 3, failed: 0, paused: "auth" });
      for (let n = 2; n <= 4; n++) {
        await clock.advance(300_000);
        await vi.waitFor(() => expect(server.received).toHaveLength(n));
      }
      await vi.waitFor(() => expect(heard.error).toHaveLength(4));
      expect(heard.paused).toHaveLength(1);
      server.outage = undefined;
      outbox.forward();
      await delivered(outbox);
      expect(heard.resumed).toEqual([{ queue: "mail" }]);
      expect(heard.refused).toEqual([]);
      expect(await outbox.state()).toEqual({ pending: 0, failed: 0 });
      expect([...server.stored.keys()]).toEqual(ids);
    },
  );

  it("goes on by itself once the token function gives another token", async () => {
    let token = "old";
    const { server, clock, outbox, mail, heard } = open({ token: () => token });
    server.token = "new";
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.paused).toHaveLength(1));
    token = "new";
    await clock.advance(1_000);
    await delivered(outbox);
    expect(heard.resumed).toHaveLength(1);
  });

  it.each([undefined, null, "", "two\nlines"])(
    "is held while the token function answers %j: nothing is sent, and a token is enough",
    async (none) => {
      let token: string | null | undefined = none;
      const { server, outbox, mail, heard } = open({ token: () => token });
      await mail.addJob("email", 0);
      await vi.waitFor(() => expect(heard.paused).toHaveLength(1));
      expect(server.received).toEqual([]);
      token = "new";
      outbox.forward();
      await delivered(outbox);
      expect(server.received[0]?.token).toBe("new");
    },
  );

  it("is held in all tabs, and a tab that comes later knows it too", async () => {
    const { server, outbox, mail, heard, tab } = open();
    const other = tab();
    server.outage = () => page(401);
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.paused.length + other.heard.paused.length).toBe(1));
    const later = tab();
    for (const each of [outbox, other.outbox, later.outbox])
      await vi.waitFor(async () => expect(await each.state()).toMatchObject({ paused: "auth" }));
    server.outage = undefined;
    later.outbox.forward();
    await delivered(outbox);
    for (const each of [outbox, other.outbox, later.outbox])
      await vi.waitFor(async () => expect(await each.state()).toEqual({ pending: 0, failed: 0 }));
  });

  it("lets the other queues go on with it, when one of them is let through", async () => {
    const { server, clock, outbox, mail, heard } = open();
    server.outage = () => page(401);
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.paused).toHaveLength(1));
    // The first one waits for minutes by now, the second one for a second.
    for (let n = 2; n <= 9; n++) {
      await clock.advance(300_000);
      await vi.waitFor(() => expect(heard.error).toHaveLength(n));
    }
    await outbox.enqueue([{ queue: "logs", name: "email", payload: "1" }]);
    await vi.waitFor(() => expect(heard.paused).toHaveLength(2));
    server.outage = undefined;
    await clock.advance(1_000);
    await delivered(outbox);
    expect(heard.resumed.map(({ queue }) => queue)).toEqual(["logs", "mail"]);
  });

  it("is no longer held when nothing is left of it", async () => {
    const { server, outbox, mail, heard } = open();
    server.outage = () => page(401);
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.paused).toHaveLength(1));
    await outbox.purge();
    await vi.waitFor(async () => expect(await outbox.state()).toEqual({ pending: 0, failed: 0 }));
  });
});

describe("R37: the subject for whom a batch is sent", () => {
  /** The label that the requests named, one after the other. */
  const labels = (server: Server) => server.received.map(({ subject }) => subject);
  const wrong = (subject: unknown) => () => problem(403, "wrong_subject", { details: { subject } });

  it("is asked for once: each later batch names it, also in a later tab", async () => {
    const { server, outbox, mail, heard, tab } = open();
    server.answers.push(wrong("ann"));
    await mail.addJob("email", 0);
    await delivered(outbox);
    await mail.addJob("email", 1);
    await delivered(outbox);
    await outbox.close();
    const later = tab();
    await later.mail.addJob("email", 2);
    await delivered(later.outbox);
    expect(labels(server)).toEqual(["", "ann", "ann", "ann"]);
    expect(heard.paused).toEqual([]);
  });

  it("may be another for a batch that has not arrived", async () => {
    const { server, outbox, mail, heard } = open();
    server.answers.push(wrong("ann"), wrong("bob"));
    await mail.addJob("email", 0);
    await delivered(outbox);
    expect(labels(server)).toEqual(["", "ann", "bob"]);
    expect(heard.paused).toEqual([]);
  });

  it("stays that of a batch whose answer was lost, in this tab and in the next", async () => {
    const { server, outbox, mail, heard, tab } = open();
    const lose: Answer = (request) => {
      server.store(request);
      throw new TypeError("Failed to fetch");
    };
    server.answers.push(wrong("ann"), lose);
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.error).toHaveLength(1));
    server.outage = wrong("bob");
    outbox.forward();
    await vi.waitFor(() => expect(heard.paused).toMatchObject([{ queue: "mail", error: { code: "wrong_subject" } }]));
    await outbox.close();
    const later = tab();
    await vi.waitFor(() => expect(later.heard.paused).toHaveLength(1));
    expect(await later.outbox.state()).toMatchObject({ pending: 1, failed: 0, paused: "auth" });
    server.outage = undefined;
    later.outbox.forward();
    await delivered(later.outbox);
    expect(labels(server)).toEqual(["", "ann", "ann", "ann", "ann"]);
    expect(later.heard.refused).toEqual([]);
  });

  it("is given up for a while where a server names another each time", async () => {
    const { server, clock, outbox, mail, heard } = open();
    let n = 0;
    server.outage = () => wrong(`subject-${n++}`)();
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.paused).toHaveLength(1));
    const sent = server.received.length;
    expect(sent).toBeLessThan(10);
    await couldHaveSent(outbox);
    expect(server.received).toHaveLength(sent);
    server.outage = undefined;
    await clock.advance(1_000);
    await delivered(outbox);
  });

  it.each([1, null, {}, "", "two\nlines", "ü", "x".repeat(65), undefined])(
    "is not %j, whatever a server says: the queue is held, and the label stays",
    async (label) => {
      const { server, outbox, mail, heard } = open();
      server.answers.push(wrong(label));
      await mail.addJob("email", 0);
      await vi.waitFor(() => expect(heard.paused).toHaveLength(1));
      outbox.forward();
      await delivered(outbox);
      expect(labels(server)).toEqual(["", ""]);
    },
  );
});

describe("R30: what is final", () => {
  it.each<[string, Answer]>([
    ["400 bad_request", () => problem(400, "bad_request")],
    ["400 invalid_option", () => problem(400, "invalid_option")],
    ["403 forbidden", () => problem(403, "forbidden")],
    ["413 payload_too_large", () => problem(413, "payload_too_large")],
    ["413 too_large", () => problem(413, "too_large")],
    ["413 from a proxy", () => page(413)],
    ["422 invalid_payload", () => problem(422, "invalid_payload")],
    ["422 unknown_job", () => problem(422, "unknown_job")],
  ])("%s fails the one job of a batch", async (_, answer) => {
    const { server, outbox, mail, heard } = open();
    server.answers.push(answer);
    const id = await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.refused).toMatchObject([{ id }]));
    expect(await outbox.state()).toMatchObject({ pending: 0, failed: 1 });
    expect(server.received).toHaveLength(1);
  });

  it.each([
    [400, "invalid_option"],
    [403, "forbidden"],
    [413, "payload_too_large"],
    [422, "invalid_payload"],
  ] as const)("%i %s fails the jobs that it names, and no other", async (status, code) => {
    const { server, outbox, mail, heard } = open();
    const errors = [1, 3].map((index) => ({ path: `[${index}].payload`, message: "No." }));
    server.answers.push(() => problem(status, code, { errors }));
    const ids = await mail.addJobs(emails(5));
    await delivered(outbox);
    expect(heard.refused.map(({ id }) => id)).toEqual([ids[1], ids[3]]);
    expect([...server.stored.keys()]).toEqual([ids[0], ids[2], ids[4]]);
  });

  it("a forbidden batch that names no job fails as a whole, at once", async () => {
    const { server, outbox, mail, heard } = open();
    server.outage = () => problem(403, "forbidden");
    await mail.addJobs(emails(5));
    await delivered(outbox);
    expect(heard.refused).toHaveLength(5);
    expect(server.received).toHaveLength(1);
  });

  it("a limit on the way divides the batch, and only a job that alone is too large fails", async () => {
    const { server, outbox, mail, heard } = open();
    server.outage = (request) => (request.bytes > 10_000 ? page(413) : server.store(request));
    const ids = await mail.addJobs(
      order(40).map((n) => ({ name: "email", payload: "x".repeat(n === 17 ? 20_000 : 900) })),
    );
    await delivered(outbox);
    expect(heard.refused.map(({ id }) => id)).toEqual([ids[17]]);
    expect([...server.stored.keys()]).toEqual(ids.filter((_, index) => index !== 17));
    expect(server.received.length).toBeLessThan(20);
  });

  it("what a server says about a job is kept up to 8 KiB", async () => {
    const { server, mail, heard } = open();
    const errors = order(500).map((index) => ({ path: `[0].payload.list[${index}]`, message: "No.".repeat(100) }));
    server.answers.push(() => problem(422, "invalid_payload", { errors, detail: "long ".repeat(10_000) }));
    const id = await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.refused).toHaveLength(1));
    const error = (await mail.get(id))?.error;
    expect(error).toMatchObject({ code: "invalid_payload", details: { status: 422 } });
    expect(JSON.stringify(error).length).toBeLessThan(17_000);
  });
});

describe("R30: what passes", () => {
  const statuses = [300, 302, 400, 402, 404, 405, 406, 408, 409, 410, 418, 421, 422, 425, 429, 431, 451];
  const failures = [500, 501, 502, 503, 504, 507, 508, 511, 520, 521, 522, 530];
  const others: readonly (readonly [string, Answer])[] = [
    ...[...statuses, ...failures].map((status) => [`${status} with a page`, () => page(status)] as const),
    ["422 in our words, but as plain JSON", () => Response.json({ code: "invalid_payload" }, { status: 422 })],
    ["422 with problem details of another API", () => problem(422, undefined as never)],
    ["a code that we do not know", () => problem(400, "quantum_decoherence")],
    ["500 internal", () => problem(500, "internal")],
    ["503 closed", () => problem(503, "closed")],
    ["503 storage_unavailable", () => problem(503, "storage_unavailable")],
    ["507 storage_full", () => problem(507, "storage_full")],
    ["404 route_not_found", () => problem(404, "route_not_found")],
    ["409 in_progress", () => problem(409, "in_progress")],
    ["200 with a page", () => page(200)],
    ["200 with nothing", () => new Response("")],
    ["204", () => new Response(null, { status: 204 })],
    ["200 with JSON of another shape", () => Response.json({ welcome: "to the portal" })],
    ["200 with null", () => Response.json(null)],
    ["200 with JSON that was cut off", () => new Response('[{"id":')],
    ["receipts for none", () => Response.json([])],
    ["receipts for fewer", ({ ids }) => Response.json(ids.slice(1).map((id) => ({ id, deduplicated: false })))],
    ["receipts for more", ({ ids }) => Response.json([...ids, "z"].map((id) => ({ id, deduplicated: false })))],
    ["receipts of other jobs", ({ ids }) => Response.json(ids.map((id) => ({ id: `${id}x`, deduplicated: false })))],
    [
      "receipts in another order",
      ({ ids }) => Response.json([...ids].reverse().map((id) => ({ id, deduplicated: false }))),
    ],
    ["receipts without ids", ({ ids }) => Response.json(ids.map(() => ({ deduplicated: true })))],
    ["a connection that breaks", () => Promise.reject(new TypeError("Failed to fetch"))],
    ["a fetch that throws nothing", () => Promise.reject(undefined)],
    [
      "an answer that breaks off",
      () => new Response(new ReadableStream({ start: (controller) => controller.error(new Error("reset")) })),
    ],
  ];
  it.each(others)("%s: it is said, nothing fails, and all is delivered, once and in order", async (_, answer) => {
    const { server, clock, outbox, mail, heard } = open();
    server.answers.push(answer, answer);
    const ids = await mail.addJobs(emails(3));
    await vi.waitFor(() => expect(heard.error).toHaveLength(1));
    expect(heard.error[0]).toMatchObject({ queue: "mail", retryInMs: 500 });
    expect(`${messageOf(heard.error[0])}`.length).toBeGreaterThan(5);
    expect(await outbox.state()).toMatchObject({ pending: 3, failed: 0, lastError: {} });
    await deliveredInTime(outbox, clock);
    expect(heard.error).toHaveLength(2);
    expect(heard.refused).toEqual([]);
    expect(heard.forwarded.flatMap((event) => event.ids)).toEqual(ids);
    expect([...server.stored.keys()]).toEqual(ids);
  });

  const otherVersions: readonly (readonly [string, Answer])[] = [
    ["refuses it", () => problem(400, "unsupported_version", { details: { supported: 1, retryAfterMs: 60_000 } })],
    [
      "answers in a later one",
      ({ ids }) =>
        Response.json(
          ids.map((id) => ({ id, deduplicated: false })),
          { headers: { "quayside-protocol": "2" } },
        ),
    ],
  ];
  it.each(otherVersions)(
    "R39: a server of another protocol %s: the jobs wait, and it is asked once per minute",
    async (_, answer) => {
      const { server, clock, outbox, mail, heard } = open();
      server.outage = answer;
      const ids = await mail.addJobs(emails(3));
      for (let asked = 1; asked <= 3; asked++) {
        await vi.waitFor(() => expect(heard.error).toHaveLength(asked));
        expect(heard.error.at(-1)).toMatchObject({ retryInMs: 60_000, error: { code: "unsupported_version" } });
        await clock.advance(59_000);
        await couldHaveSent(outbox);
        expect(server.received).toHaveLength(asked);
        await clock.advance(1_000);
      }
      expect(await outbox.state()).toMatchObject({ pending: 3, failed: 0, lastError: { code: "unsupported_version" } });
      server.outage = undefined;
      await deliveredInTime(outbox, clock);
      expect(heard.refused).toEqual([]);
      expect([...server.stored.keys()]).toEqual(ids);
    },
  );

  it("an outage of 45 minutes, whatever is said in it, fails nothing for good", async () => {
    const { server, clock, outbox, mail, heard } = open({ token: () => "token" });
    let n = 0;
    server.outage = (request) => (others[n++ % others.length] as readonly [string, Answer])[1](request);
    const ids: string[] = [];
    for (let minute = 0; minute < 45; minute++) {
      ids.push(await mail.addJob("email", minute));
      const before = server.received.length;
      await clock.advance(60_000);
      // The line is woken by the new job, if not by its own pause.
      await vi.waitFor(() => expect(server.received.length).toBeGreaterThan(before));
    }
    server.outage = undefined;
    await deliveredInTime(outbox, clock);
    expect(heard.refused).toEqual([]);
    expect([...server.stored.keys()].sort()).toEqual([...ids].sort());
    expect(heard.forwarded.flatMap((event) => event.ids)).toEqual(ids);
    expect(await outbox.state()).toMatchObject({ failed: 0 });
  }, 60_000);
});

describe("a server that asks to come again too soon", () => {
  const asks = ["0", "-1", "-86400", "0.5", "Thu, 01 Jan 1970 00:00:00 GMT", "Wed, 31 Dec 2025 23:59:59 GMT", "now"];
  it.each(asks)("Retry-After: %s is never less than the outbox's own pause", async (value) => {
    const { server, site, clock } = open();
    const { outbox, mail } = site.tab({ partition: "p", remote: server.driver({ clock }) });
    const heard = listen(outbox);
    server.outage = () => page(503, { "retry-after": value });
    await mail.addJob("email", 0);
    for (let n = 1; n <= 6; n++) {
      await vi.waitFor(() => expect(heard.error).toHaveLength(n));
      await clock.advance(heard.error.at(-1)?.retryInMs as number);
    }
    expect(heard.error.slice(0, 6).map(({ retryInMs }) => retryInMs)).toEqual([
      500, 1_000, 2_000, 4_000, 8_000, 16_000,
    ]);
  });

  it("is not asked at the rate of the adds either", async () => {
    const { server, clock, outbox, mail, heard } = open();
    server.outage = () => page(503, { "retry-after": "0" });
    await mail.addJob("email", 0);
    for (let n = 1; n <= 6; n++) {
      await vi.waitFor(() => expect(heard.error).toHaveLength(n));
      await clock.advance(heard.error.at(-1)?.retryInMs as number);
    }
    await vi.waitFor(() => expect(heard.error).toHaveLength(7));
    const before = server.received.length;
    for (let n = 0; n < 100; n++) {
      await mail.addJob("email", n);
      await clock.advance(90);
    }
    await couldHaveSent(outbox);
    expect(server.received).toHaveLength(before);
    // Ten seconds after the last failure a new job is reason enough.
    await clock.advance(1_000);
    await vi.waitFor(() => expect(server.received).toHaveLength(before + 1));
  });

  it("is not asked at the rate of signs of the network", async () => {
    const { server, clock, outbox, mail, heard } = open();
    server.outage = () => page(503, { "retry-after": "0" });
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.error).toHaveLength(1));
    await clock.advance(500);
    await vi.waitFor(() => expect(heard.error).toHaveLength(2));
    for (let n = 0; n < 50; n++) window.dispatchEvent(new Event(n % 2 ? "online" : "focus"));
    await clock.advance(999);
    await couldHaveSent(outbox);
    expect(server.received).toHaveLength(2);
    await clock.advance(1);
    await vi.waitFor(() => expect(server.received).toHaveLength(3));
  });

  it("a date is read by the server's clock: one of this device that is three days slow holds nothing back", async () => {
    const { server, site, clock } = open();
    const { outbox, mail } = site.tab({ partition: "p", remote: server.driver({ clock }) });
    const heard = listen(outbox);
    const [date, later] = ["Sun, 04 Jan 2026 00:00:00 GMT", "Sun, 04 Jan 2026 00:01:00 GMT"];
    server.answers.push(() => page(503, { "retry-after": later, date }));
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.error).toMatchObject([{ retryInMs: 60_000 }]));
  });
});

describe("a token function", () => {
  it("that never answers is given up by the timeout, and asked again", async () => {
    const { server, site, clock } = open();
    let asked = 0;
    const token = () => (++asked === 1 ? new Promise<string>(() => {}) : "token");
    const { outbox, mail } = site.tab({ partition: "p", remote: server.driver({ clock, token, timeout: "5s" }) });
    const heard = listen(outbox);
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(asked).toBe(1));
    await clock.advance(5_000);
    await vi.waitFor(() => expect(heard.error).toHaveLength(1));
    await deliveredInTime(outbox, clock);
    expect(server.stored.size).toBe(1);
  });

  it.each<[string, unknown]>([
    ["an error", new Error("The session service is down.")],
    ["what looks like the API's refusal of a job", new QuaysideError("invalid_payload", "Not yours.", { status: 422 })],
    ["what looks like the end of this driver", new QuaysideError("closed", "Closed.")],
    ["nothing", undefined],
  ])("that throws %s fails nothing: it is asked again", async (_, thrown) => {
    let failing = true;
    const { clock, outbox, mail, heard } = open({
      token: () => {
        if (failing) throw thrown;
        return "token";
      },
    });
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.error).toHaveLength(1));
    expect(messageOf(heard.error[0])).toContain("token function");
    expect(await outbox.state()).toMatchObject({ pending: 1, failed: 0 });
    failing = false;
    await deliveredInTime(outbox, clock);
    expect(heard.refused).toEqual([]);
  });
});

describe("a remote of another kind", () => {
  const remote = (enqueue: Driver["enqueue"]): Driver =>
    new Proxy(new Server().driver(), {
      get: (driver, name) => {
        if (name === "enqueue") return enqueue;
        const value = driver[name as keyof typeof driver] as unknown;
        return typeof value === "function" ? value.bind(driver) : value;
      },
    });
  const ok: Driver["enqueue"] = async (jobs) => jobs.map(({ id = "" }) => ({ id, deduplicated: false }));

  it.each<[string, () => Promise<never>]>([
    ["`closed`", () => Promise.reject(new QuaysideError("closed", "The object was closed."))],
    [
      "an error that cannot be read",
      () =>
        Promise.reject(
          Object.defineProperty({}, "code", {
            get: () => {
              throw new Error("no");
            },
          }),
        ),
    ],
    ["nothing", () => Promise.reject(undefined)],
    [
      "a Retry-After that is no number",
      () => Promise.reject(new QuaysideError("rate_limited", "Later.", { retryAfterMs: Number.NaN })),
    ],
    [
      "a Retry-After below zero",
      () => Promise.reject(new QuaysideError("rate_limited", "Later.", { retryAfterMs: -1e9 })),
    ],
  ])("that rejects with %s is asked again, and says so", async (_, fail) => {
    const { site, clock } = open();
    let sends = 0;
    const { outbox, mail } = site.tab({
      partition: "p",
      remote: remote((...args) => (++sends === 1 ? fail() : ok(...args))),
    });
    const heard = listen(outbox);
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(heard.error).toMatchObject([{ queue: "mail", retryInMs: 500 }]));
    await clock.advance(500);
    await delivered(outbox);
    expect(sends).toBe(2);
  });

  it("that never answers is asked again after ten minutes", async () => {
    const { site, clock } = open();
    let sends = 0;
    const { outbox, mail } = site.tab({
      partition: "p",
      remote: remote((...args) => (++sends === 1 ? new Promise(() => {}) : ok(...args))),
    });
    const heard = listen(outbox);
    await mail.addJob("email", 0);
    await vi.waitFor(() => expect(sends).toBe(1));
    await clock.advance(600_000);
    await vi.waitFor(() => expect(heard.error).toHaveLength(1));
    await deliveredInTime(outbox, clock);
    expect(sends).toBe(2);
  });
});

describe("listeners of an outbox", () => {
  it("that throw or reject are shown, and keep nobody from being served", async () => {
    const shown = vi.spyOn(console, "error").mockImplementation(() => {});
    const { outbox, mail } = open();
    outbox.on("forwarded", () => {
      throw new Error("thrown");
    });
    outbox.on("forwarded", async () => {
      throw new Error("rejected");
    });
    await mail.addJob("email", 0);
    await delivered(outbox);
    await vi.waitFor(() =>
      expect(shown.mock.calls.map(([, error]) => error.message).sort()).toEqual(["rejected", "thrown"]),
    );
  });

  it("that are missing do not make it silent: what holds jobs back is shown once for each cause", async () => {
    const shown = vi.spyOn(console, "warn").mockImplementation(() => {});
    const { site, server, clock } = open();
    server.outage = () => page(401);
    const { mail } = site.tab({ partition: "p", remote: server.driver() });
    await mail.addJob("email", 0);
    for (let n = 1; n <= 3; n++) {
      await vi.waitFor(() => expect(server.received).toHaveLength(n));
      await clock.advance(300_000);
    }
    await vi.waitFor(() => expect(server.received.length).toBeGreaterThan(3));
    expect(shown.mock.calls.map(([text]) => text)).toEqual([
      'An outbox emitted "error", which has no listener:',
      'An outbox emitted "paused", which has no listener:',
    ]);
  });
});
