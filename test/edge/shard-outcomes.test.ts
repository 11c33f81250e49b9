import { reset } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { QuaysideError, Queue } from "@quayside/core";
import { type NewJob, storeOfId } from "@quayside/core/engine";
import { httpDriver } from "@quayside/core/http";
import { bearerTokens, fromQueueBatch, fromScheduled, queueApi, shardedDriver, shardOfKey } from "@quayside/edge";
import { afterEach, describe, expect, it } from "vitest";
import { faulty } from "./faulty-shards.ts";
import { openSharded } from "./sharded-drivers.ts";

afterEach(reset);

let opened = 0;
let tried = 0;
const QUEUE = "mail";
const job = (more: Partial<NewJob> = {}): NewJob => ({ queue: QUEUE, name: "email", payload: "null", ...more });

/** A key of which the jobs lie in this shard of four; each call gives another. */
function keyIn(shard: number): string {
  for (;;) {
    const key = `key-${tried++}`;
    if (shardOfKey(key, 4) === shard) return key;
  }
}

/** An id as an outbox, or any store that is not split, makes them. */
const mintedElsewhere = () => `2s-mjuohs00-htgoopog00-${(tried++).toString(36).padStart(8, "a")}`;

function open() {
  const name = `outcomes-${opened++}`;
  const faults = faulty(env.BARE_QUEUE, name);
  const api = queueApi({
    object: () => faults.namespace,
    auth: bearerTokens({
      token: { scopes: ["enqueue", "work", "admin"], subject: "tests" },
      ...Object.fromEntries(
        ["ada", "bob", "cyd", "dee"].map((subject) => [
          subject,
          { scopes: ["enqueue"], subject, quota: { jobs: 10, per: "1h" } } as const,
        ]),
      ),
    }),
    shards: { [name]: 4 },
  });
  const call = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}) => {
    const response = await api.request(
      `/${name}/${path}`,
      {
        method,
        headers: { authorization: "Bearer token", "content-type": "application/json", ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      },
      env,
    );
    // biome-ignore lint/suspicious/noExplicitAny: each case says itself what it expects
    return { status: response.status, body: await response.json<any>() };
  };
  const driver = (way: "RPC" | "HTTP") =>
    way === "RPC"
      ? shardedDriver(faults.namespace, name, { shards: 4 })
      : httpDriver({ url: "", token: "token", fetch: async (url, init) => api.request(url, init, env) });
  return { name, faults, call, driver };
}

describe.each(["RPC", "HTTP"] as const)("adds that share a call, over %s", (way) => {
  it("each learns its own outcome: its ids, the error, or which of its own jobs are stored", async () => {
    const { name, faults, driver } = open();
    const queue = new Queue(name, driver(way));
    faults.set(1, "throws");
    const add = (...shards: number[]) =>
      queue.addJobs(shards.map((shard) => ({ name: "email", payload: null, id: keyIn(shard) })));
    const [good, bad, mixed, alone] = await Promise.allSettled([
      add(0, 2),
      add(1),
      add(1, 3, 1, 0),
      queue.addJob("email", null, { id: keyIn(3) }),
    ]);
    expect(good).toMatchObject({ status: "fulfilled", value: [expect.any(String), expect.any(String)] });
    expect(alone).toMatchObject({ status: "fulfilled" });
    expect(bad).toMatchObject({ status: "rejected", reason: { code: "network" } });
    expect((bad as PromiseRejectedResult).reason.details).not.toHaveProperty("stored");
    expect(mixed).toMatchObject({ status: "rejected", reason: { details: { stored: [1, 3] } } });
    faults.set(1, undefined);
    expect(await queue.counts()).toMatchObject({ waiting: 5 });
  });

  it("what a shard has stored, though its answer was lost, is not sent again", async () => {
    const { name, faults, driver } = open();
    const queue = new Queue(name, driver(way));
    for (let shard = 0; shard < 4; shard++) await queue.cancel(await queue.addJob("email", null, { id: keyIn(shard) }));
    faults.set(2, "loses");
    const add = (shard: number) => queue.addJob("email", null, { group: { key: keyIn(shard) } });
    const outcomes = await Promise.allSettled([add(0), add(2), add(3)]);
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    faults.set(2, undefined);
    expect(await queue.counts()).toMatchObject({ waiting: 3 });
  });
});

