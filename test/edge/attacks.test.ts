import { reset } from "cloudflare:test";
import { afterEach, describe, expect, it } from "vitest";
import { add, type Call, call, email } from "./api-call.ts";

afterEach(reset);

/** Rows of attacks on the HTTP API, an input each, with what came of it: as in `test/hostile/attacks`. */

/** Status, and the code of a problem or the answer. */
async function came(path: string, options: Call = {}): Promise<string> {
  const { status, body } = await call(path, options);
  const path0 = body?.errors?.[0]?.path;
  return `${status} ${body?.code ? `${body.code}${path0 === undefined ? "" : ` ${path0}`}` : JSON.stringify(body)}`;
}

const exchange = (n: number, more: object = {}, limit = 5) => ({
  worker: "w",
  leaseMs: 30_000,
  exchange: n,
  settle: [],
  running: [],
  claim: { limit },
  ...more,
});

async function counts(): Promise<string> {
  const { body } = await call("/mail/counts");
  return `w${body.waiting} d${body.delayed} a${body.active} c${body.completed} f${body.failed} x${body.cancelled}`;
}

/** Claims two jobs; their tokens. */
async function claimed(): Promise<[string, string]> {
  await add([email, email]);
  const { body } = await call("/mail/exchange", { body: exchange(1) });
  return body.jobs.map(({ token }: { token: string }) => token);
}

type Attack = readonly [input: string, came: string, run: () => Promise<string>];

const filters: readonly Attack[] = (
  [
    [
      "clear with its filter in the body",
      "400 bad_request; w2 d0 a0 c0 f0 x0",
      "/mail/clear",
      { body: { state: "failed" } },
    ],
    ["clear with an empty object as its body", '200 {"affected":2}; w0 d0 a0 c0 f0 x0', "/mail/clear", { body: {} }],
    [
      "retry with its filter in the body",
      "400 bad_request; w2 d0 a0 c0 f0 x0",
      "/mail/retry",
      { body: { name: "none" } },
    ],
    ["pause with a body", "400 bad_request; w2 d0 a0 c0 f0 x0", "/mail/pause", { body: { state: "failed" } }],
    ["clear of an empty state", "400 bad_request state; w2 d0 a0 c0 f0 x0", "/mail/clear?state=", { method: "POST" }],
    [
      "clear of two states",
      "400 bad_request state; w2 d0 a0 c0 f0 x0",
      "/mail/clear?state=failed&state=completed",
      { method: "POST" },
    ],
    ["clear of an empty tag", '200 {"affected":0}; w2 d0 a0 c0 f0 x0', "/mail/clear?tags=", { method: "POST" }],
    ["clear of an empty name", '200 {"affected":0}; w2 d0 a0 c0 f0 x0', "/mail/clear?name=", { method: "POST" }],
    [
      "clear of a word in capitals",
      "400 bad_request State; w2 d0 a0 c0 f0 x0",
      "/mail/clear?State=failed",
      { method: "POST" },
    ],
    ["clear of tags[]", "400 bad_request tags[]; w2 d0 a0 c0 f0 x0", "/mail/clear?tags[]=a", { method: "POST" }],
    [
      "clear of olderThan 1e3",
      "400 invalid_option olderThan; w2 d0 a0 c0 f0 x0",
      "/mail/clear?olderThan=1e3",
      { method: "POST" },
    ],
    [
      "clear of olderThanMs, as records spell it",
      "400 bad_request olderThanMs; w2 d0 a0 c0 f0 x0",
      "/mail/clear?olderThanMs=1",
      { method: "POST" },
    ],
    ["clear by DELETE", "405 method_not_allowed; w2 d0 a0 c0 f0 x0", "/mail/jobs", { method: "DELETE" }],
    [
      "clear of a half escape",
      '200 {"affected":0}; w2 d0 a0 c0 f0 x0',
      "/mail/clear?name=%E0%A4%A",
      { method: "POST" },
    ],
    ["remove of no id", "404 route_not_found; w2 d0 a0 c0 f0 x0", "/mail/jobs/", { method: "DELETE" }],
    ["remove of *", "404 job_not_found; w2 d0 a0 c0 f0 x0", "/mail/jobs/*", { method: "DELETE" }],
    ["remove of ..", "404 job_not_found; w2 d0 a0 c0 f0 x0", "/mail/jobs/..%2f..%2fclear", { method: "DELETE" }],
  ] as const
).map(([input, expected, path, options]) => [
  input,
  expected,
  async () => {
    await add([email, email]);
    return `${await came(path, options as Call)}; ${await counts()}`;
  },
]);

