import { defineJobs } from "@quayside/core";
import * as z from "zod";

/** The jobs of the tests of bridges, shared by the Workers that add and run them, and by their receivers. */
export const jobs = defineJobs({
  // By a webhook that `dispatch` names.
  deliver: {
    input: z.object({ url: z.string(), words: z.array(z.string()).default([]) }),
    output: z.object({ taken: z.string() }).optional(),
    maxAttempts: 3,
    backoff: 20,
  },
  // By a webhook that is a handler.
  notify: {
    input: z.object({ url: z.string() }),
    maxAttempts: 2,
    backoff: 20,
    retryIf: (error) => statusOf(error) !== 400,
  },
  // The same, in haste.
  hurry: { input: z.object({ url: z.string() }), maxAttempts: 2, backoff: 20 },
  // By a webhook, with a schema that most answers do not fit.
  fit: {
    input: z.object({ url: z.string() }),
    output: z.object({ taken: z.string().max(10) }),
    maxAttempts: 2,
    backoff: 20,
  },
  // By a webhook that may not reach this machine.
  strict: { input: z.object({ url: z.string() }), maxAttempts: 1 },
  // In another Worker.
  compute: { input: z.object({ how: z.string(), n: z.number().default(2) }), maxAttempts: 3, backoff: 20 },
  // In the object.
  mail: { input: z.object({ to: z.email() }) },
});

const statusOf = (error: unknown) => (error as { readonly status?: number }).status;