describe("over HTTP", () => {
  it("problem details say which jobs of a call are stored, by position and id", async () => {
    const { call, faults } = open();
    faults.set(1, "throws");
    const ids = [0, 1, 2, 3].map(keyIn);
    const { status, body } = await call(
      "POST",
      "jobs",
      ids.map((id) => ({ name: "email", payload: null, options: { id } })),
    );
    expect(status).toBe(502);
    expect(body).toMatchObject({ code: "network", details: { stored: [0, 2, 3], ids: [ids[0], ids[2], ids[3]] } });
  });

  it.each([
    ["POST", "pause"],
    ["POST", "resume"],
    ["POST", "clear"],
    ["POST", "retry"],
    ["DELETE", "schedules/nightly"],
  ])("problem details say which shards have done it: %s %s", async (method, path) => {
    const { call, faults } = open();
    faults.set(2, "throws");
    const { status, body } = await call(method, path);
    expect(status).toBe(502);
    expect(body).toMatchObject({ code: "network", details: { done: [0, 1, 3], shards: 4 } });
  });

  it.each(["group", "dedupe", "id"])(
    "an Idempotency-Key with other jobs is refused, wherever they lie: by %s",
    async (by) => {
      const { call, name } = open();
      const one = (shard: number) => {
        const key = keyIn(shard);
        const options = by === "group" ? { group: { key } } : by === "dedupe" ? { dedupe: { key } } : { id: key };
        return { name: "email", payload: null, options };
      };
      for (let from = 0; from < 4; from++) {
        const header = { "idempotency-key": `"${name} ${from}"` };
        const first = one(from);
        expect((await call("POST", "jobs", first, header)).status).toBe(201);
        for (let to = 0; to < 4; to++) {
          const { status, body } = await call("POST", "jobs", one(to), header);
          expect([status, body.code]).toEqual([422, "mark_conflict"]);
        }
        expect((await call("POST", "jobs", first, header)).status).toBe(201);
      }
      expect((await call("GET", "counts")).body.waiting).toBe(4);
    },
  );
});

describe("ids that were made elsewhere", () => {
  it.each(["a group", "a dedupe key", "no key"])("of jobs with %s are found, ended and deleted", async (by) => {
    const { driver } = await openSharded(4);
    for (let shard = 0; shard < 4; shard++) {
      for (const id of [mintedElsewhere(), `own-${tried++}`, `${mintedElsewhere()}2`]) {
        const key = keyIn(shard);
        const keyed =
          by === "a group"
            ? { group: { key } }
            : by === "a dedupe key"
              ? { dedupe: { key, mode: "drop" } as const }
              : {};
        const one = job({ id, ...keyed });
        expect(await driver.enqueue([one])).toEqual([{ id, deduplicated: false }]);
        expect(await driver.enqueue([one])).toEqual([{ id, deduplicated: true }]);
        expect(await driver.get(QUEUE, id)).toMatchObject({ id });
        expect(await driver.command({ type: "cancel", queue: QUEUE, id })).toMatchObject({ affected: 1 });
        expect(await driver.command({ type: "retry", queue: QUEUE, id })).toMatchObject({ affected: 1 });
        expect(await driver.command({ type: "update", queue: QUEUE, id, priority: 1 })).toMatchObject({ affected: 1 });
        expect(await driver.command({ type: "remove", queue: QUEUE, id })).toMatchObject({ affected: 1 });
        expect(await driver.get(QUEUE, id)).toBeUndefined();
      }
    }
  });

  it("spread over the shards, and a request that is sent again adds none twice", async () => {
    const { driver, alone } = await openSharded(4);
    const jobs = Array.from({ length: 80 }, () => job({ id: mintedElsewhere() }));
    const request = { sender: "outbox", number: 1, digest: "d" };
    const receipts = await driver.enqueue(jobs, request);
    expect(await driver.enqueue(jobs, request)).toEqual(receipts);
    for (let shard = 0; shard < 4; shard++) expect((await alone(shard).counts(QUEUE)).waiting).toBeGreaterThan(5);
    expect(await driver.counts(QUEUE)).toMatchObject({ waiting: 80 });
    // By whatever way they come again.
    expect((await driver.enqueue(jobs)).every(({ deduplicated }) => deduplicated)).toBe(true);
    expect(await driver.counts(QUEUE)).toMatchObject({ waiting: 80 });
  });

  it("of the first shard itself, given again, name the job that stands", async () => {
    const { driver } = await openSharded(4);
    for (let call = 0; call < 8; call++) {
      const [receipt] = await driver.enqueue([job()]);
      const id = receipt?.id as string;
      expect(await driver.enqueue([job({ id })]), `of shard ${storeOfId(id)}`).toEqual([{ id, deduplicated: true }]);
    }
    expect(await driver.counts(QUEUE)).toMatchObject({ waiting: 8 });
  });
});

it("a quota holds over all shards, for each caller, and a request that is sent again spends nothing", async () => {
  const { call } = open();
  const add = (who: string, key: string) =>
    call(
      "POST",
      "jobs",
      [1, 2].map((n) => ({ name: "email", payload: null, options: { id: `${who} ${key} ${n}` } })),
      {
        authorization: `Bearer ${who}`,
        "idempotency-key": `"${key}"`,
      },
    );
  for (const who of ["ada", "bob", "cyd", "dee"]) {
    for (let n = 0; n < 5; n++) expect((await add(who, `${n}`)).status).toBe(201);
    for (let n = 0; n < 5; n++) expect((await add(who, `${n}`)).status).toBe(201);
    expect(await add(who, "more")).toMatchObject({ status: 429, body: { code: "rate_limited" } });
  }
  expect((await call("GET", "counts")).body.waiting).toBe(40);
});

