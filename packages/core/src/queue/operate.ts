import type { CommandReply, JobFilter, JobPage, ListQuery, QueueConfig } from "../engine/verbs.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError, refused } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import { checkPriority, checkTags, resolveKeep } from "../job/job-options.ts";
import type { JobState, Keep } from "../job/job-record.ts";
import * as LIMITS from "../job/limits.ts";
import type { NewJob } from "../job/new-job.ts";
import { fields, integer, oneOf, positiveMs } from "../job/option-checks.ts";
import { STATES } from "../job/transitions.ts";
import { prepare } from "./job-submitter.ts";
import { checkId, command, type SomeQueue } from "./kernel-queue.ts";
import { partsOf } from "./queue-context.ts";
import { readable } from "./sealed-jobs.ts";

/** Selects jobs, for `queue.clear` and `queue.retryAll`. A job must match all conditions. */
export interface FilterOption {
  readonly name?: string | undefined;
  /** Only jobs that have all of these tags. */
  readonly tags?: readonly string[] | undefined;
  /** Only jobs that ended longer ago than this; jobs that have not ended, only if they were added longer ago. */
  readonly olderThan?: Duration | undefined;
}

/** Selects the jobs that `queue.clear` removes. */
export interface ClearOption extends FilterOption {
  readonly state?: JobState | undefined;
}

/** Selects the jobs that `queue.retryAll` retries. */
export interface RetryAllOption extends FilterOption {
  /** State of the jobs to retry. Default: `failed`. */
  readonly state?: "failed" | "cancelled" | undefined;
}

/** Settings of a queue, stored for all of its workers. `null` removes a limit. */
export interface ConfigureOption {
  /**
   * Number of ended jobs of each state that the queue keeps, the last that ended: integers from 0 to 1,000,000. A kept
   * job that is removed or retried makes no older one stay longer. Omitted states are unchanged. Default: 100
   * completed, 1,000 failed, 100 cancelled.
   */
  readonly keep?: Partial<Keep> | undefined;
  /**
   * At most `max` jobs (1 to 1,000,000) start in any interval of `per` (from 1 ms), over all workers. `null` removes
   * the limit. Default: none.
   */
  readonly rateLimit?: { readonly max: number; readonly per: Duration } | null | undefined;
  /**
   * Maximum number of the queue's jobs that run at once, over all workers: integer from 1 to 1,000,000. `null` removes
   * the limit. Default: none.
   */
  readonly maxActive?: number | null | undefined;
  /**
   * Maximum number of the queue's jobs that neither run nor have ended, also delayed and blocked ones: integer from 1 to
   * 10,000,000. An add after which more would wait is refused as a whole, with `queue_full`. Retries and occurrences of
   * recurrences are not refused. `null` removes the limit. Default: none.
   */
  readonly maxWaiting?: number | null | undefined;
}

/** The fields of a waiting job that `queue.update` changes. */
export interface JobChange<Payload = unknown> {
  readonly payload?: Payload | undefined;
  readonly priority?: number | undefined;
  /** New delay of the job, from now. */
  readonly delay?: Duration | undefined;
}

/**
 * Returns a page of jobs, by default 100; pass its `cursor` to get the next page. Pages are read at different times: a
 * job whose state changes in between may be on neither or on both.
 */
export async function list(queue: SomeQueue, query: Omit<ListQuery, "queue"> = {}): Promise<JobPage> {
  const { tags } = fields(query, "query", ["state", "tags", "limit", "cursor", "positions"]);
  if (tags !== undefined) checkTags(tags);
  const page = await queue.driver.list({ ...query, queue: queue.name });
  const { encryption } = partsOf(queue).context;
  return { ...page, jobs: await Promise.all(page.jobs.map((job) => readable(encryption, job))) };
}

/** Retries a failed or cancelled job with new attempts. @throws {QuaysideError} `job_not_found`, `conflict`. */
export const retry = (queue: SomeQueue, id: string): Promise<CommandReply> => command(queue, { type: "retry", id });

/** Retries all failed (or all cancelled) jobs that match the filter. */
export async function retryAll(queue: SomeQueue, filter: RetryAllOption = {}): Promise<CommandReply> {
  const { state, ...rest } = fields(filter, "filter");
  if (state !== undefined) oneOf(state, ["failed", "cancelled"], "state");
  return command(queue, { type: "retryAll", ...(state && { state }), ...filterOf(rest) });
}

/** Makes a delayed job due now. @throws {QuaysideError} `job_not_found`; `conflict` if it runs or has ended. */
export const promote = (queue: SomeQueue, id: string): Promise<CommandReply> => command(queue, { type: "promote", id });

