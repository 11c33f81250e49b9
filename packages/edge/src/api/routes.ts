import { type Command, type Duration, type ErrorCode, type ExchangeRequest, QuaysideError, toMs } from "@quayside/core";
import { unlessLost } from "../lost-exchange.ts";
import { quotaOf } from "./auth.ts";
import { readJob, readJobs } from "./new-jobs.ts";
import { type Call, type Route, type RouteInfo, route } from "./route.ts";
import {
  clearQuery,
  exchangeBody,
  jobBodies,
  jobBody,
  listQuery,
  retryQuery,
  scheduleBody,
  settingsBody,
  updateBody,
} from "./schemas.ts";

/**
 * The API as a table: who may call what, what it takes, what it answers, and which verb of the driver it is. The app is
 * made from it (`serve.ts`), and so is `openapi.json` (`openapi.ts`).
 */

type AnyCall = Call<undefined, undefined>;

const READ = ["work", "admin"] as const;
const ADMIN = ["admin"] as const;
/** What a job may be refused for. */
const JOB_ERRORS: readonly ErrorCode[] = ["unknown_job", "invalid_payload", "payload_too_large", "too_large"];

const command = (make: (call: AnyCall) => Command) => (call: AnyCall) => call.driver.command(make(call));

/** A command on the job that the path names. */
const jobCommand = (type: "cancel" | "retry" | "promote" | "remove", summary: string) =>
  route({
    id: `${type}Job`,
    method: type === "remove" ? "DELETE" : "POST",
    path: type === "remove" ? "/:queue/jobs/:id" : `/:queue/jobs/:id/${type}`,
    scopes: ADMIN,
    summary,
    status: 200,
    answer: "CommandReply",
    errors: ["job_not_found", "conflict"],
    handle: async ({ driver, queue, id }) => {
      const reply = await driver.command({ type, queue, id });
      if (reply.affected === 0 && reply.state === undefined) throw notFound(queue, id);
      return reply;
    },
  });