it("messages become jobs with groups, each once however often it is delivered", async () => {
  const { name, driver } = open();
  const queue = new Queue(name, driver("RPC"));
  const acked: string[] = [];
  const message = (id: string) => ({
    id,
    body: { name: "email", payload: null, group: { key: `group of ${id}` } },
    attempts: 1,
    ack: () => acked.push(id),
    retry: () => {},
  });
  const ids = Array.from({ length: 12 }, (_, n) => `message-${n}`);
  for (let delivery = 0; delivery < 2; delivery++) await fromQueueBatch({ messages: ids.map(message) } as never, queue);
  expect(acked).toHaveLength(24);
  expect(await queue.counts()).toMatchObject({ waiting: 12 });
});

it("cron triggers add jobs with groups, each once however often they fire", async () => {
  const { name, driver } = open();
  const queue = new Queue(name, driver("RPC"));
  const job = (n: number) => ({ name: "email", payload: null, group: { key: `group ${n}` } });
  for (let times = 0; times < 2; times++)
    for (let n = 0; n < 12; n++)
      await fromScheduled({ cron: "0 3 * * *", scheduledTime: 1_700_000_000_000 + n }, queue, job(n));
  expect(await queue.counts()).toMatchObject({ waiting: 12 });
});

describe("the number of shards", () => {
  it.each([
    [2, 4],
    [4, 2],
    [1, 4],
  ])("changed from %i to %i without saying so is refused, whatever is added", async (before, after) => {
    const { driver, as } = await openSharded(before);
    for (let call = 0; call < before; call++) await driver.enqueue([job()]);
    const wrong = as(after);
    for (let call = 0; call < 8; call++) {
      const one = call % 2 === 0 ? job() : job({ dedupe: { key: `k${call}`, mode: "drop" } });
      await expect(wrong.enqueue([one])).rejects.toMatchObject({
        code: "invalid_option",
        message: expect.stringContaining(`shards: { count: ${after}, previous: ${before} }`),
      });
    }
    // Said once, it is known: also to shards to which nothing has been added since.
    await as({ count: after, previous: before }).enqueue([job()]);
    const right = as(after);
    for (let call = 0; call < 8; call++) await right.enqueue([job({ id: `right-${call}` })]);
    expect((await as({ count: after, previous: before }).counts(QUEUE)).waiting).toBe(before + 9);
  });

  it("growing, a paused queue is paused in the new shards, its recurrences too, and says so", async () => {
    const { driver, as, advance } = await openSharded(2);
    await driver.enqueue([job({ id: keyIn(0) })]);
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 3, failed: 7 } });
    await driver.command({ type: "pause", queue: QUEUE });
    const next = as({ count: 4, previous: 2 });
    expect(await next.counts(QUEUE)).toMatchObject({ paused: true });
    const keys = [2, 3].map(keyIn);
    for (const key of keys)
      await next.command({ type: "schedule", queue: QUEUE, key, rule: { kind: "every", everyMs: 1_000 }, job: job() });
    expect(await next.counts(QUEUE)).toMatchObject({ paused: true });
    await advance(5_000);
    const ask = { worker: "w", liveness: "time", leaseMs: 30_000, settle: [], running: [] } as const;
    const claim = { limit: 9, queues: [{ queue: QUEUE }] };
    expect((await next.exchange({ ...ask, exchange: 1, claim })).jobs).toEqual([]);
  });

  it("growing, what is kept is the same in the new shards, paused and resumed before anything was added there", async () => {
    const { driver, as, alone } = await openSharded(2);
    await driver.enqueue([job(), job()]);
    await driver.command({ type: "configure", queue: QUEUE, keep: { completed: 3, failed: 7 } });
    const next = as({ count: 4, previous: 2 });
    await next.command({ type: "pause", queue: QUEUE });
    await next.command({ type: "resume", queue: QUEUE });
    for (const shard of [2, 3]) {
      await next.enqueue([job({ id: keyIn(shard) })]);
      expect(await alone(shard).shard("settings", { queue: QUEUE })).toMatchObject({
        keep: { completed: 3, failed: 7 },
      });
    }
  });

  it("while versions mix, a recurrence is there once, whoever sets it and in whatever order", async () => {
    const { driver: old, as } = await openSharded(2);
    const next = as({ count: 4, previous: 2 });
    const keys = [0, 1, 2, 3].map(keyIn);
    for (const key of keys) {
      const set = {
        type: "schedule",
        queue: QUEUE,
        key,
        rule: { kind: "every", everyMs: 60_000 },
        job: job(),
      } as const;
      for (const driver of [old, next, old, as(2), next]) await driver.command(set);
    }
    expect((await next.schedules(QUEUE)).map(({ key }) => key)).toEqual([...keys].sort());
    expect(await next.counts(QUEUE)).toMatchObject({ delayed: 4 });
  });

  it.each([[{ count: 1, previous: 4 }], [{ count: 2, previous: 4 }], [{ count: 4, previous: 1 }]])(
    "limits over the queue are refused while it changes: %o",
    async (shards) => {
      const { as } = await openSharded(4);
      for (const limit of [{ maxActive: 1 }, { rateLimit: { max: 1, perMs: 1_000 } }])
        await expect(as(shards).command({ type: "configure", queue: QUEUE, ...limit })).rejects.toBeInstanceOf(
          QuaysideError,
        );
    },
  );
});
