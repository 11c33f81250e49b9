import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { QuaysideError } from "@quayside/core";
import { bearerTokens, type Grant, type QueueNamespace, queueApi } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";

afterEach(reset);

/** Rows of attacks on the HTTP API by callers of little right, an input each, with what came of it. */

/** All queues in one object. */
const shared = ({ BARE_QUEUE }: Cloudflare.Env): QueueNamespace => ({
  idFromName: () => BARE_QUEUE.idFromName("shared"),
  get: (id) => BARE_QUEUE.get(id),
});
const note = { name: "note", payload: null };
const app = queueApi({
  object: shared,
  auth: bearerTokens({
    root: { subject: "root", scopes: ["enqueue", "work", "admin"] },
    add: { subject: "add", scopes: ["enqueue"], queues: ["mail"] },
    work: { subject: "work", scopes: ["work"], queues: ["mail"] },
    other: { subject: "other", scopes: ["enqueue", "work", "admin"], queues: ["other"] },
  }),
});

interface Sent {
  readonly method?: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

async function send(token: string, path: string, { method, body, headers }: Sent = {}) {
  const response = await app.request(
    path,
    {
      method: method ?? (body === undefined ? "GET" : "POST"),
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    },
    env,
  );
  // biome-ignore lint/suspicious/noExplicitAny: each case says itself what it expects
  return { status: response.status, body: await response.json<any>() };
}

async function came(token: string, path: string, sent: Sent = {}): Promise<string> {
  const { status, body } = await send(token, path, sent);
  return `${status} ${body?.code ?? (Array.isArray(body) ? "list" : Object.keys(body).sort().join())}`;
}

const round = (more: object = {}) => ({
  worker: "0123456789abcdef0123456789abcdef",
  leaseMs: 60_000,
  exchange: 1,
  settle: [],
  running: [],
  claim: { limit: 5 },
  ...more,
});

describe("attacks F: calls beyond a token's rights", () => {
  const mail = ["counts", "jobs", "jobs/mine", "schedules", "events"];
  it.each(mail.map((path) => [path] as const))("reads nothing of another queue of the object: %s", async (path) => {
    await send("root", "/mail/jobs", { body: { ...note, options: { id: "mine" } } });
    expect(await came("other", `/mail/${path}`)).toMatch(/^403 forbidden/);
    for (const spelling of ["%6dail", "mail%00", "Mail", "mail%20", "other%2f..%2fmail", "./mail", "other/../mail"]) {
      if (path === "events") break;
      const { status, body } = await send("other", `/${spelling}/${path}`);
      expect([spelling, status >= 400 && status < 500, JSON.stringify(body).includes('"mine"')]).toEqual([
        spelling,
        true,
        false,
      ]);
    }
  });

  const acts: readonly (readonly [method: string, path: string, body?: unknown])[] = [
    ["POST", "jobs", note],
    ["POST", "exchange", round()],
    ["POST", "pause"],
    ["POST", "resume"],
    ["POST", "clear"],
    ["POST", "retry"],
    ["POST", "jobs/mine/cancel"],
    ["POST", "jobs/mine/retry"],
    ["POST", "jobs/mine/promote"],
    ["PATCH", "jobs/mine", { priority: 1 }],
    ["DELETE", "jobs/mine"],
    ["PATCH", "settings", { maxActive: 1 }],
    ["PUT", "schedules/k", { rule: { every: 60_000 }, job: note }],
    ["DELETE", "schedules/k"],
  ];
  const state = async () => {
    const [job, counts] = [await send("root", "/mail/jobs/mine"), await send("root", "/mail/counts")];
    return JSON.stringify([job.body, counts.body]);
  };
  it.each(acts)("changes nothing with a token of another queue: %s %s", async (method, path, body) => {
    await send("root", "/mail/jobs", { body: { ...note, options: { id: "mine", delay: 3_600_000 } } });
    const before = await state();
    expect(await came("other", `/mail/${path}`, { method: method as string, body })).toBe("403 forbidden");
    expect(await state()).toBe(before);
  });
  it.each(acts.slice(1))("changes nothing with a token that may only add: %s %s", async (method, path, body) => {
    await send("root", "/mail/jobs", { body: { ...note, options: { id: "mine", delay: 3_600_000 } } });
    const before = await state();
    expect(await came("add", `/mail/${path}`, { method: method as string, body })).toBe("403 forbidden");
    expect(await state()).toBe(before);
  });
  it.each(acts.filter(([, path]) => path !== "exchange"))(
    "changes nothing with a token that may only work: %s %s",
    async (method, path, body) => {
      await send("root", "/mail/jobs", { body: { ...note, options: { id: "mine", delay: 3_600_000 } } });
      const before = await state();
      expect(await came("work", `/mail/${path}`, { method: method as string, body })).toBe("403 forbidden");
      expect(await state()).toBe(before);
    },
  );
  it.each(acts)("finds the same path without a token refused: %s %s", async (method, path, body) => {
    expect(await came("no", `/mail/${path}`, { method: method as string, body })).toBe("401 unauthorized");
    expect(await came("", `/mail/${path}`, { method: method as string, body })).toBe("401 unauthorized");
    expect(await came("root root", `/mail/${path}`, { method: method as string, body })).toBe("401 unauthorized");
  });
});

describe("attacks F: names of senders", () => {
  const numbers: readonly (readonly [input: string, header: string])[] = [
    ["no number", "sender=a&digest=d"],
    ["a number of 0", "sender=a&number=0&digest=d"],
    ["a negative number", "sender=a&number=-1&digest=d"],
    ["a fraction", "sender=a&number=1.5&digest=d"],
    ["an exponent", "sender=a&number=1e3&digest=d"],
    ["2^53", "sender=a&number=9007199254740992&digest=d"],
    ["NaN", "sender=a&number=NaN&digest=d"],
    ["an empty sender", "sender=&number=1&digest=d"],
    ["no sender", "number=1&digest=d"],
    ["no digest", "sender=a&number=1"],
    ["a sender of 10,000", `sender=${"a".repeat(10_000)}&number=1&digest=d`],
    ["nothing", ""],
    ["no parameters at all", "x"],
  ];
  it.each(numbers)("a request of %s is refused or taken as one without a number: nothing breaks", async (_, header) => {
    const { status, body } = await send("add", "/mail/jobs", { body: [note], headers: { "quayside-request": header } });
    expect([status, body.code ?? body[0].deduplicated]).toEqual(status === 201 ? [201, false] : [400, "bad_request"]);
  });

  const victims: readonly string[] = [
    "key/x",
    "subject/add",
    "add",
    "~add",
    "root/outbox",
    '["subject","root"]',
    "worker/x",
  ];
  it.each(victims)("sender %s of one subject takes no number from another's", async (sender) => {
    const headers = { "quayside-request": `${new URLSearchParams({ sender, number: "7", digest: "d" })}` };
    const one = await send("add", "/mail/jobs", { body: [note], headers });
    const two = await send("root", "/mail/jobs", { body: [note], headers });
    if (one.status === 201) expect(two.body[0].id).not.toBe(one.body[0].id);
    expect([one.status, two.status]).toEqual([one.status, one.status]);
    expect([201, 400]).toContain(one.status);
  });
});

describe("attacks F: keys of workers", () => {
  const keys: readonly string[] = [
    "__proto__",
    "constructor",
    "a",
    "…",
    "abcdef…",
    "~",
    "a~b",
    "0/1",
    "object",
    "\u0000",
    "x".repeat(128),
    "x".repeat(129),
    "%00",
    "a\u2028b",
    '"',
    "01234…~0123456789",
  ];
  it.each(keys.map((key) => [key]))(
    "%j is a worker, whose key is in no event, or is refused by its name",
    async (key) => {
      await send("root", "/mail/jobs", { body: { ...note, options: { id: "mine" } } });
      const first = await send("work", "/mail/exchange", { body: round({ worker: key }) });
      if (first.status !== 200) {
        expect([first.status, first.body.code, first.body.errors[0].path]).toEqual([400, "invalid_option", "worker"]);
        return;
      }
      const [{ token }] = first.body.jobs;
      const settle = [{ token, outcome: "completed" }];
      const { body: forged } = await send("other", "/other/exchange", {
        body: round({ worker: key, exchange: 2, settle }),
      });
      expect(forged.code ?? forged).toMatchObject({ jobs: [], lost: [token] });
      expect((await send("root", "/mail/jobs/mine")).body.state).toBe("active");
      expect(await came("work", "/mail/exchange", { body: round({ worker: key, exchange: 2, settle }) })).toMatch(
        /^200/,
      );
      const job = await send("root", "/mail/jobs/mine");
      expect([job.body.state, key.length > 5 && JSON.stringify(job.body).includes(key)]).toEqual(["completed", false]);
    },
  );
});

describe("attacks F: subjects and caps that are none", () => {
  const grants: readonly (readonly [input: string, grant: object])[] = [
    ["an empty subject", { subject: "" }],
    ["a subject of 257", { subject: "s".repeat(257) }],
    ["half a character", { subject: "\ud800" }],
    ["a number", { subject: 7 }],
    ["null", { subject: null }],
    ["an object", { subject: { a: 1 } }],
  ];
  it.each(grants)("%s is no subject: nothing of a key is taken", async (_, given) => {
    const grant = { scopes: ["enqueue"], ...given } as Grant;
    const call = async () => {
      const to = queueApi({ object: shared, auth: () => grant });
      const headers = { "content-type": "application/json", "idempotency-key": '"k"' };
      const response = await to.request("/mail/jobs", { method: "POST", headers, body: JSON.stringify(note) }, env);
      return response.status;
    };
    const log = vi.spyOn(console, "error").mockImplementation(() => {});
    const got = await call().catch((error) => (error instanceof QuaysideError ? error.code : String(error)));
    log.mockRestore();
    expect([403, 500, "invalid_option"]).toContain(got);
    expect((await send("root", "/mail/counts")).body.waiting).toBe(0);
  });
});

describe("attacks F: caps that would bound nothing", () => {
  const caps: readonly (readonly [names: string, caps: unknown])[] = [
    ["auth.caps.attempts", { attempts: 2 }],
    ["auth.caps.tags", { tags: 1 }],
    ["auth.caps.group", { group: false }],
    ["auth.caps.maxattempts", { maxattempts: 1 }],
    ["auth.caps.maxAttempts", { maxAttempts: "2" }],
    ["auth.caps.priority", { priority: Number.NaN }],
    ["auth.caps.delay", { delay: "soon" }],
    ["auth.caps.expiresIn", { expiresIn: -1 }],
    ["auth.caps.dedupe", { dedupe: false }],
    ["auth.caps.dedupe", { dedupe: "drop" }],
    ["auth.caps.dedupe", { dedupe: ["Drop"] }],
    ["auth.caps.groupLimit", { groupLimit: "no" }],
    ["auth.caps.groupLimit", { groupLimit: null }],
    ["auth.caps.backoff", { backoff: "1s" }],
    ["auth.caps.backoff", { backoff: null }],
    ["auth.caps.backoff.min", { backoff: { min: "1s" } }],
    ["auth.caps.backoff.least", { backoff: { least: "x" } }],
    ["auth.caps", []],
    ["auth.caps", "none"],
  ];
  it.each(caps)("%s is refused by its name: %j", (names, given) => {
    const make = () => bearerTokens({ t: { subject: "s", scopes: ["enqueue"], caps: given } as never });
    expect(make).toThrow(expect.objectContaining({ code: "invalid_option", details: { option: names } }));
  });
});

describe("attacks C and D: cursors and sizes", () => {
  const cursors: readonly string[] = [
    "[]",
    "{}",
    "null",
    "1",
    "[-1]",
    '[-1,"","",0,0,0,""]',
    '[0,"__proto__","",0,0,0,""]',
    '[1e999,"","",0,0,0,""]',
    '[0,"finished","mail/completed",0,0,0,"x"]',
    '[0,"waiting","other",0,0,0,""]',
    '[0,"waiting","mail",null,0,0,""]',
    '[0,"waiting","mail","0",0,0,""]',
    '[0,"waiting","mail",-1e308,1e308,-0,""]',
    '[9007199254740993,"waiting","mail",0,0,0,""]',
    '[0,"waiting","mail\\u0000",0,0,0,""]',
    '[0,"waiting","mail/",0,0,0,""]',
    `[0,"waiting","mail",0,0,0,"${"x".repeat(5_000)}"]`,
    `${"[".repeat(2_000)}${"]".repeat(2_000)}`,
    "\u0000",
    "😀",
  ];
  it.each(cursors.map((cursor) => [cursor.slice(0, 60), cursor]))(
    "cursor %j ends at once and shows nothing of another queue",
    async (_, cursor) => {
      await send("root", "/mail/jobs", { body: [note, note, { ...note, options: { id: "secret" } }] });
      for (const path of ["jobs", "jobs?state=failed", "jobs?tags=a", "jobs?name=note"]) {
        const more = path.includes("?") ? "&" : "?";
        const { status, body } = await send("other", `/other/${path}${more}cursor=${encodeURIComponent(cursor)}`);
        expect([200, 400]).toContain(status);
        if (status === 400) expect(body.code).toMatch(/invalid_option|bad_request/);
        else expect(body.jobs).toEqual([]);
      }
    },
  );

  const limits: readonly (readonly [string, number])[] = [
    ["0", 400],
    ["-1", 400],
    ["1.5", 400],
    ["1e2", 400],
    ["0x10", 400],
    ["", 400],
    [" 1", 400],
    ["1001", 400],
    ["NaN", 400],
    ["1&limit=2", 400],
    ["1000", 200],
  ];
  it.each(limits)("limit %j: %i", async (limit, status) => {
    expect((await send("root", `/mail/jobs?limit=${limit}`)).status).toBe(status);
  });

  const sizes: readonly (readonly [input: string, body: object])[] = [
    ["250,000 running tokens", round({ running: Array(250_000).fill("1.1") })],
    ["250,000 settlements of no token", round({ settle: Array(250_000).fill({ token: "1.1", outcome: "completed" }) })],
    ["100,000 reports", round({ progress: Array(100_000).fill({ token: "1.1", value: 1 }) })],
    ["a claim of 10^9", round({ claim: { limit: 1e9 } })],
    ["a claim of -1", round({ claim: { limit: -1 } })],
    ["a lease of 0", round({ leaseMs: 0 })],
    ["a lease of a century", round({ leaseMs: 3.2e12 })],
    ["a token of 100,000", round({ running: ["x".repeat(100_000)] })],
  ];
  it.each(sizes)("an exchange of %s is answered with a status of its caller's", async (_, body) => {
    const { status } = await send("work", "/mail/exchange", { body });
    expect(status).toBeGreaterThanOrEqual(200);
    expect(status).toBeLessThan(500);
    expect((await send("root", "/mail/counts")).status).toBe(200);
  });
});
