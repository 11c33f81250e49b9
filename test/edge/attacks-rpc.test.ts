import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import type { ExchangeRequest, NewJob } from "@quayside/core/engine";
import { queueStub, type Reply } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";

afterEach(reset);

/** Rows of attacks on an object by another Worker that calls it with what no driver sends, and what came of them. */

const stub = () => queueStub(env.BARE_QUEUE, "mail");
const odd = <T>(value: unknown): T => value as T;
const job = (more: object = {}): NewJob => odd({ queue: "mail", name: "note", payload: "1", ...more });
const round = (more: object = {}): ExchangeRequest =>
  odd({
    worker: "0123456789abcdef0123456789abcdef",
    liveness: "time",
    leaseMs: 60_000,
    exchange: 1,
    settle: [],
    running: [],
    claim: { limit: 5, queues: [{ queue: "mail" }] },
    ...more,
  });

/** The answer to a call, or its refusal; an error that is none of ours is shown whole. */
async function came<T>(call: () => Promise<Reply<T>>, show: (value: T) => unknown = () => "done"): Promise<string> {
  try {
    const reply = await call();
    if (reply.ok) return `${show(reply.value)}`;
    const { code, message, details } = reply.error;
    const option = details["option"];
    return typeof option === "string" && message.includes(option)
      ? `${code} ${option}`
      : `${code}: ${message.slice(0, 80)}`;
  } catch (error) {
    return `raw ${String(error).slice(0, 80)}`;
  }
}

/** The queue still lists, counts and gives out the job that was there before. */
async function health(): Promise<string> {
  const list = await came(
    () => stub().list({ queue: "mail" }),
    ({ jobs }) => `lists ${jobs.length}`,
  );
  const counts = await came(
    () => stub().counts("mail"),
    ({ waiting, delayed, active }) => waiting + delayed + active,
  );
  const claim = await came(
    () => stub().exchange(round({ worker: "f".repeat(32), claim: { limit: 100, queues: [{ queue: "mail" }] } })),
    ({ jobs }) => `gives ${jobs.filter(({ job }) => job.id === "before").length}`,
  );
  return `${list}, counts ${counts}, ${claim}`;
}

