import { aesGcm, defineJob, defineJobs, QuaysideError, RetryAfterError, UnrecoverableError } from "@quayside/core";
import { durableQueue, jobConsumer } from "@quayside/edge";
import * as z from "zod";

/** The jobs of the tests of `dispatch`. */
export const jobs = defineJobs({
  add: {
    input: z.object({ a: z.number(), b: z.number().default(1) }),
    output: z.object({ sum: z.number() }),
  },
  // As the consumer is asked to behave by its name.
  act: { input: z.object({ how: z.string() }), maxAttempts: 3, backoff: 20 },
  // What retries depend on is decided in the object, by what travelled of the error.
  choosy: {
    maxAttempts: 5,
    retryIf: (error) => (error as { readonly status?: number }).status !== 404,
    backoff: (attempt) => attempt * 10,
  },
  // Encrypted: the object has no key, and is asked whether to try again.
  secret: {
    maxAttempts: 2,
    backoff: 20,
    retryIf: (error) => {
      asked.push(error as Error);
      return true;
    },
  },
  here: { input: z.object({ n: z.number() }) },
  mortal: { maxAttempts: 2, backoff: 20 },
  stillborn: { maxAttempts: 2, backoff: 20 },
  orphan: { maxAttempts: 2, backoff: 20 },
  // Answered as `ANSWERS` says by its payload.
  odd: { input: z.string(), maxAttempts: 2, backoff: 20 },
  // Whose dispatch answers as `TARGETS` says by its payload.
  misled: { input: z.string(), maxAttempts: 2, backoff: 20 },
  // Answered as `ATTACKS` says by its payload, from a consumer or in place of one.
  attacked: { input: z.string(), maxAttempts: 2, backoff: 20, timeout: "400ms" },
  aimed: { input: z.string(), maxAttempts: 2, backoff: 20, timeout: "400ms" },
  "not-yet": {},
  defined: defineJob<{ word: string }>({ handler: ({ word }) => word.toUpperCase() }),
});

/** What goes on in the consumers, as they tell it. */
export const seen: string[] = [];

/** Errors about which the object was asked whether to try again. */
export const asked: Error[] = [];

/** Has the consumer, and not the object. */
export const encryption = aesGcm({ keys: { k1: new Uint8Array(32).fill(1) }, current: "k1" });

/** Errors that the objects reported beside their jobs. */
export const faults: unknown[] = [];

class Throttled extends Error {
  override readonly name = "Throttled";
  readonly response = new Response(null, { status: 429, headers: { "retry-after": "0" } });
}

const throws = (): never => {
  throw new Error("cannot be read");
};

class NotFound extends Error {
  override readonly name = "NotFound";
  readonly status = 404;
}

export class Consumer extends jobConsumer<typeof jobs, Cloudflare.Env>({
  jobs,
  encryption,
  middleware: [
    async (ctx, next) => {
      const result = await next();
      seen.push(`after ${ctx.name}`);
      return result;
    },
  ],
  handlers: {
    add: ({ a, b }) => ({ sum: a + b }),
    choosy: (_, { attempt }) => {
      if (attempt < 3) throw Object.assign(new Error("try again"), { status: 500 });
      throw new NotFound("gone");
    },
    secret: (payload, ctx) => {
      const { card, fails } = payload as { readonly card: string; readonly fails?: "plainly" | "typed" };
      ctx.progress({ card });
      ctx.log(card);
      if (fails === "typed") throw new QuaysideError("network", card, { card });
      if (fails) throw Object.assign(new RangeError(card), { card, response: { body: card } });
      return { card };
    },
    act: async ({ how }, ctx) => {
      const { attempt, env, signal } = ctx;
      switch (how) {
        case "retry":
          if (attempt < 3) throw new RangeError(`failure ${attempt}`);
          return attempt;
        case "unrecoverable":
          throw new UnrecoverableError("never");
        case "fail":
          return ctx.fail(new Error("enough"));
        case "retry-after":
          if (attempt === 1) throw new RetryAfterError("1h", "busy");
          return attempt;
        case "http":
          if (attempt === 1) throw new Throttled("slow down");
          return attempt;
        case "release":
          if (!ctx.job.logs.includes("released")) {
            ctx.log("released");
            ctx.release(20);
          }
          return attempt;
        case "caught-fail":
          try {
            ctx.fail("caught");
          } catch {}
          return "returned";
        case "caught-release":
          if (!ctx.job.logs.includes("released")) {
            ctx.log("released");
            try {
              ctx.release(20);
            } catch {
              throw new Error("wrapped");
            }
          }
          return [attempt, { ...ctx }.signal === signal];
        case "string":
          throw "a bare string";
        case "function":
          return { call: () => 1 };
        case "date":
          return { at: new Date(0), nothing: undefined };
        case "tell":
          ctx.progress({ step: 1 });
          ctx.log("first");
          ctx.log("second");
          await env.SMOKE.getByName("told").add("arrived", "yes");
          ctx.progress({ step: 2 });
          ctx.log("third");
          // That is on its way by now; what follows has to wait for it.
          for (let turn = 0; turn < 20; turn++) await undefined;
          ctx.log("last");
          return "told";
        case "talk":
          for (let line = 0; line < 500; line++) ctx.log(`line ${line}`);
          return null;
        case "bad-progress":
          ctx.progress({ not: Number.NaN });
          return null;
        case "large-progress":
          ctx.progress("x".repeat(200_000));
          return null;
        case "large-result":
          return "x".repeat(200_000);
        case "revoked": {
          const { proxy, revoke } = Proxy.revocable({}, {});
          revoke();
          throw proxy;
        }
        case "unreadable":
          throw Object.defineProperties(new QuaysideError("network", "unreadable", null as never), {
            response: { get: throws, enumerable: true },
            status: { get: throws, enumerable: true },
          });
        case "odd-header":
          throw Object.assign(new Error("odd header"), { headers: { get: () => ({ not: "a text" }) } });
        case "odd-delay":
          throw Object.assign(new RetryAfterError(1, "odd delay"), { delay: () => 1 });
        case "odd-lines":
          for (const line of [Symbol("s"), Object.create(null), "x".repeat(9_000)]) ctx.log(line as string);
          return null;
        case "children":
          return [
            await ctx.enqueue({ name: "here", payload: { n: 1 }, tags: ["child"] }),
            ...(await ctx.publish({ name: "here", payload: { n: 2 }, queues: [ctx.queue] })),
          ];
        case "flow":
          return ctx.addFlow({
            name: "here",
            payload: { n: 3 },
            children: [1, 2].map((n) => ({ name: "here" as const, payload: { n }, tags: ["child"] })),
          });
        case "bad-flow": {
          const flow = { name: "here" as const, payload: { n: 1 }, children: [] as object[] };
          flow.children.push(flow);
          return ctx.addFlow(flow as never);
        }
        case "large":
          return "x".repeat(120_000);
        case "family": {
          const ids = new Set(ctx.children().map(({ id }) => id));
          const characters = ctx.children().reduce((sum, { result }) => sum + JSON.stringify(result).length, 0);
          return { children: ids.size, characters };
        }
        case "bad-child":
          return ctx.enqueue({ name: "here", payload: { n: "one" as never } });
        case "wait":
          seen.push("waiting");
          return new Promise((_, reject) => {
            signal.addEventListener("abort", () => {
              seen.push(`aborted: ${(signal.reason as { code?: string }).code}`);
              reject(signal.reason);
            });
          });
        default:
          throw new Error(`How is ${how}?`);
      }
    },
  },
}) {}

