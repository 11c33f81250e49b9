import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { type Driver, type JobState, Queue } from "@quayside/core";
import type { ExchangeRequest, NewJob } from "@quayside/core/engine";
import { queueStub, StubDriver, shardedDriver } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";
import { call, problem } from "./api-call.ts";

afterEach(reset);

const job = (queue: string, n: number): NewJob => ({ queue, name: "email", payload: JSON.stringify(`${queue} ${n}`) });

/** An object that holds two queues, `a` and `b`, each with jobs that wait, have failed and are completed. */
async function twoQueues(): Promise<StubDriver> {
  const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "a"));
  for (const queue of ["a", "b"]) {
    await driver.enqueue([0, 1, 2, 3].map((n) => job(queue, n)));
    const exchange = { worker: `worker-${queue}`, liveness: "time", leaseMs: 30_000, running: [] } as const;
    const { jobs } = await driver.exchange({
      ...exchange,
      exchange: 1,
      settle: [],
      claim: { limit: 2, queues: [{ queue }] },
    });
    const [first, second] = jobs.map(({ token }) => token) as [string, string];
    const error = { code: "handler_failed", message: "failed" } as const;
    await driver.exchange({
      ...exchange,
      exchange: 2,
      settle: [
        { token: first, outcome: "completed" },
        { token: second, outcome: "failed", error },
      ],
      claim: { limit: 0, queues: [] },
    });
  }
  return driver;
}

const cursorOf = (parts: unknown): string => encodeURIComponent(JSON.stringify(parts));

/** Cursors that no list of queue `a` in this state has answered. */
const FORGED: readonly (readonly [what: string, parts: unknown, state?: JobState])[] = [
  ["a stretch before the first", [-1, "", "", 0, 0, 0, ""]],
  ["a stretch beyond the last", [6, "ready", "a", 0, 0, 0, ""]],
  ["a stretch beyond the last, without a key", [99]],
  ["a stretch that is no whole number", [0.5, "ready", "a", 0, 0, 0, ""]],
  ["a stretch of a state's list that has only one", [1, "finished", "a/failed", 0, 0, 0, ""], "failed"],
  ["another queue", [1, "ready", "b", 0, 0, 0, ""]],
  ["a lane before the queue's", [1, "ready", "", 0, 0, 0, ""]],
  ["another place", [1, "finished", "a/failed", 0, 0, 0, ""]],
  ["another queue's ended jobs", [4, "finished", "b/failed", 0, 0, 0, ""]],
  ["another state", [0, "finished", "a/completed", 0, Number.MAX_SAFE_INTEGER, 0, ""], "failed"],
  ["another queue's failed jobs", [0, "finished", "b/failed", 0, Number.MAX_SAFE_INTEGER, 0, ""], "failed"],
  ["another queue's running jobs", [0, "ready", "b", 0, 0, 0, ""], "active"],
  ["another queue's blocked jobs", [1, "blocked", "b/name/x", 0, 0, 0, ""], "waiting"],
  ["a key that is too short", [1, "ready", "a", 0]],
  ["a key that is too long", [1, "ready", "a", 0, 0, 0, "", 0]],
  ["numbers as texts", [1, "ready", "a", "0", "0", "0", ""]],
  ["texts as numbers", [1, 0, 0, 0, 0, 0, 0]],
  ["numbers beyond all bounds", [1, "ready", "a", 1e300, 0, 0, ""]],
  ["nothing", []],
  ["an object", { length: 7 }],
  ["null", null],
];

describe("R32: a cursor that no list has answered", () => {
  it.each(FORGED.map(([what, parts, state]) => ({ what, parts, state })))(
    "of $what is refused, and named",
    async ({ parts, state }) => {
      const driver = await twoQueues();
      const cursor = cursorOf(parts);
      const query = `cursor=${encodeURIComponent(cursor)}${state ? `&state=${state}` : ""}`;
      for (const token of ["token-work", "token-admin"] as const) {
        const refusal = await problem(`/a/jobs?${query}`, { token });
        expect(refusal).toMatchObject({ status: 400, code: "invalid_option", details: { option: "cursor" } });
      }
      await expect(driver.list({ queue: "a", cursor, ...(state && { state }) })).rejects.toMatchObject({
        code: "invalid_option",
        details: { option: "cursor" },
      });
      expect((await call("/a/counts")).body).toMatchObject({ waiting: 2, completed: 1, failed: 1 });
    },
  );

  it("but of a list of the same queue and state is taken, of whichever stretch", async () => {
    const driver = await twoQueues();
    for (const state of [undefined, "waiting", "failed", "completed"] as const) {
      const seen: unknown[] = [];
      let cursor: string | undefined;
      do {
        const page = await driver.list({ queue: "a", limit: 1, ...(state && { state }), ...(cursor && { cursor }) });
        seen.push(...page.jobs.map(({ payload }) => payload));
        cursor = page.cursor;
      } while (cursor !== undefined);
      const whole = await driver.list({ queue: "a", ...(state && { state }) });
      expect(seen).toEqual(whole.jobs.map(({ payload }) => payload));
    }
  });
});

