import { reset, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { Queue } from "@quayside/core";
import { type DurableQueueOptions, durableQueue, edgeQueue, queueStub, StubDriver } from "@quayside/edge";
import { afterEach, describe, expect, it, vi } from "vitest";

afterEach(reset);

interface Jobs {
  email: string;
}

/** Starts an object of a class with these options, over the storage of the object with this name, and calls `use`. */
const start = (
  name: string,
  options: DurableQueueOptions<Jobs, Cloudflare.Env>,
  use: (queue: Queue<Jobs>, rowsWritten: () => Promise<number>) => Promise<void>,
) =>
  runInDurableObject(env.SMOKE.getByName(name), async (_, ctx) => {
    const object = new (durableQueue<Jobs, Cloudflare.Env>(options))(ctx, env);
    const queue = new Queue<Jobs>("mail", new StubDriver(() => object));
    await use(queue, async () => (await object.usage()).rowsWritten);
  });

describe("the options of an object's class", () => {
  it("maxActive and keep are stored with the first job of a queue", async () => {
    const started: string[] = [];
    let finish = () => {};
    const handlers = {
      email: (to: string) => {
        started.push(to);
        return new Promise<void>((resolve) => (finish = resolve));
      },
    };
    await start("limited", { handlers, maxActive: 1, keep: { completed: 1 } }, async (queue) => {
      await queue.addJobs(["a", "b", "c"].map((payload) => ({ name: "email", payload })));
      for (const to of ["a", "b", "c"]) {
        await vi.waitFor(() => expect(started.at(-1)).toBe(to));
        expect(await queue.counts()).toMatchObject({ active: 1 });
        finish();
      }
      await vi.waitFor(async () => expect(await queue.size()).toBe(0));
      expect(await queue.counts()).toMatchObject({ completed: 1 });
    });
  });

  it("settings that are stored already are not written again; null removes one", async () => {
    const count = async (options: DurableQueueOptions<Jobs, Cloudflare.Env>): Promise<number> => {
      let rows = 0;
      await start("again", options, async (queue, rowsWritten) => {
        await queue.resume();
        rows = await rowsWritten();
      });
      return rows;
    };
    const settings = { rateLimit: { max: 1, per: "1m" }, maxActive: 2, keep: { failed: 5 } } as const;
    const none = await count({});
    expect(await count(settings)).toBeGreaterThan(none);
    expect(await count(settings)).toBe(none);
    expect(await count({ ...settings, rateLimit: null })).toBeGreaterThan(none);
    expect(await count({ ...settings, rateLimit: null })).toBe(none);
    expect(await count({})).toBe(none);
  });

  it("a wrong setting is refused by name", async () => {
    await runInDurableObject(env.SMOKE.getByName("wrong"), (_, ctx) => {
      const make = (options: object) => () => new (durableQueue(options))(ctx, env);
      expect(make({ maxActive: 0 })).toThrow(/maxActive/);
      expect(make({ rateLimit: { max: 1 } })).toThrow(/rateLimit\.per/);
      expect(make({ keep: { waiting: 1 } })).toThrow(/keep\.waiting/);
    });
  });

  it("middleware runs around each attempt, with the object's env", async () => {
    const steps: unknown[] = [];
    await start(
      "wrapped",
      {
        middleware: [
          async (ctx, next) => {
            steps.push(ctx.env === env, ctx.name);
            return next();
          },
        ],
        handlers: { email: (to) => void steps.push(to) },
      },
      async (queue) => {
        await queue.waitFor(await queue.addJob("email", "ada"));
        expect(steps).toEqual([true, "email", "ada"]);
      },
    );
  });
});

it("edgeQueue with object and shards keeps the queue in the objects of that name", async () => {
  const queue = edgeQueue<Jobs>(env.BARE_QUEUE, "mail", { object: "tenant-1", shards: 2 });
  await queue.addJobs(Array.from({ length: 20 }, (_, n) => ({ name: "email", payload: `${n}`, id: `job-${n}` })));
  const counts = await Promise.all(
    [
      [env.BARE_QUEUE, "tenant-1", 0],
      [env.BARE_QUEUE, "tenant-1", 1],
      [env.BARE_QUEUE, "mail", 0],
    ].map(async ([space, object, shard]) => {
      const answer = await queueStub(space as never, object as string, shard as number).counts("mail");
      return answer.ok ? answer.value.waiting : answer;
    }),
  );
  expect(counts[0]).toBeGreaterThan(0);
  expect(counts[1]).toBeGreaterThan(0);
  expect(counts).toEqual([counts[0], 20 - (counts[0] as number), 0]);
  expect(() => edgeQueue(env.BARE_QUEUE, "mail", { object: "tenant#1", shards: 2 })).toThrow(/cannot be split/);
});
