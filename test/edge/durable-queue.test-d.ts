// Checked by tsc with the rest of this folder; never run.
import { defineJobs, type JobRecord, type Queue, type RoutedJob } from "@quayside/core";
import { durableQueue, edgeQueue, queueApi } from "@quayside/edge";
import { expectTypeOf } from "vitest";
import * as z from "zod";

interface Env {
  readonly MAIL_KEY: string;
  readonly MAIL_QUEUE: DurableObjectNamespace<MailQueue>;
}

const jobs = defineJobs({
  email: { input: z.object({ to: z.email(), lines: z.array(z.string()).default([]) }) },
  ping: {},
});

// Handlers get what the schema makes of the payload, and the Worker's env.
class MailQueue extends durableQueue<typeof jobs, Env>({
  jobs,
  handlers: {
    email: ({ to, lines }, { env, job, signal }) => {
      expectTypeOf(to).toEqualTypeOf<string>();
      expectTypeOf(lines).toEqualTypeOf<string[]>();
      expectTypeOf(env).toEqualTypeOf<Env>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(job.payload.to).toEqualTypeOf<string>();
    },
    // @ts-expect-error no job has this name
    fax: () => {},
  },
}) {}

// A job map of types alone.
interface Jobs {
  email: { to: string };
}
durableQueue<Jobs, Env>({ handlers: { email: ({ to }) => expectTypeOf(to).toEqualTypeOf<string>() } });
// @ts-expect-error payloads have no such field
durableQueue<Jobs, Env>({ handlers: { email: ({ subject }) => subject } });

// Without type arguments the job map says which jobs there are.
durableQueue({ jobs, handlers: { email: ({ to }) => expectTypeOf(to).toEqualTypeOf<string>() } });

export async function produce(env: Env): Promise<void> {
  const queue = edgeQueue<Jobs>(env.MAIL_QUEUE, "mail");
  await queue.addJob("email", { to: "ada@example.com" });
  // @ts-expect-error `to` is missing
  await queue.addJob("email", {});
  expectTypeOf(await queue.get<"email">("id")).toEqualTypeOf<JobRecord<{ to: string }, "email"> | undefined>();
}

export async function produceOverShards(env: Env): Promise<void> {
  const queue = edgeQueue<Jobs>(env.MAIL_QUEUE, "mail", { shards: 4 });
  expectTypeOf(queue).toEqualTypeOf<Queue<Jobs>>();
  edgeQueue<Jobs>(env.MAIL_QUEUE, "mail", {
    shards: {
      count: 8,
      previous: 4,
      keyOf(job) {
        expectTypeOf(job).toEqualTypeOf<RoutedJob>();
        return job.tags?.[0];
      },
    },
  });
  // @ts-expect-error how many, is a number
  edgeQueue<Jobs>(env.MAIL_QUEUE, "mail", { shards: "4" });
  // @ts-expect-error a key is text
  edgeQueue<Jobs>(env.MAIL_QUEUE, "mail", { shards: { count: 4, keyOf: () => 1 } });
  // @ts-expect-error of how many?
  queueApi({ object: (env: Env) => env.MAIL_QUEUE, shards: { mail: { previous: 4 } } });
}

queueApi({
  jobs,
  shards: { mail: 4, bulk: { count: 8, previous: 4 } },
  object: (env: Env) => env.MAIL_QUEUE,
  auth: (_, env) => (env.MAIL_KEY ? { scopes: ["work"] } : undefined),
});
// @ts-expect-error there is no such scope
queueApi({ object: (env: Env) => env.MAIL_QUEUE, auth: () => ({ scopes: ["root"] }) });

// Settings of the object's queues, and middleware with the object's env.
durableQueue<Jobs, Env>({
  maxActive: 4,
  rateLimit: { max: 10, per: "1s" },
  keep: { completed: 0 },
  middleware: [({ env }, next) => (env.MAIL_KEY ? next() : undefined)],
});
// @ts-expect-error a rate limit has a period
durableQueue<Jobs, Env>({ rateLimit: { max: 10 } });
// @ts-expect-error no such setting
durableQueue<Jobs, Env>({ maxRunning: 4 });