describe("attacks RPC: jobs", () => {
  const rows: readonly (readonly [input: string, came: string, job: unknown])[] = [
    ["a payload that is no JSON", "invalid_option jobs[0].payload; lists 1, counts 1, gives 1", job({ payload: "{x" })],
    ["an empty payload", "invalid_option jobs[0].payload; lists 1, counts 1, gives 1", job({ payload: "" })],
    ["no payload", "invalid_option jobs[0].payload; lists 1, counts 1, gives 1", job({ payload: undefined })],
    [
      "a payload that is an object",
      "invalid_option jobs[0].payload; lists 1, counts 1, gives 1",
      job({ payload: { a: 1 } }),
    ],
    ["a payload of half a character", "added; lists 2, counts 2, gives 1", job({ payload: '"\ud800"' })],
    ["a payload of 3 MB", "added; lists 2, counts 2, gives 1", job({ payload: JSON.stringify("x".repeat(3_000_000)) })],
    ["a payload of 1 MB", "added; lists 2, counts 2, gives 1", job({ payload: JSON.stringify("x".repeat(1_000_000)) })],
    [
      "a payload nested 5,000 deep",
      "invalid_option jobs[0].payload; lists 1, counts 1, gives 1",
      job({ payload: `${"[".repeat(5_000)}${"]".repeat(5_000)}` }),
    ],
    ["nothing", "invalid_option jobs[0]; lists 1, counts 1, gives 1", undefined],
    ["null", "invalid_option jobs[0]; lists 1, counts 1, gives 1", null],
    ["a text", "invalid_option jobs[0]; lists 1, counts 1, gives 1", "job"],
    ["a delay of NaN", "invalid_option jobs[0].delayMs; lists 1, counts 1, gives 1", job({ delayMs: Number.NaN })],
    [
      "a delay of Infinity",
      "invalid_option jobs[0].delayMs; lists 1, counts 1, gives 1",
      job({ delayMs: Number.POSITIVE_INFINITY }),
    ],
    ["a negative delay", "invalid_option jobs[0].delayMs; lists 1, counts 1, gives 1", job({ delayMs: -1e15 })],
    ["a delay that is a text", "invalid_option jobs[0].delayMs; lists 1, counts 1, gives 1", job({ delayMs: "soon" })],
    ["a priority of NaN", "invalid_option jobs[0].priority; lists 1, counts 1, gives 1", job({ priority: Number.NaN })],
    ["a priority of 1e9", "invalid_option jobs[0].priority; lists 1, counts 1, gives 1", job({ priority: 1e9 })],
    ["a priority of 0.5", "invalid_option jobs[0].priority; lists 1, counts 1, gives 1", job({ priority: 0.5 })],
    [
      "a priority that is a text",
      "invalid_option jobs[0].priority; lists 1, counts 1, gives 1",
      job({ priority: "high" }),
    ],
    ["maxAttempts of 0", "invalid_option jobs[0].maxAttempts; lists 1, counts 1, gives 1", job({ maxAttempts: 0 })],
    [
      "maxAttempts of NaN",
      "invalid_option jobs[0].maxAttempts; lists 1, counts 1, gives 1",
      job({ maxAttempts: Number.NaN }),
    ],
    [
      "maxInterruptions of −1",
      "invalid_option jobs[0].maxInterruptions; lists 1, counts 1, gives 1",
      job({ maxInterruptions: -1 }),
    ],
    [
      "a timeout of NaN",
      "invalid_option jobs[0].timeoutMs; lists 1, counts 1, gives 1",
      job({ timeoutMs: Number.NaN }),
    ],
    [
      "an expiry of NaN",
      "invalid_option jobs[0].expiresInMs; lists 1, counts 1, gives 1",
      job({ expiresInMs: Number.NaN }),
    ],
    ["an expiry of −5", "invalid_option jobs[0].expiresInMs; lists 1, counts 1, gives 1", job({ expiresInMs: -5 })],
    ["a group without a key", "invalid_option group.key; lists 1, counts 1, gives 1", job({ group: {} })],
    [
      "a group of limit 0",
      "invalid_option jobs[0].group.limit; lists 1, counts 1, gives 1",
      job({ group: { key: "g", limit: 0 } }),
    ],
    [
      "a group of limit NaN",
      "invalid_option jobs[0].group.limit; lists 1, counts 1, gives 1",
      job({ group: { key: "g", limit: Number.NaN } }),
    ],
    ["a group that is a text", "invalid_option jobs[0].group; lists 1, counts 1, gives 1", job({ group: "g" })],
    [
      "a dedupe of another mode",
      "invalid_option jobs[0].dedupe.mode; lists 1, counts 1, gives 1",
      job({ dedupe: { key: "k", mode: "never" } }),
    ],
    [
      "a dedupe whose ttl is NaN",
      "invalid_option jobs[0].dedupe.ttlMs; lists 1, counts 1, gives 1",
      job({ dedupe: { key: "k", mode: "throttle", ttlMs: Number.NaN } }),
    ],
    ["a throttle without a ttl", "added; lists 2, counts 2, gives 1", job({ dedupe: { key: "k", mode: "throttle" } })],
    ["tags that are a text", "invalid_option tags; lists 1, counts 1, gives 1", job({ tags: "tag" })],
    [
      "keep of NaN",
      "invalid_option jobs[0].keep.completed; lists 1, counts 1, gives 1",
      job({ keep: { completed: Number.NaN } }),
    ],
    ["a backoff that is a text", "invalid_option jobs[0].backoff; lists 1, counts 1, gives 1", job({ backoff: "1s" })],
    ["a backoff of an unknown kind", "added; lists 2, counts 2, gives 1", job({ backoff: { kind: "odd" } })],
    ["requires of another word", "added; lists 2, counts 2, gives 1", job({ requires: "sun" })],
    ["an id that is a number", "invalid_option id; lists 1, counts 1, gives 1", job({ id: 5 })],
    ["a queue that is a number", "invalid_option queue; lists 1, counts 1, gives 1", job({ queue: 5 })],
    ["a name of 10,000", "invalid_option name; lists 1, counts 1, gives 1", job({ name: "n".repeat(10_000) })],
    ["a flow that is a text", "invalid_option jobs[0].flow; lists 1, counts 1, gives 1", job({ flow: "root" })],
    [
      "a flow below nothing",
      "invalid_option flow.parentRef; lists 1, counts 1, gives 1",
      job({ flow: { parentRef: "none" } }),
    ],
    [
      "a field of 100 kB that is none",
      "invalid_option other; lists 1, counts 1, gives 1",
      job({ other: "x".repeat(100_000) }),
    ],
    ["a recurrence of its own", "invalid_option recurrence; lists 1, counts 1, gives 1", job({ recurrence: "k" })],
    [
      "parents of its own",
      "invalid_option parent; lists 1, counts 1, gives 1",
      job({ parent: { queue: "mail", id: "before", onFailure: "fail" } }),
    ],
    ["sealed, though it is not", "added; lists 2, counts 2, gives 1", job({ sealed: true })],
  ];
  it.each(rows)("%s", async (_, expected, bad) => {
    await stub().enqueue([job({ id: "before" })]);
    const added = await came(
      () => stub().enqueue([odd(bad)]),
      ([receipt]) => `added${receipt?.deduplicated ? " again" : ""}`,
    );
    expect(`${added}; ${await health()}`).toBe(expected);
  });
});

