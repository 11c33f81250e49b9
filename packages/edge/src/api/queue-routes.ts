import { type ConfigureOption, type Duration, toMs } from "@quayside/core";
import { type ExchangeRequest, resolveSettings } from "@quayside/core/engine";
import { endingAt } from "../streams/ending-stream.ts";
import { unlessLost } from "./lost-exchange.ts";
import { clearQuery, exchangeBody, retryQuery, settingsBody } from "./request-schemas.ts";
import { type Route, route } from "./route.ts";

const READ = ["work", "admin"] as const;
const ADMIN = ["admin"] as const;

/** Converts the age in a filter to ms. */
function filterOf<Query extends { readonly olderThan?: number | string | undefined }>({ olderThan, ...query }: Query) {
  return { ...query, ...(olderThan !== undefined && { olderThanMs: toMs(olderThan as Duration, "olderThan") }) };
}

/** Routes of a whole queue, for operators and workers. */
export const queueRoutes: readonly Route[] = [
  route({
    id: "pauseQueue",
    method: "POST",
    path: "/:queue/pause",
    scopes: ADMIN,
    summary: "Stops claiming; running jobs go on.",
    status: 200,
    answer: "CommandReply",
    errors: [],
    handle: ({ driver, queue }) => driver.command({ type: "pause", queue }),
  }),
  route({
    id: "resumeQueue",
    method: "POST",
    path: "/:queue/resume",
    scopes: ADMIN,
    summary: "Starts claiming again.",
    status: 200,
    answer: "CommandReply",
    errors: [],
    handle: ({ driver, queue }) => driver.command({ type: "resume", queue }),
  }),
  route({
    id: "retryJobs",
    method: "POST",
    path: "/:queue/retry",
    scopes: ADMIN,
    summary: "Puts all failed (or cancelled) jobs back in line, as far as the filter says.",
    query: retryQuery,
    status: 200,
    answer: "CommandReply",
    errors: [],
    handle: ({ driver, queue, query }) => driver.command({ type: "retryAll", queue, ...filterOf(query) }),
  }),
  route({
    id: "clearQueue",
    method: "POST",
    path: "/:queue/clear",
    scopes: ADMIN,
    summary: "Removes all jobs of the queue, or as far as the filter says.",
    query: clearQuery,
    status: 200,
    answer: "CommandReply",
    errors: [],
    handle: ({ driver, queue, query }) => driver.command({ type: "clear", queue, ...filterOf(query) }),
  }),
  route({
    id: "configureQueue",
    method: "PATCH",
    path: "/:queue/settings",
    scopes: ADMIN,
    summary: "Sets what belongs to the queue; null lifts a limit.",
    body: settingsBody,
    status: 200,
    answer: "CommandReply",
    errors: [],
    handle: ({ driver, queue, body }) =>
      driver.command({ type: "configure", queue, ...resolveSettings(body as ConfigureOption) }),
  }),
  route({
    id: "countJobs",
    method: "GET",
    path: "/:queue/counts",
    scopes: READ,
    summary: "How many jobs are in each state.",
    status: 200,
    answer: "Counts",
    errors: [],
    handle: ({ driver, queue }) => driver.counts(queue),
  }),
  route({
    id: "exchange",
    method: "POST",
    path: "/:queue/exchange",
    scopes: ["work"],
    summary:
      "One round of a worker: settle what ended, renew what runs, claim more. Numbered; sent again under the same number it answers the same.",
    idempotencyKey: "checked",
    body: exchangeBody,
    status: 200,
    answer: "ExchangeReply",
    errors: ["subject_required", "stale_exchange", "lease_lost", "too_large"],
    handle: async ({ driver, queue, worker, body: { claim, ...round } }) => {
      const { names, batch, ...rest } = claim;
      const queues = [{ queue, ...(names && { names }), ...(batch && { batch }) }];
      const own = { ...round, worker: await worker(round.worker), liveness: "time" };
      const reply = await driver.exchangePage({ ...own, claim: { ...rest, queues } } as ExchangeRequest);
      // An exchange may recover jobs of dead workers in all queues of the object. The caller sees only those of its own
      // queue.
      return unlessLost({ ...reply, interrupted: reply.interrupted.filter((job) => job.queue === queue) });
    },
  }),
  route({
    id: "getNextWake",
    method: "GET",
    path: "/:queue/next-wake",
    scopes: ["work"],
    summary: "Ms until a claim could first succeed; null when nothing is to come.",
    status: 200,
    answer: "NextWake",
    errors: [],
    handle: async ({ driver, queue }) => ({ nextWakeMs: (await driver.nextWake([queue])) ?? null }),
  }),
  route({
    id: "watchQueue",
    method: "GET",
    path: "/:queue/events",
    scopes: ["enqueue", "work", "admin"],
    summary: "Changes of the queue, as they happen.",
    status: 200,
    answer: "events",
    errors: [],
    handle: async ({ method, events, grant }) => {
      // A HEAD request gets no stream: without a reader, the stream would stay open.
      const stream = method === "HEAD" ? null : endingAt(await events(), grant.expiresAt);
      return new Response(stream, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
    },
  }),
];
