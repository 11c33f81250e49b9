import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { defineJobs, defineQueue, Queue, type QueueDefinition, type } from "@quayside/core";
import { cron } from "@quayside/core/cron";
import {
  bearerTokens,
  durableQueue,
  edgeQueue,
  type QueueNamespace,
  queueApi,
  StubDriver,
  shardOfKey,
} from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";
import { call } from "./api-call.ts";

afterEach(reset);

const jobs = defineJobs({
  email: { input: type<{ to: string }>(), output: type<string>(), maxAttempts: 4 },
  report: { input: type<{ kind: string }>() },
});
const letters = defineJobs({ letter: { input: type<{ pages: number }>() } });

const mail = defineQueue("mail", {
  jobs,
  maxActive: 1,
  keep: { completed: 3 },
  schedules: { nightly: { cron: "0 3 * * *", name: "report", payload: { kind: "daily" } } },
});
const post = defineQueue("post", { jobs: letters });

const ran: string[] = [];
const classOf = (queues: readonly QueueDefinition[] = [mail, post]) =>
  durableQueue<Cloudflare.Env>()({
    queues: queues as readonly [typeof mail, typeof post],
    cron,
    handlers: {
      email: ({ to }, { env: own }) => `${to} ${own === env}`,
      report: ({ kind }) => void ran.push(kind),
      letter: ({ pages }) => void ran.push(`${pages} pages`),
    },
  });

const inObject = <T>(
  name: string,
  use: (
    queueOf: <Jobs extends object>(definition: QueueDefinition<Jobs>) => Queue<Jobs>,
    rows: () => Promise<number>,
  ) => Promise<T>,
  queues?: readonly QueueDefinition[],
): Promise<T> =>
  runInDurableObject(env.SMOKE.getByName(name), async (_, ctx) => {
    const object = new (classOf(queues))(ctx, env);
    const driver = new StubDriver(() => object);
    return use(
      (definition) => new Queue(definition, driver),
      async () => (await object.usage()).rowsWritten,
    );
  });

describe("an object of defined queues", () => {
  it("has the jobs, settings and recurrences of each queue that it holds", async () => {
    await inObject("mail", async (queueOf) => {
      const queue = queueOf(mail);
      expect(await queue.waitFor(await queue.addJob("email", { to: "ada" }))).toBe("ada true");
      expect(await queue.schedules()).toMatchObject([{ key: "nightly", name: "report", payload: { kind: "daily" } }]);
      await Promise.all(["b", "c", "d", "e"].map(async (to) => queue.waitFor(await queue.addJob("email", { to }))));
      expect(await queue.counts()).toMatchObject({ completed: 3 });
      const other = queueOf(post);
      await other.addJob("letter", { pages: 2 });
      await vi.waitFor(() => expect(ran).toContain("2 pages"));
      expect(await other.schedules()).toEqual([]);
    });
  });

  it("writes nothing when it starts again", async () => {
    const rows = () =>
      inObject("again", async (queueOf, written) => {
        await queueOf(mail).resume();
        return written();
      });
    const first = await rows();
    const second = await rows();
    expect(second).toBeLessThan(first);
    expect(await rows()).toBe(second);
    expect(second).toBe(
      await inObject(
        "again",
        async (queueOf, written) => {
          await queueOf(mail).resume();
          return written();
        },
        [defineQueue("mail", { jobs }), post],
      ),
    );
  });

  it("of a split queue, keeps each recurrence in the object of its key", async () => {
    const keys = Array.from({ length: 12 }, (_, n) => `every-${n}`);
    const split = defineQueue("split", {
      jobs,
      shards: 3,
      schedules: Object.fromEntries(
        keys.map((key) => [key, { every: "1h", name: "report", payload: { kind: key } } as const]),
      ),
    });
    for (const [shard, name] of ["split", "split#1", "split#2"].entries()) {
      const kept = await inObject(
        name,
        async (queueOf) => {
          const queue = queueOf(split);
          await queue.resume();
          return (await queue.schedules()).map(({ key }) => key);
        },
        [split, post],
      );
      expect(kept.sort()).toEqual(keys.filter((key) => shardOfKey(key, 3) === shard).sort());
    }
  });

  it.each([
    ["a queue twice", { queues: [mail, mail] }, /each queue once/],
    ["jobs beside queues", { queues: [mail], jobs }, /jobs/],
    ["a wrong number of shards", { queues: [defineQueue("x", { shards: 0 })] }, /shards/],
    ["a handler of no queue", { queues: [mail], handlers: { fax: () => {} } }, /fax/],
    [
      "a job that two queues define",
      { queues: [mail, defineQueue("other", { jobs: defineJobs({ email: {} }) })] },
      /email/,
    ],
  ])("refuses %s", (_, options, message) => {
    expect(() => durableQueue(options as object)).toThrow(message);
    expect(() => durableQueue()(options as never)).toThrow(message);
  });
});

