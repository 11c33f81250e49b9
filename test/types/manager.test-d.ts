import {
  aesGcm,
  defineJobs,
  type HandlerContext,
  Job,
  memoryDriver,
  openTelemetry,
  type Queue,
  QueueManager,
  type TelemetryTracer,
} from "@quayside/core";
import { drain, inlineDriver, recorded } from "@quayside/testing";
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";

const driver = memoryDriver();
const manager = new QueueManager({ driver, ctx: { db: { send: (to: string) => to } }, concurrency: 2 });

describe("QueueManager", () => {
  it("types payload and ctx of registered jobs", () => {
    manager.registerJob<{ to: string }>({
      name: "email",
      queue: "emails",
      maxAttempts: 3,
      handler: (payload, ctx) => {
        expectTypeOf(payload).toEqualTypeOf<{ to: string }>();
        expectTypeOf(ctx.db.send(payload.to)).toBeString();
        return ctx.enqueue({ name: "audit", queue: "logs", payload: 1 });
      },
    });
    manager.registerJob({
      name: "size",
      input: z.object({ width: z.coerce.number() }),
      handler: ({ width }) => expectTypeOf(width).toBeNumber(),
      middleware: [(ctx, next) => (ctx.db ? next() : undefined)],
    });
    // @ts-expect-error a job has a handler
    manager.registerJob({ name: "email" });
    // @ts-expect-error a job has a name
    manager.registerJob({ handler: () => {} });
    // @ts-expect-error no such option
    manager.registerJob({ name: "email", handler: () => {}, retries: 3 });
  });

  it("adds by name, typed where there is a job map", () => {
    expectTypeOf(manager.enqueue({ name: "x", payload: 1, delay: "5m", connection: "edge" })).resolves.toBeString();
    expectTypeOf(manager.publish({ name: "x", queues: ["a"], payload: 1 })).resolves.toEqualTypeOf<readonly string[]>();
    // @ts-expect-error publish names its queues
    manager.publish({ name: "x", queue: "a", payload: 1 });
    const typed = new QueueManager({ driver, jobs: defineJobs({ email: { input: z.object({ to: z.string() }) } }) });
    typed.enqueue({ name: "email", payload: { to: "ada" } });
    // @ts-expect-error no such job
    typed.enqueue({ name: "emial", payload: { to: "ada" } });
    // @ts-expect-error not its payload
    typed.enqueue({ name: "email", payload: { to: 1 } });
    // @ts-expect-error not its payload
    typed.publish({ name: "email", queues: ["a"], payload: {} });
    typed.queue("mail").on("job:email", ({ to }) => expectTypeOf(to).toBeString());
    interface Jobs {
      ping: { host: string };
    }
    const mapped = new QueueManager<Jobs>({ driver });
    // @ts-expect-error not its payload
    mapped.enqueue({ name: "ping", payload: {} });
    expectTypeOf(mapped.queue("a")).toEqualTypeOf<Queue<Jobs, object>>();
  });

  it("refuses settings that are none", () => {
    // @ts-expect-error no such setting
    new QueueManager({ driver, queues: { a: { concurency: 1 } } });
    // @ts-expect-error a rate limit has a period
    new QueueManager({ driver, queues: { a: { rateLimit: { max: 1 } } } });
    // @ts-expect-error no such event
    manager.on("done", () => {});
    manager.on("completed", ({ result }) => expectTypeOf(result).toBeUnknown());
    expectTypeOf(manager.metrics().queues["a"]?.processed).toEqualTypeOf<number | undefined>();
  });
});

describe("Job", () => {
  class Welcome extends Job<{ userId: string }, { db: object }> {
    static jobName = "welcome";
    static options = { maxAttempts: 3, backoff: ["1s", "10s"] } as const;
    handle({ userId }: { userId: string }, ctx: HandlerContext & { db: object }) {
      return [userId, ctx.db, ctx.id];
    }
  }

  it("types what is dispatched by the class", () => {
    manager.register(Welcome);
    expectTypeOf(Welcome.dispatch({ userId: "1" }, { delay: "5m", queue: "a" })).resolves.toBeString();
    expectTypeOf(Welcome.dispatchBatch([{ userId: "1" }])).resolves.toEqualTypeOf<readonly string[]>();
    expectTypeOf(manager.dispatch(new Welcome({ userId: "1" }))).resolves.toBeString();
    // @ts-expect-error not its payload
    Welcome.dispatch({ userId: 1 });
    // @ts-expect-error not its payload
    Welcome.dispatchBatch([{}]);
    // @ts-expect-error no such option
    Welcome.dispatch({ userId: "1" }, { dellay: "5m" });
  });

  it("refuses a class whose ctx has fields that the manager does not give", () => {
    const plain = new QueueManager({ driver });
    // @ts-expect-error the manager's ctx has no db
    plain.register(Welcome);
    // @ts-expect-error the manager's ctx has no db
    plain.dispatch(new Welcome({ userId: "1" }));
    class Wide extends Job<string> {
      static jobName = "wide";
      handle() {}
    }
    plain.register(Wide);
    manager.register(Welcome, Wide);
  });

  it("refuses a class without a name, or with options that are none", () => {
    class Nameless extends Job<string> {
      handle() {}
    }
    class Odd extends Job<string> {
      static jobName = "odd";
      static options = { backoff: "soon" } as const;
      handle() {}
    }
    // @ts-expect-error it has no jobName
    manager.register(Nameless);
    // @ts-expect-error it has no jobName
    Nameless.dispatch("x");
    // @ts-expect-error not a duration
    manager.register(Odd);
    // @ts-expect-error not a job class
    manager.register(class {});
  });
});

describe("encryption, telemetry and the testing kit", () => {
  it("take what they say", () => {
    new QueueManager({ driver, encryption: aesGcm({ keys: { k: new Uint8Array(32) }, current: "k" }) });
    // @ts-expect-error a key is bytes or a CryptoKey
    new QueueManager({ driver, encryption: aesGcm({ keys: { k: "secret" }, current: "k" }) });
    const tracer = {} as TelemetryTracer;
    new QueueManager({ driver, telemetry: openTelemetry(tracer) });
    // @ts-expect-error not a tracer
    new QueueManager({ driver, telemetry: openTelemetry({}) });
    const { expectAdded } = recorded(inlineDriver());
    expectAdded({ name: "email", payload: { to: "ada" } }, 1);
    // @ts-expect-error no such member
    expectAdded({ job: "email" });
    expectTypeOf(drain(manager.queue("a"))).resolves.toBeVoid();
  });
});
