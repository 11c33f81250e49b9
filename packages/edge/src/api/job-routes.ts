import {
  type Duration,
  type ErrorCode,
  type JobOptions,
  QuaysideError,
  type RecurrenceOption,
  toMs,
} from "@quayside/core";
import { type RecurrenceRule, resolveRecurrence } from "@quayside/core/engine";
import { quotaOf } from "./auth.ts";
import { readJob, readJobs } from "./new-jobs.ts";
import { checkAgainst } from "./option-caps.ts";
import { FieldsError } from "./problem.ts";

import {
  afterKeyQuery,
  afterQuery,
  idsBody,
  jobBodies,
  jobBody,
  listQuery,
  scheduleBody,
  updateBody,
} from "./request-schemas.ts";

import { type Route, route } from "./route.ts";

const READ = ["work", "admin"] as const;
const ADMIN = ["admin"] as const;
/** Error codes with which a job can be refused. */
const JOB_ERRORS: readonly ErrorCode[] = ["unknown_job", "invalid_payload", "payload_too_large", "too_large"];

/**
 * Rewords an error about a missing plugin for a caller of the API, who cannot correct it: only the server's operator
 * can.
 */
function inWordsOfCallers(error: unknown): never {
  if (!(error instanceof QuaysideError) || error.details["missing"] !== "cron") throw error;
  const message = "This server takes no cron rules. Use a rule with every.";
  throw new FieldsError("invalid_option", message, [{ path: "rule.cron", message }]);
}

/** Resolves the rule of a recurrence. @throws {FieldsError} `invalid_option`, with the path of the field. */
function ruleOf(option: RecurrenceOption): RecurrenceRule {
  try {
    return resolveRecurrence(option);
  } catch (error) {
    if (!(error instanceof QuaysideError)) throw error;
    const { option: field } = error.details;
    const path = field === "recurrence" ? "rule" : `rule.${field}`;
    throw new FieldsError("invalid_option", error.message, [{ path, message: error.message }]);
  }
}

/** Creates a route that runs a command on the job in the path. */
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

/** Routes of single jobs and of recurrences. */
export const jobRoutes: readonly Route[] = [
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
    errors: [
      ...JOB_ERRORS,
      "queue_full",
      "subject_required",
      "wrong_subject",
      "child_exists",
      "mark_conflict",
      "in_progress",
      "stale_exchange",
    ],
    handle: async ({ driver, body, request, ...reading }) => {
      const jobs = await readJobs(body, reading);
      const receipts = await driver.enqueue(jobs, request, quotaOf(reading.grant));
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
  route({
    id: "findJobs",
    method: "POST",
    path: "/:queue/find",
    scopes: READ,
    summary: "The jobs with these ids. Those left were not read: ask for them again, or for each alone.",
    body: idsBody,
    status: 200,
    answer: "FoundJobs",
    errors: [],
    handle: ({ driver, queue, body: { ids } }) => driver.jobsPage(queue, ids),
  }),
  route({
    id: "listChildren",
    method: "GET",
    path: "/:queue/jobs/:id/children",
    scopes: READ,
    summary: "How the children of a parent ended: a page of them. Its moreChildren is the after of the next one.",
    query: afterQuery,
    status: 200,
    answer: "Children",
    errors: [],
    handle: ({ driver, queue, id, query: { after = "" } }) => driver.childrenPage(queue, id, after),
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
    handle: async ({ driver, queue, id, body: { payload, sealed, priority, delay }, ...reading }) => {
      const job = await driver.get(queue, id);
      if (!job) throw notFound(queue, id);
      const options = { ...(priority !== undefined && { priority }), ...(delay !== undefined && { delay }) };
      checkAgainst(reading.grant.caps, options as JobOptions, (option) => option);
      const next =
        payload === undefined
          ? undefined
          : await readJob({ name: job.name, payload, ...(sealed && { sealed }) }, "", { queue, ...reading });
      return driver.command({
        type: "update",
        queue,
        id,
        ...(next && { payload: next.payload, ...(sealed && { sealed }) }),
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
    summary:
      "A page of the queue's recurrences, in the order of their keys: those after one, or the first. Empty at the end.",
    query: afterKeyQuery,
    status: 200,
    answer: "Schedules",
    errors: [],
    handle: ({ driver, queue, query: { after } }) => driver.schedulesPage(queue, after),
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
    handle: async ({ driver, queue, id: key, body, ...reading }) => {
      const rule = ruleOf(body.rule as unknown as RecurrenceOption);
      const job = await readJob(body.job, "job", { queue, ...reading });
      return driver.command({ type: "schedule", queue, key, rule, job }).catch(inWordsOfCallers);
    },
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
    handle: ({ driver, queue, id: key }) => driver.command({ type: "unschedule", queue, key }),
  }),
];

const notFound = (queue: string, id: string) =>
  new QuaysideError("job_not_found", `Queue ${queue} has no job ${id}.`, { queue, id });