describe("attacks RPC: numbered requests", () => {
  const sent = { sender: "outbox", number: 1, digest: "d" };
  const rows: readonly (readonly [input: string, came: string, request: unknown])[] = [
    [
      "a number of NaN",
      "invalid_option request.number; invalid_option request.number; added; 1 stored",
      { ...sent, number: Number.NaN },
    ],
    [
      "a number of Infinity",
      "invalid_option request.number; invalid_option request.number; added; 1 stored",
      { ...sent, number: Number.POSITIVE_INFINITY },
    ],
    [
      "a number of 1.5",
      "invalid_option request.number; invalid_option request.number; added; 1 stored",
      { ...sent, number: 1.5 },
    ],
    [
      "a number that is a text",
      "invalid_option request.number; invalid_option request.number; added; 1 stored",
      { ...sent, number: "1" },
    ],
    [
      "no number",
      "invalid_option request.number; invalid_option request.number; added; 1 stored",
      { sender: "outbox", digest: "d" },
    ],
    [
      "no digest",
      "invalid_option request.digest; invalid_option request.digest; added; 1 stored",
      { sender: "outbox", number: 1 },
    ],
    [
      "a digest of a megabyte",
      "invalid_option request.digest; invalid_option request.digest; added; 1 stored",
      { ...sent, digest: "d".repeat(1_000_000) },
    ],
    [
      "a digest of 3 MB",
      "invalid_option request.digest; invalid_option request.digest; added; 1 stored",
      { ...sent, digest: "d".repeat(3_000_000) },
    ],
    [
      "a ttl of 0",
      "invalid_option request.ttlMs; invalid_option request.ttlMs; added; 1 stored",
      { ...sent, ttlMs: 0 },
    ],
    [
      "a ttl of NaN",
      "invalid_option request.ttlMs; invalid_option request.ttlMs; added; 1 stored",
      { ...sent, ttlMs: Number.NaN },
    ],
    [
      "a ttl of 1e300",
      "invalid_option request.ttlMs; invalid_option request.ttlMs; added; 1 stored",
      { ...sent, ttlMs: 1e300 },
    ],
    [
      "a ttl that is a text",
      "invalid_option request.ttlMs; invalid_option request.ttlMs; added; 1 stored",
      { ...sent, ttlMs: "1d" },
    ],
    ["a text", "invalid_option request; invalid_option request; added; 1 stored", "outbox"],
  ];
  it.each(rows)("%s, sent twice, then number 2", async (_, expected, request) => {
    const send = (one: unknown) =>
      came(
        () => stub().enqueue([job()], odd(one)),
        ([receipt]) => `added${receipt?.deduplicated ? " again" : ""}`,
      );
    const [first, second, next] = [await send(request), await send(request), await send({ ...sent, number: 2 })];
    const stored = await came(
      () => stub().counts("mail"),
      ({ waiting }) => waiting,
    );
    expect(`${first}; ${second}; ${next}; ${stored} stored`).toBe(expected);
  });
});