it("edgeQueue takes name, jobs and shards of a definition", async () => {
  const split = defineQueue("split", { jobs, shards: 2 });
  const queue = edgeQueue(env.BARE_QUEUE, split);
  const ids = await queue.addJobs(
    Array.from({ length: 20 }, (_, n) => ({ name: "email", payload: { to: `${n}` }, id: `job-${n}` })),
  );
  expect(await queue.get(ids[0] as (typeof ids)[number])).toMatchObject({ maxAttempts: 4 });
  const first = new Queue(split, new StubDriver(() => env.BARE_QUEUE.getByName("split") as never));
  const there = (await first.counts()).waiting;
  expect(there).toBeGreaterThan(0);
  expect(there).toBeLessThan(20);
  expect(await queue.counts()).toMatchObject({ waiting: 20 });
});

describe("an API of defined queues", () => {
  const asked: string[] = [];
  const watched = {
    idFromName(name: string) {
      asked.push(name);
      return env.BARE_QUEUE.idFromName(name);
    },
    get: (id: DurableObjectId) => env.BARE_QUEUE.get(id),
  };
  const app = queueApi({
    queues: [mail, defineQueue("post", { jobs: letters, shards: 2 })],
    object: (_: Cloudflare.Env) => watched,
    auth: bearerTokens({ "token-all": { subject: "all", scopes: ["admin", "enqueue", "work"] } }),
  });

  it("serves these queues with the jobs of each", async () => {
    const body = { name: "email", payload: { to: "ada" } };
    expect((await call("/mail/jobs", { app, body })).status).toBe(201);
    expect(await call("/post/jobs", { app, body })).toMatchObject({ status: 422, body: { code: "unknown_job" } });
    expect((await call("/post/jobs", { app, body: { name: "letter", payload: { pages: 1 } } })).status).toBe(201);
    expect((await call("/post/counts", { app })).body).toMatchObject({ waiting: 1 });
    expect(new Set(asked)).toEqual(new Set(["mail", "post", "post#1"]));
  });

  it("answers 404 for every other queue, and asks no object", async () => {
    asked.length = 0;
    const body = { name: "email", payload: { to: "ada" } };
    for (const [path, options] of [
      ["/fax/jobs", { body }],
      ["/fax/jobs", {}],
      ["/fax/counts", {}],
      ["/fax/events", {}],
      ["/fax/pause", { method: "POST" }],
      ["/post%231/jobs", { body }],
      ["/toString/counts", {}],
    ] as const)
      expect(await call(path, { app, ...options }), path).toMatchObject({
        status: 404,
        body: { code: "queue_not_found" },
      });
    expect((await call("/fax/counts", { app, token: "no such token" })).status).toBe(401);
    expect(asked).toEqual([]);
  });

  it("describes the jobs of all queues, and refuses jobs or shards beside them", async () => {
    const { components } = (await call("/openapi.json", { app })).body;
    const titles = components.schemas.NewJob.oneOf.map(({ title }: { title: string }) => title);
    expect(titles).toEqual(["email", "report", "letter"]);
    const object = (_: Cloudflare.Env) => env.BARE_QUEUE as unknown as QueueNamespace;
    expect(() => queueApi({ object, queues: [mail], jobs })).toThrow(/jobs/);
    expect(() => queueApi({ object, queues: [mail], shards: { mail: 2 } })).toThrow(/shards/);
  });
});
