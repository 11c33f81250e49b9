import {
  defineJob,
  defineJobs,
  type HandlerContext,
  type JobId,
  type JobOf,
  type Json,
  type JsonInput,
  type Jsonify,
  memoryDriver,
  Queue,
  QueueManager,
  type,
} from "@quayside/core";
import { describe, expectTypeOf, it } from "vitest";
import { z } from "zod";

interface Tree {
  readonly label: string;
  readonly children: readonly Tree[];
}

interface Jobs {
  email: { to: string; at: Date; note?: string | undefined };
  ping: undefined;
  pong: null;
  // biome-ignore lint/suspicious/noConfusingVoidType: a job map may have it.
  tick: void;
  tree: Tree;
  json: Json;
}

const queue = new Queue<Jobs>("mail", memoryDriver());
const jobs = defineJobs({
  email: {
    input: z.object({ to: z.string(), at: z.coerce.date() }),
    output: z.object({ id: z.string() }),
    handler: ({ to, at }, ctx) => {
      expectTypeOf(to).toBeString();
      expectTypeOf(at).toEqualTypeOf<Date>();
      expectTypeOf(ctx.job.payload).toEqualTypeOf<{ to: string; at: unknown }>();
      return { id: ctx.id };
    },
  },
  resize: {
    input: type<{ url: string; at: Date }>(),
    output: type<{ bytes: number }>(),
    handler: async ({ url, at }) => {
      expectTypeOf(at).toBeString();
      return { bytes: url.length };
    },
  },
  log: { handler: (payload, ctx) => ctx.log(String(payload)) },
  plain: {},
});
const defined = new Queue("mail", memoryDriver(), { jobs });

describe("payloads", () => {
  it("may be left out where a job has none", () => {
    queue.addJob("ping");
    queue.addJob("pong");
    queue.addJob("tick", undefined, { delay: "1s" });
    queue.addJobs([{ name: "ping" }, { name: "pong", priority: 1 }]);
    queue.delay("1s").addJob("ping");
    defined.addJob("plain");
    // @ts-expect-error an email has a payload
    queue.addJob("email");
    // @ts-expect-error an email has a payload
    queue.addJobs([{ name: "email" }]);
  });

  it("are what JSON can hold; handlers get what it gives back", () => {
    queue.addJob("email", { to: "ada", at: new Date() });
    queue.addJob("tree", { label: "a", children: [{ label: "b", children: [] }] });
    queue.addJob("json", [1, { a: null }]);
    queue.on("job:email", (payload, ctx) => {
      expectTypeOf(payload).toEqualTypeOf<{ to: string; at: string; note?: string | undefined }>();
      expectTypeOf(ctx.job.payload.at).toBeString();
    });
    queue.on("job:tree", (payload) => expectTypeOf(payload).toEqualTypeOf<Tree>());
    queue.on("job:ping", (payload) => expectTypeOf(payload).toBeNull());
    const odd = new Queue<{ odd: { map: Map<string, string>; run: () => void; big: bigint; ok: string } }>(
      "odd",
      memoryDriver(),
    );
    // @ts-expect-error JSON cannot hold a map
    odd.addJob("odd", { map: new Map(), run: 1 as never, big: 1 as never, ok: "" });
    // @ts-expect-error JSON cannot hold a function
    odd.addJob("odd", { map: 1 as never, run: () => {}, big: 1 as never, ok: "" });
    // @ts-expect-error JSON cannot hold a bigint
    odd.addJob("odd", { map: 1 as never, run: 1 as never, big: 1n, ok: "" });
    expectTypeOf<Jsonify<{ url: URL; list: Date[]; n: 1 }>>().toEqualTypeOf<{ url: string; list: string[]; n: 1 }>();
    expectTypeOf<JsonInput<Tree>>().toEqualTypeOf<Tree>();
    expectTypeOf<Jsonify<unknown>>().toBeUnknown();
    // A contact form is no Error, although it has its members.
    expectTypeOf<JsonInput<{ name: string; message: string }>>().toEqualTypeOf<{ name: string; message: string }>();
  });
});

describe("defineJobs", () => {
  it("types handlers by the schemas in one literal, beside definitions of defineJob", () => {
    const mixed = defineJobs({
      a: { input: z.number(), handler: (n) => expectTypeOf(n).toBeNumber(), retryIf: (_, attempt) => attempt < 3 },
      b: defineJob<{ at: Date }>({ handler: ({ at }) => expectTypeOf(at).toBeString() }),
    });
    const other = new Queue("mixed", memoryDriver(), { jobs: mixed });
    other.addJob("a", 1);
    other.addJob("b", { at: new Date() });
    // @ts-expect-error a number is needed
    other.addJob("a", "1");
  });

  it("refuses typos, and handlers that return something else than the output schema takes", () => {
    // @ts-expect-error no such option
    defineJobs({ email: { maxAtempts: 3 } });
    // @ts-expect-error the schema makes another payload
    defineJobs({ email: { input: z.object({ to: z.string() }), handler: (payload: { width: number }) => payload } });
    // @ts-expect-error the output schema takes another result
    defineJobs({ email: { output: z.object({ id: z.string() }), handler: () => ({ id: 1 }) } });
    // @ts-expect-error the output schema takes another result
    defineJob({ output: z.object({ id: z.string() }), handler: () => ({ id: 1 }) });
    // @ts-expect-error not a schema
    defineJobs({ email: { input: 5 } });
    // @ts-expect-error the output schema takes another result
    defined.on("job:email", () => ({ id: 1 }));
  });
});