describe("attacks RPC: exchanges", () => {
  const claim = { limit: 5, queues: [{ queue: "mail" }] };
  const rows: readonly (readonly [input: string, came: string, request: unknown])[] = [
    ["nothing", "invalid_option request; lists 1, counts 1, gives 1", undefined],
    ["null", "invalid_option request; lists 1, counts 1, gives 1", null],
    ["an empty object", "invalid_option leaseMs; lists 1, counts 1, gives 1", {}],
    ["no settle", "invalid_option settle; lists 1, counts 1, gives 1", round({ settle: undefined })],
    ["a settle that is a text", "invalid_option settle; lists 1, counts 1, gives 1", round({ settle: "done" })],
    ["settlements that are null", "invalid_option settle[0]; lists 1, counts 1, gives 1", round({ settle: [null] })],
    ["no claim", "invalid_option claim; lists 1, counts 1, gives 1", round({ claim: undefined })],
    [
      "a claim without queues",
      "invalid_option claim.queues; lists 1, counts 1, gives 1",
      round({ claim: { limit: 5 } }),
    ],
    [
      "queues that are texts",
      "invalid_option claim.queues[0]; lists 1, counts 1, gives 1",
      round({ claim: { limit: 5, queues: ["mail"] } }),
    ],
    [
      "queues that are null",
      "invalid_option claim.queues[0]; lists 1, counts 1, gives 1",
      round({ claim: { limit: 5, queues: [null] } }),
    ],
    [
      "a limit of NaN",
      "invalid_option claim.limit; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, limit: Number.NaN } }),
    ],
    [
      "a limit of Infinity",
      "invalid_option claim.limit; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, limit: Number.POSITIVE_INFINITY } }),
    ],
    [
      "a limit of −1",
      "invalid_option claim.limit; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, limit: -1 } }),
    ],
    [
      "a limit of 0.5",
      "invalid_option claim.limit; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, limit: 0.5 } }),
    ],
    [
      "a limit that is a text",
      "invalid_option claim.limit; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, limit: "5" } }),
    ],
    [
      "a prefetch of NaN",
      "invalid_option claim.prefetch; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, prefetch: Number.NaN } }),
    ],
    [
      "bytes of NaN",
      "invalid_option claim.bytes; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, bytes: Number.NaN } }),
    ],
    [
      "bytes of −1",
      "invalid_option claim.bytes; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, bytes: -1 } }),
    ],
    [
      "bytes of Infinity",
      "invalid_option claim.bytes; lists 1, counts 1, gives 1",
      round({ claim: { ...claim, bytes: Number.POSITIVE_INFINITY } }),
    ],
    [
      "a queue's limit of NaN",
      "invalid_option claim.queues[0].limit; lists 1, counts 1, gives 1",
      round({ claim: { limit: 5, queues: [{ queue: "mail", limit: Number.NaN }] } }),
    ],
    [
      "names that are a text",
      "invalid_option claim.queues[0].names; lists 1, counts 1, gives 1",
      round({ claim: { limit: 5, queues: [{ queue: "mail", names: "note" }] } }),
    ],
    ["a lease of NaN", "invalid_option leaseMs; lists 1, counts 1, gives 1", round({ leaseMs: Number.NaN })],
    [
      "a lease of Infinity",
      "invalid_option leaseMs; lists 1, counts 1, gives 1",
      round({ leaseMs: Number.POSITIVE_INFINITY }),
    ],
    ["a lease of −1", "invalid_option leaseMs; lists 1, counts 1, gives 1", round({ leaseMs: -1 })],
    ["a lease of 1e15", "invalid_option leaseMs; lists 1, counts 1, gives 1", round({ leaseMs: 1e15 })],
    ["a lease that is a text", "invalid_option leaseMs; lists 1, counts 1, gives 1", round({ leaseMs: "1m" })],
    ["an exchange of NaN", "invalid_option exchange; lists 1, counts 1, gives 1", round({ exchange: Number.NaN })],
    [
      "an exchange of Infinity",
      "invalid_option exchange; lists 1, counts 1, gives 1",
      round({ exchange: Number.POSITIVE_INFINITY }),
    ],
    ["an exchange that is a text", "invalid_option exchange; lists 1, counts 1, gives 1", round({ exchange: "1" })],
    ["no worker", "invalid_option worker; lists 1, counts 1, gives 1", round({ worker: undefined })],
    ["an empty worker", "invalid_option worker; lists 1, counts 1, gives 1", round({ worker: "" })],
    ["a worker that is a number", "invalid_option worker; lists 1, counts 1, gives 1", round({ worker: 5 })],
    [
      "a worker of a megabyte",
      "invalid_option worker; lists 1, counts 1, gives 1",
      round({ worker: "w".repeat(1_000_000) }),
    ],
    ["a name that is an object", "invalid_option name; lists 1, counts 1, gives 1", round({ name: {} })],
    ["a name of a megabyte", "invalid_option name; lists 1, counts 1, gives 1", round({ name: "n".repeat(1_000_000) })],
    ["a liveness of another word", "given 1; lists 1, counts 1, gives 0", round({ liveness: "for ever" })],
    ["progress that is a text", "invalid_option progress; lists 1, counts 1, gives 1", round({ progress: "half" })],
    ["progress that is null", "invalid_option progress[0]; lists 1, counts 1, gives 1", round({ progress: [null] })],
    ["running that is null", "invalid_option running; lists 1, counts 1, gives 1", round({ running: null })],
  ];
  it.each(rows)("%s", async (_, expected, request) => {
    await stub().enqueue([job({ id: "before" })]);
    const answer = await came(
      () => stub().exchange(odd(request)),
      ({ jobs }) => `given ${jobs.length}`,
    );
    await env.BARE_QUEUE.getByName("mail").advance(120_000);
    await stub().exchange(round({ worker: "e".repeat(32), claim: { limit: 0, queues: [{ queue: "mail" }] } }));
    await env.BARE_QUEUE.getByName("mail").advance(120_000);
    expect(`${answer}; ${await health()}`).toBe(expected);
  });
});

