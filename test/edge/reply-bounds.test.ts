import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Driver, type JobPage, Queue } from "@quayside/core";
import type { ExchangeRequest, NewJob, StoredJob } from "@quayside/core/engine";
import { HttpDriver, httpDriver } from "@quayside/core/http";
import { queueStub, type ShardedDriver, StubDriver, shardedDriver } from "@quayside/edge";
import { SqlStore } from "@quayside/edge/engine";
import { afterEach, describe, expect, inject, it, vi } from "vitest";
import { call } from "./api-call.ts";
import { corsApi } from "./queues.ts";

afterEach(reset);

const MIB = 1024 * 1024;
const bytesOf = (value: unknown): number => new TextEncoder().encode(JSON.stringify(value)).length;
/** JSON text of so many bytes. */
const text = (bytes: number): string => JSON.stringify("x".repeat(bytes - 2));
const range = (count: number): number[] => Array.from({ length: count }, (_, n) => n);
const large = (n: number): NewJob => ({ queue: "mail", name: "large", id: `job-${n}`, payload: text(128 * 1024) });

const stub = () => new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
const http = () =>
  httpDriver({
    url: "https://queues.example",
    token: "token-all",
    fetch: (url, init) =>
      Promise.resolve(corsApi.request(String(url).slice("https://queues.example".length), init, env)),
  });
const split = (): ShardedDriver => shardedDriver(env.BARE_QUEUE, "mail", { shards: 4 });

/** The jobs of one call of the driver may not be larger than a call over RPC. */
async function add(to: Driver, jobs: readonly NewJob[], step = 100): Promise<void> {
  const driver = to instanceof HttpDriver ? stub() : to;
  for (let from = 0; from < jobs.length; from += step) await driver.enqueue(jobs.slice(from, from + step));
}