describe("a job map that exists at run time", () => {
  it("cannot be forgotten", () => {
    const typed: Queue<typeof jobs> = new Queue<typeof jobs>("mail", memoryDriver(), { jobs });
    expectTypeOf(typed).toEqualTypeOf(defined);
    // @ts-expect-error pass { jobs }
    new Queue<typeof jobs>("mail", memoryDriver());
    // @ts-expect-error pass { jobs }
    new Queue<typeof jobs>("mail", memoryDriver(), { payloadLimit: 1 });
  });
});

describe("ids", () => {
  it("carry the name of their job", async () => {
    const id = await defined.addJob("resize", { url: "a", at: new Date() });
    expectTypeOf(id).toEqualTypeOf<JobId<"resize">>();
    expectTypeOf(defined.waitFor(id)).resolves.toEqualTypeOf<{ bytes: number }>();
    const job = await defined.get(id);
    expectTypeOf(job).toEqualTypeOf<JobOf<typeof jobs, "resize"> | undefined>();
    expectTypeOf(job?.result).toEqualTypeOf<{ bytes: number } | undefined>();
    const other = await queue.addJob("ping");
    // @ts-expect-error an id of a job of another queue
    defined.waitFor(other);
  });

  it("may be plain strings, whose job is any of the map", async () => {
    const text: string = "1";
    expectTypeOf(defined.waitFor<"resize">(text)).resolves.toEqualTypeOf<{ bytes: number }>();
    expectTypeOf(await defined.get(text)).toEqualTypeOf<JobOf<typeof jobs> | undefined>();
    defined.cancel(text);
  });
});

describe("records and events", () => {
  it("are a union by name", async () => {
    defined.on("completed", ({ job }) => {
      if (job.name === "resize") expectTypeOf(job.payload).toEqualTypeOf<{ url: string; at: string }>();
      if (job.name === "email") expectTypeOf(job.result).toEqualTypeOf<{ id: string } | undefined>();
      // @ts-expect-error no such job
      job.name === "emial";
    });
    for (const job of (await defined.list()).jobs)
      if (job.name === "resize") expectTypeOf(job.result).toEqualTypeOf<{ bytes: number } | undefined>();
  });
});

describe("dedupe", () => {
  it("is a union by mode", () => {
    queue.addJob("ping", undefined, { dedupe: { key: "k" } });
    queue.addJob("ping", undefined, { dedupe: { key: "k", mode: "debounce", wait: "2s", maxWait: "1m" } });
    queue.addJob("ping", undefined, { dedupe: { key: "k", mode: "throttle", ttl: "1h" } });
    // @ts-expect-error debounce has a wait
    queue.addJob("ping", undefined, { dedupe: { key: "k", mode: "debounce" } });
    // @ts-expect-error throttle has a ttl
    queue.addJob("ping", undefined, { dedupe: { key: "k", mode: "throttle" } });
    // @ts-expect-error maxWait goes with debounce
    queue.addJob("ping", undefined, { dedupe: { key: "k", mode: "replace", maxWait: "1s" } });
  });
});

describe("types that tell the truth", () => {
  it("refuse a union of names with the payload of one", () => {
    const name = "resize" as "resize" | "email";
    // @ts-expect-error the payload of only one of the two
    defined.addJob(name, { url: "a", at: new Date() });
  });

  it("pass any queue where a Queue is taken", () => {
    const nameOf = (any: Queue) => any.name;
    nameOf(queue);
    nameOf(defined);
    nameOf(new Queue("mail", memoryDriver(), { ctx: { db: 1 } }));
    nameOf(new QueueManager({ driver: memoryDriver(), jobs }).queue("mail"));
    const helper = (ctx: HandlerContext) => ctx.id;
    defined.on("job:email", (_, ctx) => void helper(ctx));
  });
});

describe("ctx.enqueue", () => {
  it("is typed by the map; jobs of other queues have any name", () => {
    defined.on("job:plain", (_, ctx) => {
      expectTypeOf(ctx.enqueue({ name: "plain" })).resolves.toEqualTypeOf<JobId<"plain">>();
      ctx.enqueue({ name: "anything", queue: "other", payload: 1 });
      // @ts-expect-error no such job
      ctx.enqueue({ name: "emial", payload: {} });
      // @ts-expect-error not its payload
      ctx.enqueue({ name: "resize", payload: { url: 1 } });
    });
  });
});