describe("attacks RPC: commands", () => {
  const every = { kind: "every", everyMs: 60_000 };
  const schedule = (rule: unknown, more: object = {}) => ({
    type: "schedule",
    queue: "mail",
    key: "k",
    rule,
    job: job({ ...more }),
  });
  const rows: readonly (readonly [input: string, came: string, command: unknown])[] = [
    ["nothing", "invalid_option command; 0 schedules; lists 1, counts 1, gives 1", undefined],
    ["null", "invalid_option command; 0 schedules; lists 1, counts 1, gives 1", null],
    ["a text", "invalid_option command; 0 schedules; lists 1, counts 1, gives 1", "pause"],
    ["another type", "invalid_option type; 0 schedules; lists 1, counts 1, gives 1", { type: "drop", queue: "mail" }],
    [
      "a type that every object has",
      "invalid_option type; 0 schedules; lists 1, counts 1, gives 1",
      { type: "constructor", queue: "mail" },
    ],
    ["no type", "invalid_option type; 0 schedules; lists 1, counts 1, gives 1", { queue: "mail" }],
    [
      "an update to no JSON",
      "invalid_option payload; 0 schedules; lists 1, counts 1, gives 1",
      { type: "update", queue: "mail", id: "before", payload: "{x" },
    ],
    [
      "an update to an object",
      "invalid_option payload; 0 schedules; lists 1, counts 1, gives 1",
      { type: "update", queue: "mail", id: "before", payload: {} },
    ],
    [
      "an update to what is nested 5,000 deep",
      "invalid_option payload; 0 schedules; lists 1, counts 1, gives 1",
      { type: "update", queue: "mail", id: "before", payload: `${"[".repeat(5_000)}${"]".repeat(5_000)}` },
    ],
    [
      "an update to priority NaN",
      "invalid_option priority; 0 schedules; lists 1, counts 1, gives 1",
      { type: "update", queue: "mail", id: "before", priority: Number.NaN },
    ],
    [
      "an update to a delay of NaN",
      "invalid_option delayMs; 0 schedules; lists 1, counts 1, gives 1",
      { type: "update", queue: "mail", id: "before", delayMs: Number.NaN },
    ],
    [
      "an update to a delay of −1",
      "invalid_option delayMs; 0 schedules; lists 1, counts 1, gives 1",
      { type: "update", queue: "mail", id: "before", delayMs: -1 },
    ],
    [
      "an update to a delay of Infinity",
      "invalid_option delayMs; 0 schedules; lists 1, counts 1, gives 1",
      { type: "update", queue: "mail", id: "before", delayMs: Number.POSITIVE_INFINITY },
    ],
    [
      "every 0 ms",
      "invalid_option rule.everyMs; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ kind: "every", everyMs: 0 }),
    ],
    [
      "every −1 ms",
      "invalid_option rule.everyMs; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ kind: "every", everyMs: -1 }),
    ],
    [
      "every NaN ms",
      "invalid_option rule.everyMs; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ kind: "every", everyMs: Number.NaN }),
    ],
    [
      "every Infinity ms",
      "invalid_option rule.everyMs; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ kind: "every", everyMs: Number.POSITIVE_INFINITY }),
    ],
    [
      "every text",
      "invalid_option rule.everyMs; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ kind: "every", everyMs: "1m" }),
    ],
    [
      "a rule of another kind",
      "invalid_option cron; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ kind: "never" }),
    ],
    ["no rule", "invalid_option rule; 0 schedules; lists 1, counts 1, gives 1", schedule(undefined)],
    [
      "a cron rule",
      "invalid_option cron; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ kind: "cron", cron: "* * * * *" }),
    ],
    [
      "a start of NaN",
      "invalid_option rule.startAt; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ ...every, startAt: Number.NaN }),
    ],
    [
      "a start that is a text",
      "invalid_option rule.startAt; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ ...every, startAt: "now" }),
    ],
    [
      "an end of NaN",
      "invalid_option rule.endAt; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ ...every, endAt: Number.NaN }),
    ],
    [
      "a limit of NaN",
      "invalid_option rule.limit; 0 schedules; lists 1, counts 1, gives 1",
      schedule({ ...every, limit: Number.NaN }),
    ],
    [
      "a limit of 0",
      'invalid_option: The recurrence "k" can never occur.; 0 schedules; lists 1, counts 1, gives 1',
      schedule({ ...every, limit: 0 }),
    ],
    [
      "a recurrence whose payload is no JSON",
      "invalid_option job.payload; 0 schedules; lists 1, counts 1, gives 1",
      schedule(every, { payload: "{x" }),
    ],
    [
      "a recurrence without a job",
      "invalid_option job; 0 schedules; lists 1, counts 1, gives 1",
      { ...schedule(every), job: undefined },
    ],
    [
      "a recurrence of a group of limit NaN",
      "invalid_option job.group.limit; 0 schedules; lists 1, counts 1, gives 1",
      schedule(every, { group: { key: "g", limit: Number.NaN } }),
    ],
    [
      "maxActive of NaN",
      "invalid_option maxActive; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", maxActive: Number.NaN },
    ],
    [
      "maxActive of −1",
      "invalid_option maxActive; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", maxActive: -1 },
    ],
    [
      "maxActive of 0",
      "invalid_option maxActive; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", maxActive: 0 },
    ],
    [
      "maxActive that is a text",
      "invalid_option maxActive; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", maxActive: "many" },
    ],
    [
      "a rate limit of NaN",
      "invalid_option rateLimit.max; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", rateLimit: { max: Number.NaN, perMs: 1_000 } },
    ],
    [
      "a rate limit of 0",
      "invalid_option rateLimit.max; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", rateLimit: { max: 0, perMs: 1_000 } },
    ],
    [
      "a rate limit per 0",
      "invalid_option rateLimit.perMs; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", rateLimit: { max: 1, perMs: 0 } },
    ],
    [
      "a rate limit that is a text",
      "invalid_option rateLimit; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", rateLimit: "1/s" },
    ],
    [
      "keep of NaN",
      "invalid_option keep.completed; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", keep: { completed: Number.NaN } },
    ],
    [
      "keep that is a text",
      "invalid_option keep; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", keep: "all" },
    ],
    [
      "a setting that is the engine's own",
      "invalid_option paused; 0 schedules; lists 1, counts 1, gives 1",
      { type: "configure", queue: "mail", paused: true, blockedNames: ["note"] },
    ],
    [
      "clear of an unknown state",
      "affected 0; 0 schedules; lists 1, counts 1, gives 1",
      { type: "clear", queue: "mail", state: "odd" },
    ],
    [
      "clear older than NaN",
      "invalid_option olderThanMs; 0 schedules; lists 1, counts 1, gives 1",
      { type: "clear", queue: "mail", olderThanMs: Number.NaN },
    ],
    [
      "clear older than −1",
      "invalid_option olderThanMs; 0 schedules; lists 1, counts 1, gives 1",
      { type: "clear", queue: "mail", olderThanMs: -1 },
    ],
    [
      "clear of tags that are a text",
      "invalid_option tags; 0 schedules; lists 1, counts 1, gives 1",
      { type: "clear", queue: "mail", tags: "t" },
    ],
    [
      "clear of a name that is a number",
      "invalid_option name; 0 schedules; lists 1, counts 1, gives 1",
      { type: "clear", queue: "mail", name: 5 },
    ],
    [
      "retryAll of a live state",
      "affected 0; 0 schedules; lists 1, counts 1, gives 1",
      { type: "retryAll", queue: "mail", state: "active" },
    ],
    [
      "cancel without an id",
      "invalid_option id; 0 schedules; lists 1, counts 1, gives 1",
      { type: "cancel", queue: "mail" },
    ],
    [
      "cancel of an id that is an object",
      "invalid_option id; 0 schedules; lists 1, counts 1, gives 1",
      { type: "cancel", queue: "mail", id: {} },
    ],
    [
      "pause of a queue that is an object",
      "invalid_option queue; 0 schedules; lists 1, counts 1, gives 1",
      { type: "pause", queue: {} },
    ],
    ["pause without a queue", "invalid_option queue; 0 schedules; lists 1, counts 1, gives 1", { type: "pause" }],
    [
      "unschedule without a key",
      "invalid_option key; 0 schedules; lists 1, counts 1, gives 1",
      { type: "unschedule", queue: "mail" },
    ],
  ];
  it.each(rows)("%s", async (_, expected, command) => {
    await stub().enqueue([job({ id: "before" })]);
    const answer = await came(
      () => stub().command(odd(command)),
      ({ affected }) => `affected ${affected}`,
    );
    const schedules = await came(
      () => stub().schedules("mail"),
      (all) => `${all.length} schedules`,
    );
    expect(`${answer}; ${schedules}; ${await health()}`).toBe(expected);
  });
});

