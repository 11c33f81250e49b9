import {
  type ChildOutcome,
  defineJob,
  defineJobs,
  type FlowIds,
  type HandlerContext,
  type JobDefinition,
  type JobRecord,
  type Middleware,
  memoryDriver,
  Queue,
  type ResultOf,
} from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";

const jobs = defineJobs({
  email: defineJob({
    input: z.object({ to: z.string(), subject: z.string().default("(none)") }),
    output: z.object({ messageId: z.string() }),
    handler: async (payload, ctx) => {
      expectTypeOf(payload).toEqualTypeOf<{ to: string; subject: string }>();
      expectTypeOf(ctx).toExtend<HandlerContext<{ to: string; subject?: string | undefined }>>();
      return { messageId: payload.to };
    },
    shouldQueue: (payload) => {
      expectTypeOf(payload).toEqualTypeOf<{ to: string; subject?: string | undefined }>();
      return true;
    },
    retryIf: (error, attempt) => {
      expectTypeOf(error).toBeUnknown();
      expectTypeOf(attempt).toBeNumber();
      return true;
    },
    onFailed: (job, error) => {
      expectTypeOf(job).toEqualTypeOf<JobRecord>();
      expectTypeOf(error).toBeUnknown();
    },
    backoff: (attempt) => (attempt > 3 ? "fail" : "10s"),
  }),
  ping: defineJob<{ host: string }>({
    handler: ({ host }) => host,
    backoff: ["1s", "5s"],
  }),
  size: { input: z.string(), output: z.number(), encrypted: true },
  plain: {},
});
const queue = new Queue("mail", memoryDriver(), { jobs });

describe("definitions with behaviour", () => {
  it("type what is added, handled and waited for", () => {
    queue.addJob("email", { to: "ada" });
    queue.addJob("ping", { host: "example.com" });
    queue.addJob("size", "x");
    queue.addJob("plain", { anything: 1 });
    // @ts-expect-error the payload lacks its address
    queue.addJob("email", { subject: "x" });
    // @ts-expect-error a host is a string
    queue.addJob("ping", { host: 1 });
    queue.on("job:email", (payload) => {
      expectTypeOf(payload).toEqualTypeOf<{ to: string; subject: string }>();
      return { messageId: "1" };
    });
    queue.on("job:ping", (payload) => expectTypeOf(payload).toEqualTypeOf<{ host: string }>());
    expectTypeOf(queue.waitFor<"email">("1")).resolves.toEqualTypeOf<{ messageId: string }>();
    expectTypeOf(queue.waitFor<"size">("1")).resolves.toBeNumber();
    expectTypeOf(queue.waitFor<"ping">("1")).resolves.toBeUnknown();
    expectTypeOf<ResultOf<typeof jobs, "plain">>().toBeUnknown();
  });

  it("refuse what is wrong", () => {
    // @ts-expect-error a backoff function answers a duration or "fail"
    defineJob({ backoff: () => "never" });
    // @ts-expect-error retryIf answers whether
    defineJob({ retryIf: () => "yes" });
    // @ts-expect-error the handler wants another payload than the schema makes
    defineJob({ input: z.object({ to: z.string() }), handler: (payload: { width: number }) => payload });
    // @ts-expect-error no such option
    defineJobs({ email: { maxAtempts: 3 } satisfies JobDefinition });
    // @ts-expect-error durations carry a known unit
    defineJobs({ email: { timeout: "soon" } });
  });

  it("flows and batches are typed by the job map", () => {
    queue.addFlow({ name: "plain", payload: 1, children: [{ name: "email", payload: { to: "ada" } }] });
    // @ts-expect-error a child's payload
    queue.addFlow({ name: "plain", payload: 1, children: [{ name: "email", payload: { to: 1 } }] });
    // @ts-expect-error no such policy
    queue.addFlow({ name: "plain", payload: 1, children: [{ name: "plain", payload: 1, onFailure: "retry" }] });
    // Options stand beside the name, as in addJobs.
    queue.addFlow({ name: "plain", payload: 1, priority: 5, children: [{ name: "plain", payload: 1, delay: "5m" }] });
    // @ts-expect-error options have no member of their own
    queue.addFlow({ name: "plain", payload: 1, options: { priority: 5 } });
    // @ts-expect-error no such option
    queue.addFlow({ name: "plain", payload: 1, children: [{ name: "plain", payload: 1, priorty: 5 }] });
    queue.addSequence([
      { name: "email", payload: { to: "ada" }, maxAttempts: 3 },
      { name: "ping", payload: { host: "a" } },
    ]);
    // @ts-expect-error the payload of a job in a sequence
    queue.addSequence([{ name: "email", payload: { to: 1 } }]);
    // @ts-expect-error a sequence is no flow: its jobs have no children
    queue.addSequence([{ name: "email", payload: { to: "ada" }, children: [] }]);
    queue.addBatch([{ name: "size", payload: "x" }], { onComplete: { name: "ping", payload: { host: "a" } } });
    // @ts-expect-error the payload of onComplete
    queue.addBatch([{ name: "size", payload: "x" }], { onComplete: { name: "ping", payload: 1 } });
  });

  it("recurrences are typed by the job map", () => {
    queue.schedule("a", { every: "5m", name: "ping", payload: { host: "x" }, maxAttempts: 1 });
    queue.schedule("a", {
      cron: "0 3 * * *",
      timeZone: "Europe/Vienna",
      limit: 3,
      name: "ping",
      payload: { host: "x" },
    });
    // @ts-expect-error either every or cron
    queue.schedule("a", { every: "5m", cron: "* * * * *", name: "ping", payload: { host: "x" } });
    // @ts-expect-error a payload of the map
    queue.schedule("a", { every: "5m", name: "ping", payload: { host: 1 } });
    // @ts-expect-error an occurrence has no id of the caller's
    queue.schedule("a", { every: "5m", name: "ping", payload: { host: "x" }, id: "1" });
  });
});