const round = { worker: "worker", leaseMs: 30_000, exchange: 1, settle: [], running: [], claim: { limit: 1 } };
const many = <T>(count: number, one: T): T[] => new Array<T>(count).fill(one);
const error = { code: "x", message: "" };

/** Rounds that say more than a worker can have to say, with the field that a refusal names. */
const TOO_LONG: readonly (readonly [what: string, body: object, path: string])[] = [
  ["250,000 running tokens", { ...round, running: many(250_000, "1") }, "running"],
  ["20,001 running tokens", { ...round, running: many(20_001, "1.0") }, "running"],
  ["20,001 settlements", { ...round, settle: many(20_001, { token: "1", outcome: "cancelled" }) }, "settle"],
  ["20,001 reports", { ...round, progress: many(20_001, { token: "1" }) }, "progress"],
  ["a token of 900,000 characters", { ...round, running: ["1".repeat(900_000)] }, "running[0]"],
  [
    "a settlement of a token too long",
    { ...round, settle: [{ token: "1".repeat(65), outcome: "failed", error }] },
    "settle[0].token",
  ],
  ["250,000 running tokens that are numbers", { ...round, running: many(250_000, 1) }, "running"],
  ["250,000 settlements that are none", { ...round, settle: many(250_000, 1) }, "settle"],
  ["250,000 names that are none", { ...round, claim: { limit: 1, names: many(250_000, 1) } }, ""],
];

describe("R32: an exchange that says too much", () => {
  it.each(TOO_LONG)("of %s is refused with 400, and writes nothing", async (_, body, path) => {
    const object = env.BARE_QUEUE.getByName("mail");
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
    await driver.enqueue([job("mail", 1)]);
    const before = await object.usage();
    const refusal = await problem("/mail/exchange", { body });
    expect(refusal).toMatchObject({ status: 400, code: "bad_request" });
    expect(refusal.errors?.[0]?.path).toBe(path);
    expect(await object.usage()).toEqual(before);
  });

  it("of 250,000 fields that are none, in an add, is refused with 400", async () => {
    const options = { tags: many(250_000, 1) };
    expect(await problem("/mail/jobs", { body: { name: "email", options } })).toMatchObject({ status: 400 });
    expect(
      await problem("/mail/jobs", { body: { name: "email", options: { backoff: many(250_000, {}) } } }),
    ).toMatchObject({
      status: 400,
    });
  });

  it.each<[option: string, part: Partial<ExchangeRequest>]>([
    ["running", { running: many(250_000, "1") }],
    ["settle", { settle: many(250_000, { token: "1", outcome: "cancelled" }) }],
    ["progress", { progress: many(250_000, { token: "1" }) }],
    ["running[0]", { running: ["1".repeat(3_000_000)] }],
    ["claim.queues", { claim: { limit: 1, queues: Array.from({ length: 150_000 }, (_, n) => ({ queue: `${n}` })) } }],
  ])("over RPC is refused, and named: %s", async (option, part) => {
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
    const request = { ...round, liveness: "time" as const, claim: { limit: 1, queues: [{ queue: "mail" }] }, ...part };
    await expect(driver.exchange(request)).rejects.toMatchObject({ code: "invalid_option", details: { option } });
  });

  it("is taken up to the most that a worker can hold", async () => {
    const running = Array.from({ length: 20_000 }, (_, n) => `1.${n}`);
    const { status, body } = await call("/mail/exchange", { body: { ...round, running } });
    expect(status).toBe(200);
    expect(body.lost).toHaveLength(20_000);
  });

  it("of more jobs to add than the largest flow has over RPC is refused, and stores nothing", async () => {
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
    const jobs = Array.from({ length: 10_002 }, (_, n) => job("mail", n));
    const refused = { code: "invalid_option", details: { option: "jobs" } };
    await expect(driver.enqueue(jobs)).rejects.toMatchObject(refused);
    expect(await driver.counts("mail")).toMatchObject({ waiting: 0 });
    expect(await driver.enqueue(jobs.slice(1))).toHaveLength(10_001);
  });

  it("of queues to look after over RPC is refused, and named", async () => {
    const driver = new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));
    const names = Array.from({ length: 150_000 }, (_, n) => `${n}`);
    await expect(driver.nextWake(names)).rejects.toMatchObject({
      code: "invalid_option",
      details: { option: "queues" },
    });
  });
});