const lists: readonly Attack[] = (
  [
    ["a cursor of another queue", "400 invalid_option", async () => (await call("/other/jobs?limit=1")).body.cursor],
    [
      "a cursor cut in half",
      "400 invalid_option",
      async () => (await call("/mail/jobs?limit=1")).body.cursor.slice(0, 20),
    ],
    [
      "a cursor escaped twice",
      "400 invalid_option",
      async () => encodeURIComponent((await call("/mail/jobs?limit=1")).body.cursor),
    ],
    [
      "a cursor of the finished lane of another queue",
      "400 invalid_option",
      async () => encodeURIComponent(JSON.stringify([0, "finished", "other/completed", 0, 0, 0, ""])),
    ],
    [
      "a cursor of negative numbers",
      "200 3 of mail",
      async () => encodeURIComponent(JSON.stringify([0, "ready", "mail", -1, -1, -1, ""])),
    ],
    [
      "a cursor of a stretch of 1e15",
      "400 invalid_option",
      async () => encodeURIComponent(JSON.stringify([1e15, "ready", "mail", 0, 0, 0, ""])),
    ],
    [
      "a cursor of objects",
      "400 invalid_option",
      async () => encodeURIComponent(JSON.stringify([0, {}, [], 0, 0, 0, ""])),
    ],
  ] as const
).map(([input, expected, make]) => [
  input,
  expected,
  async () => {
    await add([email, email, email]);
    await call("/other/jobs", { body: [email, email] });
    const cursor = await make();
    const { status, body } = await call(`/mail/jobs?limit=10&cursor=${encodeURIComponent(cursor)}`);
    const queues = new Set((body.jobs ?? []).map((job: { queue: string }) => job.queue));
    return `${status} ${body.code ?? `${body.jobs.length} of ${[...queues].join(",") || "none"}`}`;
  },
]);

const rounds: readonly Attack[] = (
  [
    [
      "one token settled twice",
      "200 lost 1, jobs 0; w1 d0 a0 c1 f0 x0",
      (a: string) => ({
        settle: [
          { token: a, outcome: "completed" },
          { token: a, outcome: "failed", error: { code: "x", message: "x" } },
        ],
      }),
    ],
    [
      "one token settled and running",
      "200 lost 1, jobs 0; w1 d0 a0 c1 f0 x0",
      (a: string) => ({ settle: [{ token: a, outcome: "completed" }], running: [a] }),
    ],
    [
      "one token running ten times",
      "200 lost 0, jobs 0; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [...Array(10).fill(a), b] }),
    ],
    [
      "a token of another exchange",
      "200 lost 1, jobs 0; w2 d0 a0 c0 f0 x0",
      () => ({ settle: [{ token: "9.0", outcome: "completed" }] }),
    ],
    [
      "a token of __proto__",
      "200 lost 1, jobs 0; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ settle: [{ token: "__proto__", outcome: "completed" }], running: [a, b] }),
    ],
    [
      "progress of a token that is not its",
      "200 lost 0, jobs 0; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [a, b], progress: [{ token: "9.9", value: 1 }] }),
    ],
    [
      "progress twice for one token",
      "200 lost 0, jobs 0; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({
        running: [a, b],
        progress: [
          { token: a, value: 1 },
          { token: a, value: 2 },
        ],
      }),
    ],
    [
      "progress of a token that it settles",
      "200 lost 0, jobs 0; w0 d0 a1 c1 f0 x0",
      (a: string, b: string) => ({
        settle: [{ token: a, outcome: "completed" }],
        running: [b],
        progress: [{ token: a, log: ["last"] }],
      }),
    ],
    [
      "failed without a message",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string) => ({ settle: [{ token: a, outcome: "failed", error: { code: "x" } }] }),
    ],
    [
      "failed, again in a century and a day",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string) => ({
        settle: [{ token: a, outcome: "failed", error: { code: "x", message: "x" }, retryMs: 3.2e12 }],
      }),
    ],
    [
      "released for -1 ms",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string) => ({ settle: [{ token: a, outcome: "released", delayMs: -1 }] }),
    ],
    [
      "a result that is not JSON",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string) => ({ settle: [{ token: a, outcome: "completed", result: "{" }] }),
    ],
    [
      "a result of two documents",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string) => ({ settle: [{ token: a, outcome: "completed", result: "1 2" }] }),
    ],
    [
      "more held ahead than claimed",
      "200 lost 0, jobs 0; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [a, b], claim: { limit: 1, prefetch: 100 } }),
    ],
    [
      "a lease of a ms",
      "200 lost 0, jobs 0; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [a, b], leaseMs: 1 }),
    ],
    [
      "a liveness of its own",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [a, b], liveness: "process" }),
    ],
    [
      "other queues in its claim",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [a, b], claim: { limit: 1, queues: [{ queue: "other" }] } }),
    ],
    [
      "an exchange number of 2^53",
      "400 bad_request; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [a, b], exchange: 2 ** 53 }),
    ],
    [
      "a worker's name with a line break",
      "400 invalid_option; w0 d0 a2 c0 f0 x0",
      (a: string, b: string) => ({ running: [a, b], worker: "w\n" }),
    ],
  ] as const
).map(([input, expected, make]) => [
  input,
  expected,
  async () => {
    const [a, b] = await claimed();
    const { status, body } = await call("/mail/exchange", { body: exchange(2, make(a, b), 0) });
    const answer = body.code ?? `lost ${body.lost.length}, jobs ${body.jobs.length}`;
    return `${status} ${answer}; ${await counts()}`;
  },
]);

