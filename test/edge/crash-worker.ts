import { DurableObject } from "cloudflare:workers";
import { defineJob, defineJobs } from "@quayside/core";
import { bearerTokens, durableQueue, embeddedQueues, embedQueue, type QueueCall, queueApi } from "@quayside/edge";
import { Hono } from "hono";
import * as z from "zod";
import type { Plan } from "./crash-plan.ts";
import { plans, trap } from "./crash-steps.ts";

// What happens is printed, a line each: that is how the tests learn of it without a request, which would wake the object.

const jobs = defineJobs({
  note: { input: z.object({ text: z.string() }), backoff: 1 },
  /** Fails at its first attempt. */
  flaky: { input: z.object({ text: z.string() }) },
  /** Fails at every attempt, at once. */
  hopeless: { input: z.object({ text: z.string() }) },
  /** Kills the object that runs it. */
  poison: defineJob({
    input: z.object({ text: z.string() }),
    onFailed: ({ payload, interruptions }) =>
      console.log(`failed ${(payload as { text: string }).text} interruptions=${interruptions}`),
  }),
  /** Takes for ever, unless it has been interrupted. */
  hold: { input: z.object({ text: z.string() }) },
});

/** An object whose queue bears its name. It dies where it is told to. */
export class CrashQueue extends durableQueue<typeof jobs, Cloudflare.Env>({
  jobs,
  concurrency: 10,
  handlers: {
    note: async ({ text }, { queue, job, attempt }) => {
      await scheduler.wait(10);
      plans.die(queue, "in the handler");
      console.log(`ran ${text} attempt=${attempt} interruptions=${job.interruptions}`);
    },
    flaky: ({ text }, { attempt }) => {
      console.log(`ran ${text} attempt=${attempt}`);
      if (attempt === 1) throw new Error("first");
    },
    hopeless: ({ text }, { attempt }) => {
      console.log(`ran ${text} attempt=${attempt}`);
      throw new Error("again");
    },
    poison: async (_, { queue }) => {
      await scheduler.wait(10);
      plans.kill(queue);
    },
    hold: ({ text }, { job }) => {
      console.log(`ran ${text} interruptions=${job.interruptions}`);
      return job.interruptions > 0 ? undefined : new Promise(() => {});
    },
  },
}) {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    trap(ctx);
  }

  override async alarm(): Promise<void> {
    plans.die(this.ctx, "as the alarm begins");
    await super.alarm();
    plans.die(this.ctx, "as the alarm ends");
  }
}

/** A part of a split queue, worked from elsewhere. It dies where it is told to. */
export class CrashShard extends durableQueue({}) {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    trap(ctx);
  }
}

/** An object of one's own with a queue in it: its alarm prints, and dies where it is told to. */
export class CrashShop extends DurableObject<Cloudflare.Env> {
  readonly #mail = embedQueue(this.ctx, {
    jobs,
    env: this.env,
    handlers: { note: ({ text }) => console.log(`ran ${text}`) },
  });

  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    trap(ctx);
  }

  queues(...call: QueueCall) {
    return this.#mail.call(...call);
  }

  /** Sets the object's own alarm and adds a job in one transaction, which is then undone or not. */
  order(text: string, alarmInMs: number, undo: boolean): void {
    try {
      this.ctx.storage.transactionSync(() => {
        this.#mail.setAlarm(Date.now() + alarmInMs);
        this.#mail.addJobSync("note", { text }, { delay: alarmInMs });
        if (undo) throw new Error("undone");
      });
    } catch (error) {
      if (!undo) throw error;
    }
  }

  override alarm(): Promise<void> {
    return this.#mail.alarm(async ({ retryCount, isRetry }) => {
      console.log(`rings ${this.ctx.id} retryCount=${retryCount} isRetry=${isRetry}`);
      await scheduler.wait(10);
      plans.die(this.ctx, "in the handler");
      console.log(`alarm of ${this.ctx.id}`);
    });
  }
}

/** A class that has no `alarm()`: nothing can wake its objects. */
export class CrashAlarmless extends DurableObject<Cloudflare.Env> {
  readonly #mail = embedQueue(this.ctx, {
    jobs,
    env: this.env,
    handlers: { note: ({ text }) => console.log(`ran ${text}`) },
  });

  /** The code and message of each refusal, and how many jobs are stored. */
  async attempts(): Promise<{ refusals: readonly string[]; jobs: number }> {
    const mail = this.#mail;
    const note = { text: "never" };
    const adds: readonly (() => unknown)[] = [
      () => mail.addJobSync("note", note, { delay: "1h" }),
      () => mail.addJob("note", note, { delay: "1h" }),
      () => mail.addJobsSync([{ name: "note", payload: note }]),
      () => mail.schedule("daily", { every: "1d", name: "note", payload: note }),
      () => mail.queue("other").addJobs([{ name: "note", payload: note, delay: 10 }]),
      () => mail.setAlarm(Date.now() + 1_000),
    ];
    const refusals: string[] = [];
    for (const add of adds)
      try {
        await add();
        refusals.push("none");
      } catch (error) {
        refusals.push(`${(error as { code?: string }).code} ${(error as Error).message}`);
      }
    return { refusals, jobs: (await mail.size()) + (await mail.queue("other").size()) };
  }
}

const app = new Hono<{ Bindings: Cloudflare.Env }>();
app.use(async (c, next) => {
  console.log(`request ${c.req.method} ${c.req.path}`);
  await next();
});
app.get("/", (c) => c.text("ok"));
const auth = bearerTokens({ token: { subject: "tests", scopes: ["enqueue", "work", "admin"] } });
app.route("/queues", queueApi({ object: (env: Cloudflare.Env) => env.CRASH_QUEUE, auth }));
app.route("/shops", queueApi({ object: (env: Cloudflare.Env) => embeddedQueues(env.CRASH_SHOP), auth }));

/** Queues of four shards each: `split-0` and so on. */
const shards = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`split-${n}`, 4]));
app.route("/shards", queueApi({ object: (env: Cloudflare.Env) => env.CRASH_SHARD, auth, shards }));

app.post("/die/:kind/:object", async (c) => {
  const { CRASH_QUEUE: queues, CRASH_SHOP: shops, CRASH_SHARD: shards } = c.env;
  const namespace = { queues, shops, shards }[c.req.param("kind")] ?? queues;
  const name = c.req.param("object");
  plans.set(name, namespace.idFromName(name).toString(), await c.req.json<Plan>());
  return c.body(null, 204);
});
app.post("/order/:object", async (c) => {
  const shop = c.env.CRASH_SHOP.getByName(c.req.param("object"));
  const { text, alarmInMs, undo } = await c.req.json<{ text: string; alarmInMs: number; undo: boolean }>();
  await shop.order(text, alarmInMs, undo);
  return c.text(shop.id.toString());
});

app.post("/alarmless/:object", async (c) =>
  c.json(await c.env.CRASH_ALARMLESS.getByName(c.req.param("object")).attempts()),
);

export default app;