const failure = { code: "handler_failed", message: "broken" };

/** Answers that no consumer of this version gives. */
export const ANSWERS: Readonly<Record<string, unknown>> = {
  "an empty object": {},
  "a text": "completed",
  nothing: undefined,
  null: null,
  true: true,
  "a list": ["completed"],
  "another word": { outcome: "done" },
  "its word in capitals": { outcome: "Completed" },
  "no word, but a result": { result: "1" },
  "a result that is no text": { outcome: "completed", result: { sum: 3 } },
  "a result that is no JSON": { outcome: "completed", result: "{" },
  "a failure without an error": { outcome: "failed" },
  "a failure whose error is a text": { outcome: "failed", failure: "broken" },
  "a failure without a message": { outcome: "failed", failure: { code: "handler_failed" } },
  "a failure with a delay of −1": { outcome: "failed", failure: { ...failure, code: "retry_after", delay: -1 } },
  "a failure with a header that is none": { outcome: "failed", failure: { ...failure, retryAfter: "\0" } },
  "a release after NaN": { outcome: "released", delayMs: Number.NaN },
  "a release after −5 ms": { outcome: "released", delayMs: -5 },
  "a release after a text": { outcome: "released", delayMs: "soon" },
  "a release after Infinity": { outcome: "released", delayMs: Number.POSITIVE_INFINITY },
  "a release with a fault that is none": { outcome: "released", delayMs: 0, fault: 7 },
};

/** Answers that `dispatch` must not give. */
export const TARGETS: Readonly<Record<string, unknown>> = {
  "a promise": Promise.resolve({}),
  "an object that is no binding": {},
  "a text": "CONSUMER",
  "a function that is no webhook": () => 1,
};

/** The behaviour of a consumer, or `dispatch`, does with a job of `attacks-bridges`; set by the tests. */
export const ATTACKS = new Map<string, (call: object) => unknown>();

/** Runs of jobs that were released without a delay. */
export const releases: number[] = [];

/** A consumer whose invocations end by themselves, or answer what they must not. */
export class MortalConsumer extends jobConsumer<typeof jobs, Cloudflare.Env>({ jobs }) {
  override async runJob(call: object): Promise<object> {
    const { name, payload } = (call as { readonly job: { readonly name: string; readonly payload: string } }).job;
    if (name === "attacked") return ATTACKS.get(payload)?.(call) as object;
    if (name !== "odd") throw new TypeError("not as a reply");
    if (payload !== "a release without a delay") return ANSWERS[payload] as object;
    releases.push(Date.now());
    return { outcome: "released" };
  }
}

/** A consumer that cannot even begin. */
export class StillbornConsumer extends jobConsumer<typeof jobs, Cloudflare.Env>({ jobs }) {
  constructor(ctx: ExecutionContext, env: Cloudflare.Env) {
    super(ctx, env);
    throw new Error("no birth");
  }
}

/** Keeps the jobs of these tests, and has them run elsewhere, but for one. */
export class DispatchQueue extends durableQueue<typeof jobs, Cloudflare.Env>({
  jobs,
  dispatch: (env, { name, payload }) => {
    if (name === "mortal" || name === "odd" || name === "attacked") return env.MORTAL_CONSUMER;
    if (name === "aimed") return ATTACKS.get(payload as string)?.(env) as never;
    if (name === "misled") return TARGETS[payload as string] as never;
    if (name === "stillborn") return env.STILLBORN_CONSUMER;
    if (name === "orphan") return undefined as never;
    return env.CONSUMER;
  },
  handlers: { here: ({ n }) => ({ here: n }) },
  onError: (error) => faults.push(error),
}) {}
