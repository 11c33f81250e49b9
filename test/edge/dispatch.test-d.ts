// Checked by tsc with the rest of this folder; never run.
import { defineJobs } from "@quayside/core";
import { durableQueue, jobConsumer } from "@quayside/edge";
import { expectTypeOf } from "vitest";
import * as z from "zod";

interface Env {
  readonly MAIL_KEY: string;
  readonly CONSUMER: Service<typeof Consumer>;
  readonly STORE: KVNamespace;
}

const jobs = defineJobs({
  email: { input: z.object({ to: z.email(), lines: z.array(z.string()).default([]) }) },
  ping: {},
});

// Handlers get what the schema makes of the payload, and the consumer's env.
class Consumer extends jobConsumer<typeof jobs, Env>({
  jobs,
  handlers: {
    email: ({ to, lines }, { env, signal }) => {
      expectTypeOf(to).toEqualTypeOf<string>();
      expectTypeOf(lines).toEqualTypeOf<string[]>();
      expectTypeOf(env).toEqualTypeOf<Env>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    },
    // @ts-expect-error no job has this name
    fax: () => {},
  },
}) {}

// A job map of types alone.
jobConsumer<{ email: { to: string } }, Env>({
  handlers: { email: ({ to }) => expectTypeOf(to).toEqualTypeOf<string>() },
});

durableQueue<typeof jobs, Env>({
  jobs,
  dispatch: (env, job) => {
    expectTypeOf(env).toEqualTypeOf<Env>();
    expectTypeOf(job.name).toEqualTypeOf<string>();
    return env.CONSUMER;
  },
});
// @ts-expect-error that is no consumer
durableQueue<typeof jobs, Env>({ jobs, dispatch: (env) => env.STORE });