describe("attacks RPC: settlements of a job that runs", () => {
  const rows: readonly (readonly [input: string, came: string, settlement: object])[] = [
    ["an outcome that does not exist", "invalid_option settle[0].outcome", { outcome: "exploded" }],
    ["an outcome that every object has", "invalid_option settle[0].outcome", { outcome: "constructor" }],
    ["no outcome", "invalid_option settle[0].outcome", {}],
    ["an outcome that is a number", "invalid_option settle[0].outcome", { outcome: 5 }],
    ["failed without an error", "invalid_option settle[0].error", { outcome: "failed" }],
    ["an error without a code", "invalid_option settle[0].error.code", { outcome: "failed", error: { message: "x" } }],
    [
      "an error of 3 MB",
      "invalid_option settle[0].error.message",
      { outcome: "failed", error: { code: "handler_failed", message: "x".repeat(3_000_000) } },
    ],
    [
      "details that JSON does not take",
      "invalid_option settle[0].error.details.n",
      { outcome: "failed", error: { code: "handler_failed", message: "x", details: { n: 5n } } },
    ],
    ["released without a delay", "invalid_option settle[0].delayMs", { outcome: "released" }],
    [
      "a result of 3 MB",
      "invalid_option settle[0].result",
      { outcome: "completed", result: JSON.stringify("x".repeat(3_000_000)) },
    ],
  ];
  it.each(rows)("%s", async (_, expected, settlement) => {
    await stub().enqueue([job({ id: "before", maxAttempts: 2 })]);
    await stub().exchange(round());
    const answer = await came(() => stub().exchange(round({ exchange: 2, settle: [{ token: "1.0", ...settlement }] })));
    const settled = await came(
      () => stub().exchange(round({ exchange: 3, settle: [{ token: "1.0", outcome: "completed" }] })),
      ({ lost }) => `${lost.length} lost`,
    );
    expect(`${answer}; ${settled}`).toBe(`${expected}; 0 lost`);
  });
});

