import { durableQueue } from "@quayside/edge";
import { jobs } from "./jobs.ts";

/**
 * Keeps queues and works their jobs. A job may run twice (its object may die before it has noted that it is done), so
 * what a handler does should go by `ctx.id`.
 */
export class Queues extends durableQueue<typeof jobs, Env>({
  jobs,
  handlers: {
    email: async ({ to, subject }, { id, log }) => {
      // Here goes the call of your mail service, with `id` as its idempotency key and `ctx.signal` to stop it.
      log(`${id}: "${subject}" to ${to}`);
      return { to };
    },

    digest: async ({ day }, { enqueue }) => {
      const payload = { to: "ada@example.com", subject: `Your digest of ${day}`, body: "Nothing new." };
      // Under an id of its own: should this job run twice, the mail goes out once.
      return enqueue({ name: "email", payload, id: `digest-${day}` });
    },
  },
}) {}