describe("R42: counts of more than 10,000 delayed jobs", () => {
  /** Adds so many jobs to queue `mail`, a thousand in a call. */
  const fill = async (driver: Driver, count: number, more: Partial<NewJob>) => {
    for (let added = 0; added < count; added += 1_000)
      await driver.enqueue(
        Array.from({ length: Math.min(1_000, count - added) }, (_, n) => ({ ...job("mail", added + n), ...more })),
      );
  };
  const stub = () => new StubDriver(() => queueStub(env.BARE_QUEUE, "mail"));

  it("are true, in every priority, beside jobs that wait, and read within bounds at a time", async () => {
    const driver = stub();
    for (const priority of [0, 1, 2]) await fill(driver, 7_000, { delayMs: 3_600_000, priority });
    await fill(driver, 300, {});
    expect(await driver.counts("mail")).toMatchObject({ waiting: 300, delayed: 21_000 });
    await env.BARE_QUEUE.getByName("mail").advance(3_600_000);
    expect(await driver.counts("mail")).toMatchObject({ waiting: 21_300, delayed: 0 });
  }, 30_000);

  it("are true while the queue is paused, as delayedSize() is", async () => {
    const queue = new Queue("mail", stub());
    await fill(queue.driver, 10_001, { delayMs: 3_600_000 });
    await queue.pause();
    expect(await queue.counts()).toMatchObject({ waiting: 0, delayed: 10_001, paused: true });
    expect(await queue.delayedSize()).toBe(10_001);
  }, 30_000);

  it("are true where one shard of several holds them", async () => {
    const driver = shardedDriver(env.BARE_QUEUE, "mail", { shards: 2 });
    await fill(driver, 10_001, { delayMs: 3_600_000, group: { key: "one" } });
    expect(await driver.counts("mail")).toMatchObject({ waiting: 0, delayed: 10_001 });
  }, 30_000);

  it("are true of jobs that wait for their backoff", async () => {
    const driver = stub();
    await fill(driver, 11_000, {});
    const error = { code: "handler_failed", message: "failed" } as const;
    let settle: ExchangeRequest["settle"] = [];
    for (let exchange = 1; exchange <= 12; exchange++) {
      const claim = { limit: exchange <= 11 ? 1_000 : 0, queues: [{ queue: "mail" }] };
      const { jobs } = await driver.exchange({ ...round, liveness: "time", exchange, settle, claim });
      settle = jobs.map(({ token }) => ({ token, outcome: "failed", retryMs: 3_600_000, error }));
    }
    expect(await driver.counts("mail")).toMatchObject({ waiting: 0, delayed: 11_000, active: 0 });
  }, 30_000);
});

describe("R42: a queue that was never used", () => {
  const stored = () => env.BARE_QUEUE.getByName("unused").stored();

  it("has nothing stored after its counts, lists, schedules and looks", async () => {
    for (const path of ["counts", "jobs", "schedules", "next-wake", "jobs/none"]) await call(`/unused/${path}`);
    expect(await stored()).toBe("[]");
  });

  it.each([
    "POST jobs/none/cancel",
    "POST jobs/none/retry",
    "POST jobs/none/promote",
    "DELETE jobs/none",
    "DELETE schedules/none",
    "POST retry",
    "POST clear",
    "POST resume",
  ])("has nothing stored after %s", async (request) => {
    const [method, path] = request.split(" ") as [string, string];
    expect((await call(`/unused/${path}`, { method })).status).toBeLessThan(405);
    expect(await stored()).toBe("[]");
  });

  it("has nothing stored after a worker found nothing in it, and somebody watched it", async () => {
    expect(await call("/unused/exchange", { body: round })).toMatchObject({ status: 200, body: { jobs: [] } });
    const changes = await queueStub(env.BARE_QUEUE, "unused").events();
    await changes.cancel();
    expect(await stored()).toBe("[]");
  });
});