export const routes: readonly Route[] = [
  route({
    id: "getHealth",
    method: "GET",
    path: "/health",
    open: true,
    summary: "Whether the Worker answers. Touches no queue.",
    status: 200,
    answer: "Health",
    errors: [],
    handle: async () => ({ status: "ok" }),
  }),
  route({
    id: "getOpenApi",
    method: "GET",
    path: "/openapi.json",
    summary: "This document. It names the jobs and their payloads, so it is for callers with credentials.",
    status: 200,
    answer: "openapi",
    errors: [],
    handle: async ({ openapi }) => new Response(openapi(), { headers: { "content-type": "application/json" } }),
  }),
  route({
    id: "addJobs",
    method: "POST",
    path: "/:queue/jobs",
    scopes: ["enqueue"],
    summary: "Adds one job, or an array of jobs: all or none. Answers a receipt a job, in order.",
    idempotencyKey: "honoured",
    body: jobBody,
    many: jobBodies,
    status: 201,
    answer: "Receipts",
    errors: [...JOB_ERRORS, "mark_conflict", "in_progress", "stale_exchange"],
    handle: async ({ driver, body, request, grant, ...reading }) => {
      const jobs = await readJobs(body, reading);
      const receipts = await driver.enqueue(jobs, request, quotaOf(grant));
      return Array.isArray(body) ? receipts : (receipts[0] ?? null);
    },
  }),
  route({
    id: "listJobs",
    method: "GET",
    path: "/:queue/jobs",
    scopes: READ,
    summary: "A page of jobs of one state, or of all, in claim order, ended ones newest first.",
    query: listQuery,
    status: 200,
    answer: "JobPage",
    errors: [],
    handle: ({ driver, queue, query }) => driver.list({ queue, ...query }),
  }),
  route({
    id: "getJob",
    method: "GET",
    path: "/:queue/jobs/:id",
    scopes: READ,
    summary: "A job.",
    status: 200,
    answer: "Job",
    errors: ["job_not_found"],
    handle: async ({ driver, queue, id }) => {
      const job = await driver.get(queue, id);
      if (!job) throw notFound(queue, id);
      return job;
    },
  }),
  jobCommand("cancel", "Ends a waiting job as cancelled; asks a running one to stop."),
  jobCommand("retry", "Puts a failed or cancelled job back in line, with fresh attempts."),
  jobCommand("promote", "Makes a delayed job due now."),
  jobCommand("remove", "Deletes a job in any state; a running one is asked to stop first."),
  route({
    id: "updateJob",
    method: "PATCH",
    path: "/:queue/jobs/:id",
    scopes: ADMIN,
    summary: "Changes a waiting job: its payload, its priority, its delay from now.",
    body: updateBody,
    status: 200,
    answer: "CommandReply",
    errors: ["job_not_found", "conflict", ...JOB_ERRORS],
    handle: async ({ driver, queue, id, body: { payload, priority, delay }, ...reading }) => {
      const job = await driver.get(queue, id);
      if (!job) throw notFound(queue, id);
      const next =
        payload === undefined ? undefined : await readJob({ name: job.name, payload }, "", { queue, ...reading });
      return driver.command({
        type: "update",
        queue,
        id,
        ...(next && { payload: next.payload }),
        ...(priority !== undefined && { priority }),
        ...(delay !== undefined && { delayMs: toMs(delay as Duration, "delay") }),
      });
    },
  }),
  route({
    id: "listSchedules",
    method: "GET",
    path: "/:queue/schedules",
    scopes: READ,
    summary: "The recurrences of the queue.",
    status: 200,
    answer: "Schedules",
    errors: [],
    handle: ({ driver, queue }) => driver.schedules(queue),
  }),
  route({
    id: "setSchedule",
    method: "PUT",
    path: "/:queue/schedules/:key",
    scopes: ADMIN,
    summary: "Sets a recurrence. The same again changes nothing.",
    body: scheduleBody,
    status: 200,
    answer: "CommandReply",
    errors: JOB_ERRORS,
    handle: async ({ driver, queue, id: key, body: { rule, job }, ...reading }) =>
      driver.command({ type: "schedule", queue, key, rule, job: await readJob(job, "job", { queue, ...reading }) }),
  }),
  route({
    id: "removeSchedule",
    method: "DELETE",
    path: "/:queue/schedules/:key",
    scopes: ADMIN,
    summary: "Ends a recurrence, and takes its pending occurrence away.",
    status: 200,
    answer: "CommandReply",
    errors: [],
    handle: command(({ queue, id: key }) => ({ type: "unschedule", queue, key })),
  }),
  route({
    id: "pauseQueue",
    method: "POST",
    path: "/:queue/pause",
    scopes: ADMIN,
    summary: "Stops claiming; running jobs go on.",
    status: 200,
    answer: "CommandReply",
    errors: [],
    handle: command(({ queue }) => ({ type: "pause", queue })),
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
    handle: command(({ queue }) => ({ type: "resume", queue })),
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
    handle: ({ driver, queue, query }) => driver.command({ type: "retryAll", queue, ...query }),
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
    handle: ({ driver, queue, query }) => driver.command({ type: "clear", queue, ...query }),
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
    handle: ({ driver, queue, body }) => driver.command({ type: "configure", queue, ...body }),
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
    errors: ["stale_exchange", "lease_lost", "too_large"],
    handle: async ({ driver, queue, body: { claim, ...round } }) => {
      const { limit, names } = claim;
      const queues = [{ queue, ...(names && { names }) }];
      const request = { ...round, liveness: "time", claim: { limit, queues } } as ExchangeRequest;
      return unlessLost(await driver.exchange(request));
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
    handle: async ({ method, object, queue }) => {
      // A stream that nobody reads would stay open for ever.
      const stream = method === "HEAD" ? null : await object().events(queue);
      return new Response(stream, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
    },
  }),
];

/** The table of routes, for tests and tools: method, path, who may call. */
export const API_ROUTES: readonly RouteInfo[] = routes;

const notFound = (queue: string, id: string) =>
  new QuaysideError("job_not_found", `Queue ${queue} has no job ${id}.`, { queue, id });