/** All pages of a list, each of at most 8 MiB. */
async function pages(driver: Driver, query: object = {}): Promise<readonly JobPage[]> {
  const found: JobPage[] = [];
  let cursor: string | undefined;
  do {
    const page = await driver.list({ queue: "mail", limit: 1_000, ...query, ...(cursor !== undefined && { cursor }) });
    expect(bytesOf(page)).toBeLessThan(8.1 * MIB);
    expect(page.jobs.length).toBeGreaterThan(0);
    found.push(page);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

const round = (worker: string, exchange: number, more: Partial<ExchangeRequest> = {}): ExchangeRequest => ({
  worker,
  liveness: "time",
  leaseMs: 30_000,
  exchange,
  settle: [],
  running: [],
  claim: { limit: 1_000, queues: [{ queue: "mail" }] },
  ...more,
});

const DRIVERS: readonly (readonly [string, () => Driver])[] = [
  ["over HTTP", http],
  // HTTP calls RPC, and shards put the same pages together.
  ...(inject("hostile").nightly
    ? ([
        ["over RPC", stub],
        ["over four shards", split],
      ] as const)
    : []),
];

describe.each(DRIVERS)("R31: 260 jobs of 128 KiB %s", (_, open) => {
  it("are listed in pages of at most 8 MiB, each once", async () => {
    const driver = open();
    await add(driver, range(260).map(large), 7);
    const found = await pages(driver);
    const ids = found.flatMap(({ jobs }) => jobs.map(({ id }) => id));
    expect(new Set(ids)).toEqual(new Set(range(260).map((n) => `job-${n}`)));
    expect(ids).toHaveLength(260);
    expect(found.length).toBeLessThan(8);
  });

  it("are claimed in replies of at most 8 MiB, which carry all that they lease, the same when asked again", async () => {
    const driver = open();
    await add(driver, range(260).map(large), 7);
    const tokens: string[] = [];
    for (let exchange = 1; tokens.length < 260; exchange++) {
      const request = round("worker", exchange, { running: [...tokens] });
      const reply = await driver.exchange(request);
      expect(bytesOf(reply)).toBeLessThan(8.1 * MIB);
      expect(reply.jobs.length).toBeGreaterThan(0);
      tokens.push(...reply.jobs.map(({ token }) => token));
      expect(await driver.counts("mail")).toMatchObject({ active: tokens.length, waiting: 260 - tokens.length });
      if (tokens.length < 260) expect(reply.nextWakeMs).toBe(0);
      expect((await driver.exchange(request)).jobs).toEqual(reply.jobs);
    }
    expect(new Set(tokens).size).toBe(260);
  });

  it("are taken back from a worker that is gone in replies of at most 8 MiB", async () => {
    const driver = open();
    await add(driver, range(130).map(large), 7);
    const lost: string[] = [];
    for (let exchange = 1; lost.length < 130; exchange++)
      lost.push(
        ...(await driver.exchange(round("gone", exchange, { running: [...lost] }))).jobs.map(({ token }) => token),
      );
    const look = (exchange: number) =>
      driver.exchange(round("rescuer", exchange, { claim: { limit: 0, queues: [{ queue: "mail" }] } }));
    const ids: string[] = [];
    for (let exchange = 1; ids.length < 130 && exchange < 50; exchange++) {
      const reply = await look(exchange);
      expect(bytesOf(reply)).toBeLessThan(9 * MIB);
      ids.push(...reply.interrupted.map(({ id }) => id));
      // Its silence is watched from the first look to the second.
      if (exchange < 3)
        for (const name of ["mail", "mail#1", "mail#2", "mail#3"]) await env.BARE_QUEUE.getByName(name).advance(60_000);
      else if (ids.length < 130) expect(reply.nextWakeMs).toBe(0);
    }
    expect([ids.length, new Set(ids).size]).toEqual([130, 130]);
  });
});

describe("R31: a worker with room for 300", () => {
  it.each(DRIVERS)("runs 260 jobs of 128 KiB %s", async (_, open) => {
    const driver = open();
    await add(driver, range(260).map(large), 7);
    const ran = new Set<string>();
    const queue = new Queue("mail", driver);
    queue.on("job:large", (_, { id }) => void ran.add(id));
    await queue.drain({ concurrency: 300 });
    expect(ran.size).toBe(260);
  });
});

/** Adds a parent and so many children, and ends these with a result of so many bytes. */
async function family(driver: Driver, children: number, bytes: number): Promise<void> {
  const flow = (n: number): NewJob => ({
    queue: "mail",
    name: "child",
    id: `child-${n}`,
    payload: "{}",
    flow: { parentRef: "parent", onFailure: "ignore" },
  });
  await driver.command({ type: "configure", queue: "mail", keep: { completed: 0 } });
  await driver.enqueue([
    { queue: "mail", name: "parent", id: "parent", payload: "{}", flow: { ref: "parent" } },
    ...range(children).map(flow),
  ]);
  const result = text(bytes);
  let settle: ExchangeRequest["settle"] = [];
  for (let exchange = 1, left = children; left > 0 || settle.length > 0; exchange++) {
    const limit = Math.min(left, Math.floor((16 * MIB) / bytes), 2_000);
    const { jobs } = await driver.exchange(
      round("child", exchange, { settle, claim: { limit, queues: [{ queue: "mail" }] } }),
    );
    settle = jobs.map(({ token }) => ({ token, outcome: "completed", result }));
    left -= jobs.length;
  }
}

describe("R31: a parent whose children have results of 36 MiB together", () => {
  it("is claimed with a part of them, and the rest is read in pages", async () => {
    const driver = stub();
    await family(driver, 300, 120 * 1024);
    const first = await driver.exchangePage(round("parent", 1));
    expect(bytesOf(first)).toBeLessThan(8.1 * MIB);
    const [parent] = first.jobs;
    expect(parent?.children?.length).toBeGreaterThan(50);
    const ids = parent?.children?.map(({ id }) => id) ?? [];
    for (let after = parent?.moreChildren; after !== undefined; ) {
      const path = `/mail/jobs/parent/children?after=${encodeURIComponent(after)}`;
      const { status, body } = await call(path, { token: "token-work" });
      expect(status).toBe(200);
      expect(bytesOf(body)).toBeLessThan(8.1 * MIB);
      ids.push(...body.children.map(({ id }: { id: string }) => id));
      after = body.moreChildren;
    }
    expect(new Set(ids)).toEqual(new Set(range(300).map((n) => `child-${n}`)));
    expect(ids).toHaveLength(300);
  });

  it.each(DRIVERS)("runs with all of them %s", async (_, open) => {
    const driver = open();
    await family(open === http ? stub() : driver, 300, 120 * 1024);
    const queue = new Queue("mail", driver);
    const seen = vi.fn();
    queue.on("job:parent", (_, ctx) => void seen(new Set(ctx.children().map(({ id }) => id)).size));
    await queue.drain({ concurrency: 1 });
    expect(seen.mock.calls).toEqual([[300]]);
  });
});

describe("R32: a parent of 10,000 children", () => {
  it("is claimed within 10,000 records, and runs with all of them", async () => {
    const driver = stub();
    await family(driver, 10_000, 100);
    const object = env.BARE_QUEUE.getByName("mail");
    const before = (await object.usage()).rowsRead;
    const first = await driver.exchangePage(round("parent", 1));
    expect((await object.usage()).rowsRead - before).toBeLessThan(10_000);
    expect(first.jobs[0]?.moreChildren).toBeDefined();
    expect((await driver.exchange(round("parent", 1))).jobs[0]?.children).toHaveLength(10_000);
  }, 60_000);
});

describe("R31: what is stored beside payloads", () => {
  it("is counted too: logs and progress of jobs that failed", async () => {
    const driver = stub();
    const count = 40;
    await driver.enqueue(range(count).map((n) => ({ queue: "mail", name: "chatty", id: `job-${n}`, payload: "{}" })));
    for (const n of range(count)) {
      const claim = { limit: 1, queues: [{ queue: "mail" }] };
      const { jobs } = await driver.exchange(round(`worker-${n}`, 1, { claim }));
      const { token } = jobs[0] as { token: string };
      const log = range(100).map(() => "x".repeat(4_000));
      const error = { code: "handler_failed", message: "failed" } as const;
      await driver.exchange(
        round(`worker-${n}`, 2, {
          progress: [{ token, log }],
          settle: [{ token, outcome: "failed", error }],
          claim: { ...claim, limit: 0 },
        }),
      );
    }
    const found = await pages(driver, { state: "failed" });
    expect(found.flatMap(({ jobs }) => jobs)).toHaveLength(count);
    expect(found.length).toBeGreaterThan(1);
  });

  it("is counted too: tags that an older version stored, of a megabyte each", async () => {
    const driver = stub();
    const tags = range(30).map((n) => `${n}`.padEnd(30_000, "x"));
    await driver.enqueue(range(40).map((n) => ({ ...large(n), payload: "{}" })));
    await runInDurableObject(env.BARE_QUEUE.getByName("mail"), (_, { storage }) =>
      new SqlStore(storage).transact(function* () {
        const range = { from: ["ready"], to: ["ready\u0001"] };
        const jobs = (yield { op: "scan", collection: "jobs", ...range, limit: 100 }) as readonly StoredJob[];
        yield { op: "put", collection: "jobs", records: jobs.map((job) => ({ ...job, tags })) };
      }),
    );
    const found = await pages(http());
    expect(found.flatMap(({ jobs }) => jobs)).toHaveLength(40);
    expect(await pages(driver, { tags: tags.slice(0, 1) })).toHaveLength(found.length);
  });

  it("refuses such tags from outside", async () => {
    const { status, body } = await call("/mail/jobs", {
      body: { name: "email", options: { tags: ["x".repeat(129)] } },
    });
    expect(status).toBe(400);
    expect(body.errors[0].path).toBe("options.tags[0]");
  });

  it("counts characters as bytes of UTF-8", async () => {
    const driver = stub();
    const payload = JSON.stringify("€".repeat(43_000));
    await add(
      driver,
      range(130).map((n) => ({ ...large(n), payload })),
      20,
    );
    expect((await pages(driver)).flatMap(({ jobs }) => jobs)).toHaveLength(130);
  });
});

describe("R31: 300 recurrences with payloads of 36 MiB together", () => {
  it.each(DRIVERS)(
    "are listed whole %s, and in pages of 8 MiB",
    async (_, open) => {
      const driver = open();
      const job: NewJob = { queue: "mail", name: "large", payload: text(120 * 1024) };
      const keys = range(300).map((n) => `key-${n}`);
      for (const key of keys)
        await driver.command({
          type: "schedule",
          queue: "mail",
          key,
          rule: { kind: "every", everyMs: 3_600_000 },
          job,
        });
      const all = await driver.schedules("mail");
      expect(all.map(({ key }) => key)).toEqual([...keys].sort());
      if (open === split) return;
      const { status, body } = await call("/mail/schedules");
      expect(status).toBe(200);
      expect(bytesOf(body)).toBeLessThan(8.1 * MIB);
      const next = await call(`/mail/schedules?after=${body.at(-1).key}`);
      expect(next.body[0].key).toBe(all[body.length]?.key);
    },
    30_000,
  );
});