describe("attacks RPC: reports of a job that runs", () => {
  const rows: readonly (readonly [input: string, came: string, report: object])[] = [
    ["a value that JSON does not take", "invalid_option progress[0].value", { value: 5n }],
    ["a map", "invalid_option progress[0].value", { value: new Map([[1, 2]]) }],
    ["a date inside", "invalid_option progress[0].value.at", { value: { at: new Date(0) } }],
    ["a function", "invalid_option progress[0].value", { value: () => 1 }],
    ["lines that are a text", "invalid_option progress[0].log", { log: "line" }],
    ["lines that are numbers", "invalid_option progress[0].log[0]", { log: [5] }],
    ["a line of a megabyte", "invalid_option progress[0].log[0]", { log: ["x".repeat(1_000_000)] }],
  ];
  it.each(rows)("%s", async (_, expected, report) => {
    await stub().enqueue([job({ id: "before" })]);
    await stub().exchange(round());
    const sent = { exchange: 2, running: ["1.0"], progress: [{ token: "1.0", ...report }] };
    const answer = await came(() => stub().exchange(round(sent)));
    const job1 = await came(
      () => stub().get("mail", "before"),
      (found) => found?.state,
    );
    expect(`${answer}; ${job1}`).toBe(`${expected}; active`);
  });
});

describe("attacks RPC: calls of a shard", () => {
  const layout = { count: 2 };
  const numbered = { sender: "outbox", number: 1, digest: "d" };
  const quota = { subject: "s", max: 5, perMs: 1_000 };
  const add = (more: object = {}) => ({ shard: 0, jobs: [job()], layout, ...more });
  const rows: readonly (readonly [input: string, came: string, verb: unknown, ask: unknown])[] = [
    ["a verb that does not exist", "bad_request: A shard has no verb drop.", "drop", {}],
    ["a verb that every object has", "bad_request: A shard has no verb constructor.", "constructor", {}],
    ["nothing", "invalid_option ask", "add", undefined],
    ["null", "invalid_option ask", "add", null],
    ["a text", "invalid_option ask", "settings", "mail"],
    ["shard −1", "invalid_option shard", "add", add({ shard: -1 })],
    ["shard NaN", "invalid_option shard", "add", add({ shard: Number.NaN })],
    ["shard 1.5", "invalid_option shard", "add", add({ shard: 1.5 })],
    ["shard 2^53", "invalid_option shard", "add", add({ shard: 2 ** 53 })],
    ["a shard that is a text", "invalid_option shard", "add", add({ shard: "0" })],
    ["no shard", "invalid_option shard", "add", add({ shard: undefined })],
    ["another shard", "invalid_option shard", "add", add({ shard: 1 })],
    ["no jobs", "invalid_option jobs", "add", add({ jobs: undefined })],
    ["jobs that are null", "invalid_option jobs[0]", "add", add({ jobs: [null] })],
    ["no layout", "invalid_option layout", "add", add({ layout: undefined })],
    ["a layout of 0", "invalid_option layout.count", "add", add({ layout: { count: 0 } })],
    ["a layout of NaN", "invalid_option layout.count", "add", add({ layout: { count: Number.NaN } })],
    ["a layout before of −1", "invalid_option layout.previous", "add", add({ layout: { count: 2, previous: -1 } })],
    ["queues that are a text", "invalid_option queues", "add", add({ queues: "mail" })],
    ["100,000 queues", "invalid_option queues", "add", add({ queues: Array.from({ length: 100_000 }, String) })],
    ["units of other jobs", "invalid_option units", "add", add({ units: [0, 1, 2] })],
    ["units that are texts", "invalid_option units[0]", "add", add({ units: ["0"] })],
    [
      "settings that are the engine's own",
      "invalid_option settings.mail.blockedNames",
      "add",
      add({ settings: { mail: { blockedNames: ["note"] } } }),
    ],
    [
      "settings of maxActive 0",
      "invalid_option settings.mail.maxActive",
      "add",
      add({ settings: { mail: { maxActive: 0 } } }),
    ],
    [
      "settings that are paused by a text",
      "invalid_option settings.mail.paused",
      "add",
      add({ settings: { mail: { paused: "yes" } } }),
    ],
    ["a recall without a request", "invalid_option request", "recall", { jobs: [], count: 2 }],
    [
      "a recall by a count that is a text",
      "invalid_option count",
      "recall",
      { jobs: [], request: numbered, count: "2" },
    ],
    ["a recall by 0", "invalid_option count", "recall", { jobs: [], request: numbered, count: 0 }],
    ["to spend without a quota", "invalid_option quota", "spend", { queues: ["mail"] }],
    ["to spend for a text", "invalid_option queues", "spend", { queues: "mail", quota }],
    ["to spend for null", "invalid_option queues[0]", "spend", { queues: [null], quota }],
    [
      "to spend for 25,000 queues",
      "invalid_option queues",
      "spend",
      { queues: Array.from({ length: 25_000 }, (_, n) => `${n}`), quota: { ...quota, max: 100_000 } },
    ],
    ["to spend a quota of nothing", "invalid_option quota.subject", "spend", { queues: ["mail"], quota: {} }],
    ["settings of a number", "invalid_option queue", "settings", { queue: 5 }],
    ["settings of nothing", "invalid_option queue", "settings", {}],
  ];
  it.each(rows)("%s", async (_, expected, verb, ask) => {
    await stub().enqueue([job({ id: "before" })]);
    const answer = await came(() => stub().shard(odd<"add">(verb), odd(ask)));
    expect(`${answer}; ${await health()}`).toBe(`${expected}; lists 1, counts 1, gives 1`);
  });
});