/**
 * Changes a waiting job: its payload (checked as in `addJob`), priority, or delay from now.
 *
 * @throws {QuaysideError} `job_not_found`; `conflict` if it runs or has ended; as `addJob` for the payload.
 */
export async function update(queue: SomeQueue, id: string, change: JobChange): Promise<CommandReply> {
  checkId(id);
  const { payload, priority, delay } = fields(change, "change", ["payload", "priority", "delay"]);
  const next = payload === undefined ? undefined : await newPayload(queue, id, payload);
  return command(queue, {
    type: "update",
    id,
    ...next,
    ...(priority !== undefined && { priority: checkPriority(priority) }),
    ...(delay !== undefined && { delayMs: toMs(delay, "delay") }),
  });
}

/**
 * Removes all jobs, those of one state, or those that match a filter. Several transactions remove thousands of jobs.
 */
export async function clear(queue: SomeQueue, which: JobState | ClearOption = {}): Promise<CommandReply> {
  const { state, ...rest } = typeof which === "string" ? { state: which } : fields(which, "filter");
  if (state !== undefined) oneOf(state, STATES, "state");
  return command(queue, { type: "clear", ...(state && { state }), ...filterOf(rest) });
}

/**
 * Changes the stored settings of a queue, which apply to all workers. Settings that are not given are unchanged; the
 * last call decides.
 *
 * @example
 * await configure(queue, { rateLimit: { max: 10, per: "1s" }, maxActive: 4, keep: { completed: 1_000 } });
 */
export async function configure(queue: SomeQueue, options: ConfigureOption): Promise<void> {
  await command(queue, { type: "configure", ...resolveSettings(options) });
}

/** Converts settings of a queue to those of the driver. @throws {QuaysideError} `invalid_option`. */
export function resolveSettings(options: ConfigureOption): QueueConfig {
  const { keep, rateLimit, maxActive, maxWaiting } = fields(options, "options", [
    "keep",
    "rateLimit",
    "maxActive",
    "maxWaiting",
  ]);
  return {
    ...(keep !== undefined && { keep: resolveKeep(keep) }),
    ...(rateLimit !== undefined && { rateLimit: rateLimit === null ? null : resolveRateLimit(rateLimit) }),
    ...(maxActive !== undefined && { maxActive: limitOf(maxActive, LIMITS.maxActive, "maxActive") }),
    ...(maxWaiting !== undefined && { maxWaiting: limitOf(maxWaiting, LIMITS.maxWaiting, "maxWaiting") }),
  };
}

const limitOf = (limit: number | null, most: number, option: string) =>
  limit === null ? null : integer(limit, 1, most, option);

/**
 * Prepares a new payload for a stored job: checked by the schema of the job's name, and encrypted if the stored payload
 * is.
 */
async function newPayload(queue: SomeQueue, id: string, payload: unknown): Promise<Pick<NewJob, "payload" | "sealed">> {
  const { driver, name } = queue;
  const { context } = partsOf(queue);
  const job = await driver.get(name, id);
  if (!job) throw new QuaysideError("job_not_found", `There is no job ${id} in queue ${name}.`, { id });
  const encrypted = job.sealed === true;
  // With the job's dedupe key, as in `addJob`: a payload that another job may take over is not bound to this job's id.
  const options = { id, encrypted, ...(job.dedupe && { dedupe: { key: job.dedupe.key } }) };
  const next = await prepare(context, { queue: name, name: job.name, payload, options });
  return { payload: next.payload, ...(next.sealed && { sealed: next.sealed }) };
}

/**
 * Converts a filter option to a filter of the driver.
 *
 * @throws {QuaysideError} `invalid_option` for an unknown field, or an empty list of tags, which would match every job.
 */
function filterOf(filter: FilterOption): JobFilter {
  const { name, tags, olderThan } = fields(filter, "filter", ["state", "name", "tags", "olderThan"]);
  return {
    ...(name !== undefined && { name: checkName(name, "name") }),
    ...(tags !== undefined && { tags: checkFilterTags(tags) }),
    ...(olderThan !== undefined && { olderThanMs: toMs(olderThan, "olderThan") }),
  };
}

function checkFilterTags(tags: readonly string[]): readonly string[] {
  if (checkTags(tags).length > 0) return tags;
  throw refused("tags", "must name at least one tag (leave it out to mean all jobs)", "[]");
}

function resolveRateLimit(rateLimit: NonNullable<ConfigureOption["rateLimit"]>) {
  const { max, per } = fields(rateLimit, "rateLimit", ["max", "per"], "rateLimit.");
  const perMs = positiveMs(per, "rateLimit.per");
  return { max: integer(max, 1, LIMITS.rateLimitMax, "rateLimit.max"), perMs };
}