const SET_AND_GONE = '200 {"affected":1}; 200 {"affected":1}; w0 d0 a0 c0 f0 x0';

const others: readonly Attack[] = [
  ...(
    [
      ["key", SET_AND_GONE],
      ["a/b", "404 route_not_found; 404 route_not_found; w0 d0 a0 c0 f0 x0"],
      ["a%2Fb", SET_AND_GONE],
      ["%00", SET_AND_GONE],
      ["__proto__", SET_AND_GONE],
      ["k".repeat(257), "400 invalid_option key; 400 invalid_option key; w0 d0 a0 c0 f0 x0"],
      ["%ED%A0%80", "400 bad_request; 400 bad_request; w0 d0 a0 c0 f0 x0"],
    ] as const
  ).map(
    ([key, expected]): Attack => [
      `a recurrence under ${key.slice(0, 20)}`,
      expected,
      async () => {
        const body = { rule: { every: 60_000 }, job: email };
        const set = await came(`/mail/schedules/${key}`, { method: "PUT", body });
        const gone = await came(`/mail/schedules/${key}`, { method: "DELETE" });
        return `${set}; ${gone}; ${await counts()}`;
      },
    ],
  ),
  [
    "an update of nothing",
    '200 {"affected":1,"state":"waiting"}; w1 d0 a0 c0 f0 x0',
    async () => `${await came(`/mail/jobs/${(await add()).id}`, { method: "PATCH", body: {} })}; ${await counts()}`,
  ],
  [
    "an update that only says sealed",
    '200 {"affected":1,"state":"waiting"}; undefined',
    async () =>
      `${await came(`/mail/jobs/${(await add()).id}`, { method: "PATCH", body: { sealed: true } })}; ${(await call("/mail/jobs")).body.jobs[0].sealed}`,
  ],
  ["settings of nothing", '200 {"affected":0}', () => came("/mail/settings", { method: "PATCH", body: {} })],
  [
    "settings of keep null",
    "400 bad_request keep",
    () => came("/mail/settings", { method: "PATCH", body: { keep: null } }),
  ],
  [
    "an Idempotency-Key used for two bodies",
    "201; 422 mark_conflict Idempotency-Key; w1 d0 a0 c0 f0 x0",
    async () => {
      const headers = { "idempotency-key": '"k"' };
      const first = await call("/mail/jobs", { body: email, headers });
      const second = await came("/mail/jobs", { body: [email, email], headers });
      return `${first.status}; ${second}; ${await counts()}`;
    },
  ],
  [
    "an Idempotency-Key of one text, bare and quoted",
    "201 201; w1 d0 a0 c0 f0 x0",
    async () => {
      const one = await call("/mail/jobs", { body: email, headers: { "idempotency-key": "k" } });
      const two = await call("/mail/jobs", { body: email, headers: { "idempotency-key": '"k"' } });
      return `${one.status} ${two.status}; ${await counts()}`;
    },
  ],
];

describe.each([
  ["filters", filters],
  ["cursors", lists],
  ["exchanges", rounds],
  ["other calls", others],
])("attacks over HTTP: %s", (_, attacks) => {
  it.each(attacks)("%s", async (_input, expected, run) => {
    expect(await run()).toBe(expected);
  });
});