describe("attacks RPC: reads", () => {
  const rows: readonly (readonly [input: string, came: string, call: () => Promise<Reply<unknown>>])[] = [
    ["a job of no queue", "invalid_option queue", () => stub().get(odd(undefined), "before")],
    ["a job whose id is an object", "invalid_option id", () => stub().get("mail", odd({}))],
    ["a list of nothing", "invalid_option query", () => stub().list(odd(undefined))],
    ["a list of null", "invalid_option query", () => stub().list(odd(null))],
    ["a list without a queue", "invalid_option queue", () => stub().list(odd({}))],
    ["tags that are a text", "invalid_option tags", () => stub().list(odd({ queue: "mail", tags: "t" }))],
    ["a page without an end of bytes", "invalid_option bytes", () => stub().list({ queue: "mail", bytes: Number.NaN })],
    ["a page of NaN", "invalid_option limit", () => stub().list({ queue: "mail", limit: Number.NaN })],
    ["a state that is an object", "invalid_option state", () => stub().list(odd({ queue: "mail", state: {} }))],
    ["a cursor that is a number", "invalid_option cursor", () => stub().list(odd({ queue: "mail", cursor: 0 }))],
    ["counts of an object", "invalid_option queue", () => stub().counts(odd({}))],
    ["recurrences of null", "invalid_option queue", () => stub().schedules(odd(null))],
    ["recurrences after an object", "invalid_option after", () => stub().schedules("mail", odd({}))],
    ["children of an object", "invalid_option id", () => stub().children("mail", odd({}), "")],
    ["children after null", "invalid_option after", () => stub().children("mail", "before", odd(null))],
    ["the next wake of a text", "invalid_option queues", () => stub().nextWake(odd("mail"))],
    ["the next wake of null", "invalid_option queues[0]", () => stub().nextWake(odd([null]))],
    [
      "a job with a field of a map",
      "invalid_option jobs[0].trace",
      () => stub().enqueue([job({ trace: odd(new Map()) })]),
    ],
    [
      "a backoff of a whole number of any size",
      "invalid_option jobs[0].backoff.delayMs",
      () => stub().enqueue([job({ backoff: odd({ kind: "fixed", delayMs: 5n }) })]),
    ],
    ["a quota that is a text", "invalid_option", () => stub().enqueue([job()], undefined, odd("much"))],
  ];
  it.each(rows)("%s", async (_, expected, call) => {
    await stub().enqueue([job({ id: "before" })]);
    expect((await came(call)).startsWith(expected)).toBe(true);
    expect(await health()).toBe("lists 1, counts 1, gives 1");
  });
});