describe("steering", () => {
  it("takes filters and limits of the right kind", () => {
    queue.clear("failed");
    queue.clear({ state: "failed", tags: ["a"], olderThan: "7d" });
    queue.retryAll({ state: "cancelled", name: "email" });
    queue.configure({ rateLimit: { max: 1, per: "1s" }, maxActive: null, keep: { failed: 1 } });
    queue.configure({ maxWaiting: 10_000 });
    // @ts-expect-error a number of jobs
    queue.configure({ maxWaiting: "10k" });
    queue.update<"email">("1", { payload: { to: "ada" }, priority: 1, delay: "1s" });
    // @ts-expect-error a waiting job cannot be tried again
    queue.retryAll({ state: "waiting" });
    // @ts-expect-error no such state
    queue.clear("gone");
    // @ts-expect-error per is a duration
    queue.configure({ rateLimit: { max: 1, per: "second" } });
    // @ts-expect-error the payload of an email
    queue.update<"email">("1", { payload: 3 });
    expectTypeOf(queue.metrics().jobs["email"]?.runMs.p95).toEqualTypeOf<number | undefined>();
  });
});

describe("ctx", () => {
  it("has the user's own, in handlers and middleware", () => {
    const own = new Queue("mail", memoryDriver(), { jobs, ctx: { db: "db" } });
    own.on("job:ping", (_, ctx) => {
      expectTypeOf(ctx.db).toBeString();
      expectTypeOf(ctx.children()).toEqualTypeOf<readonly ChildOutcome[]>();
      expectTypeOf(ctx.enqueue({ name: "x", queue: "other", payload: 1 })).resolves.toBeString();
      expectTypeOf(ctx.publish({ name: "x", queues: ["a"], payload: 1 })).resolves.toEqualTypeOf<readonly string[]>();
      expectTypeOf(ctx.addFlow({ name: "ping", payload: { host: "a" } })).resolves.toEqualTypeOf<FlowIds>();
      // @ts-expect-error a child's payload
      ctx.addFlow({ name: "ping", payload: { host: "a" }, children: [{ name: "email", payload: { to: 1 } }] });
      // @ts-expect-error no job of the map
      ctx.addFlow({ name: "pong", payload: 1 });
      expectTypeOf(ctx.release).returns.toBeNever();
      // @ts-expect-error not given
      ctx.cache;
      // @ts-expect-error lines are text
      ctx.log(1);
      // @ts-expect-error a job has a name
      ctx.enqueue({ payload: 1 });
    });
    own.use((ctx, next) => {
      expectTypeOf(ctx.db).toBeString();
      return next();
    });
    const timed: Middleware = async (_, next) => next();
    own.use(timed);
    // @ts-expect-error a middleware is called with ctx and next
    own.use((ctx: number) => ctx);
  });
});
