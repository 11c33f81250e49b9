import { defineJob, defineJobs, QuaysideError, RetryAfterError, UnrecoverableError } from "@quayside/core";
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
  "not-yet": {},
  defined: defineJob<{ word: string }>({ handler: ({ word }) => word.toUpperCase() }),
});

/** What goes on in the consumers, as they tell it. */
export const seen: string[] = [];

/** Errors about which the object was asked whether to try again. */
export const asked: Error[] = [];

/** Has the consumer, and not the object. */
export const encryption = { keys: { k1: new Uint8Array(32).fill(1) }, current: "k1" };

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
        case "bad-child":
          return ctx.enqueue({ name: "here", payload: { n: "one" } });
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

/** A consumer whose invocations end by themselves. */
export class MortalConsumer extends jobConsumer<typeof jobs, Cloudflare.Env>({ jobs }) {
  override async runJob(): Promise<object> {
    throw new TypeError("not as a reply");
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
  dispatch: (env, { name }) => {
    if (name === "mortal") return env.MORTAL_CONSUMER;
    if (name === "stillborn") return env.STILLBORN_CONSUMER;
    if (name === "orphan") return undefined as never;
    return env.CONSUMER;
  },
  handlers: { here: ({ n }) => ({ here: n }) },
  onError: (error) => faults.push(error),
}) {}
