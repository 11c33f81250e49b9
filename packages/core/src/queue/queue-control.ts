import { checkDriver } from "../drivers/check-driver.ts";
import type { Driver } from "../engine/driver.ts";
import type { Change } from "../engine/store.ts";
import type { Command, CommandReply, JobCounts, JobFilter, JobPage, ListQuery, Schedule } from "../engine/verbs.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError, refused } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import type { JobMap, JobName, PayloadOf, ResultOf } from "../job/job-map.ts";
import { checkPriority, checkTags, type JobOptions, resolveKeep } from "../job/job-options.ts";
import type { JobRecord, JobState, Keep } from "../job/job-record.ts";
import { canonicalText, type Json, toJsonText } from "../job/json.ts";
import { LIMITS } from "../job/limits.ts";
import type { NewJob } from "../job/new-job.ts";
import { type RecurrenceOption, resolveRecurrence } from "../job/next-occurrence.ts";
import { callable, fields, integer, oneOf, positiveMs } from "../job/option-checks.ts";
import { STATES } from "../job/transitions.ts";
import type { QueueMetrics } from "./metrics.ts";
import type { QueueContext } from "./queue-context.ts";
import { type WaitOptions, waitFor } from "./wait-for.ts";

/** Which jobs; all conditions hold together. */
export interface FilterOption {
  readonly name?: string | undefined;
  /** Jobs that bear all of these. */
  readonly tags?: readonly string[] | undefined;
  /** Ended longer ago than this; of jobs that have not ended: added longer ago. */
  readonly olderThan?: Duration | undefined;
}

/** Which jobs `queue.clear` removes. */
export interface ClearOption extends FilterOption {
  readonly state?: JobState | undefined;
}

/** Which jobs `queue.retryAll` retries. */
export interface RetryAllOption extends FilterOption {
  /** Default `failed`. */
  readonly state?: "failed" | "cancelled" | undefined;
}

/** Settings of a queue, kept in its store for all of its workers. `null` lifts a limit. */
export interface ConfigureOption {
  readonly keep?: Partial<Keep> | undefined;
  /** At most `max` jobs begin in any `per`. */
  readonly rateLimit?: { readonly max: number; readonly per: Duration } | null | undefined;
  /** At most so many jobs at once. */
  readonly maxActive?: number | null | undefined;
}

/** Job options that a recurrence sets itself. */
const SET_BY_RECURRENCE: ReadonlySet<string> = new Set(["id", "delay", "availableAt", "dedupe"]);

/** Options of the jobs of a recurrence. */
export type RecurringOptions = Omit<JobOptions, "id" | "delay" | "availableAt" | "dedupe">;

/** The verbs that inspect and steer a queue, wherever its jobs are kept. */
export class QueueControl<Jobs extends JobMap = Record<string, unknown>> {
  readonly name: string;
  readonly driver: Driver;
  /** @internal */
  protected readonly context: QueueContext;

  /** @internal `new Queue` makes one. */
  protected constructor(name: string, driver: Driver, context: QueueContext) {
    this.name = checkName(name, "queue name");
    this.driver = checkDriver(driver, `Queue ${JSON.stringify(name)}`);
    this.context = context;
  }

  /** The job as it stands; undefined when there is none, or it has ended and was not kept. */
  async get<Name extends JobName<Jobs>>(id: string): Promise<JobRecord<PayloadOf<Jobs, Name>> | undefined> {
    const job = await this.driver.get(this.name, checkId(id));
    return job && (this.context.runner.readable(job) as Promise<JobRecord<PayloadOf<Jobs, Name>>>);
  }

  /**
   * A page of jobs, 100 unless `limit` says otherwise; pass its `cursor` for the next one. Each page shows its own moment:
   * a job that changes its state between two pages, one that a worker claims above all, may be on neither or on both.
   */
  async list(query: Omit<ListQuery, "queue"> = {}): Promise<JobPage> {
    const { tags } = fields(query, "query", ["state", "tags", "limit", "cursor", "positions"]);
    if (tags !== undefined) checkTags(tags);
    const page = await this.driver.list({ ...query, queue: this.name });
    return { ...page, jobs: await Promise.all(page.jobs.map((job) => this.context.runner.readable(job))) };
  }

  counts(): Promise<JobCounts> {
    return this.driver.counts(this.name);
  }

  /** Jobs that have not ended: waiting, delayed and active. */
  async size(): Promise<number> {
    const { waiting, delayed, active } = await this.counts();
    return waiting + delayed + active;
  }

  async delayedSize(): Promise<number> {
    return (await this.counts()).delayed;
  }

  /** What the workers of this object have done since it was made. */
  metrics(): QueueMetrics {
    return this.context.metrics.read(this.name);
  }

  /**
   * Resolves with the result of a job, also one that ended before. It needs ended jobs to be kept (`keep`, by default the
   * last 100), and does not poll.
   *
   * @throws {QuaysideError} the job's own error by its code; `cancelled`; `job_not_found`; `timeout`. Or the signal's reason.
   * @example
   * const id = await queue.addJob("resize", { url });
   * const { width } = await queue.waitFor<"resize">(id, { timeout: "30s" });
   */
  async waitFor<Name extends JobName<Jobs>>(id: string, options: WaitOptions = {}): Promise<ResultOf<Jobs, Name>> {
    checkId(id);
    fields(options, "options", ["timeout", "signal"]);
    const { driver, name: queue } = this;
    const read = (job: JobRecord) => this.context.runner.ended(job);
    return waitFor({ ...options, driver, clock: this.context.clock, queue, id, read }) as Promise<ResultOf<Jobs, Name>>;
  }

  /** Ends a waiting job as `cancelled`; asks a running one to stop. `affected: 0` when it had ended already. */
  cancel(id: string): Promise<CommandReply> {
    return this.#command({ type: "cancel", id });
  }

  /** Puts a failed or cancelled job back in line, with fresh attempts. @throws {QuaysideError} `job_not_found`, `conflict`. */
  retry(id: string): Promise<CommandReply> {
    return this.#command({ type: "retry", id });
  }

  /** Puts all failed (or all cancelled) jobs back in line, or those that the filter means. */
  async retryAll(filter: RetryAllOption = {}): Promise<CommandReply> {
    const { state, ...rest } = fields(filter, "filter");
    if (state !== undefined) oneOf(state, ["failed", "cancelled"], "state");
    return this.#command({ type: "retryAll", ...(state && { state }), ...filterOf(rest) });
  }

  /** Makes a delayed job due now. @throws {QuaysideError} `job_not_found`, `conflict` when it runs or has ended. */
  promote(id: string): Promise<CommandReply> {
    return this.#command({ type: "promote", id });
  }

  /**
   * Changes a job that waits: its payload (checked as when adding), priority, or delay from now.
   *
   * @throws {QuaysideError} `job_not_found`; `conflict` when it runs or has ended; as `addJob` for the payload.
   */
  async update<Name extends JobName<Jobs>>(
    id: string,
    change: { readonly payload?: PayloadOf<Jobs, Name>; readonly priority?: number; readonly delay?: Duration },
  ): Promise<CommandReply> {
    checkId(id);
    const { priority, delay } = fields(change, "change", ["payload", "priority", "delay"]);
    const next = change.payload === undefined ? undefined : await this.#newPayload(id, change.payload);
    return this.#command({
      type: "update",
      id,
      ...next,
      ...(priority !== undefined && { priority: checkPriority(priority) }),
      ...(delay !== undefined && { delayMs: toMs(delay, "delay") }),
    });
  }

  /** Deletes a job in any state; a running one is asked to stop and then leaves no trace. */
  remove(id: string): Promise<CommandReply> {
    return this.#command({ type: "remove", id });
  }

  /** Removes all jobs, those of one state, or those that a filter means. Thousands go in several transactions. */
  async clear(which: JobState | ClearOption = {}): Promise<CommandReply> {
    const { state, ...rest } = typeof which === "string" ? { state: which } : fields(which, "filter");
    if (state !== undefined) oneOf(state, STATES, "state");
    return this.#command({ type: "clear", ...(state && { state }), ...filterOf(rest) });
  }

  /** Nobody claims jobs of this queue until `resume`; running ones go on. */
  async pause(): Promise<void> {
    await this.#command({ type: "pause" });
  }

  async resume(): Promise<void> {
    await this.#command({ type: "resume" });
  }

  /**
   * Sets what belongs to the queue and lives in its store; the last writer wins, what is not said stays.
   *
   * @example
   * await queue.configure({ rateLimit: { max: 10, per: "1s" }, maxActive: 4, keep: { completed: 1_000 } });
   */
  async configure(options: ConfigureOption): Promise<void> {
    const { keep, rateLimit, maxActive } = fields(options, "options", ["keep", "rateLimit", "maxActive"]);
    await this.#command({
      type: "configure",
      ...(keep !== undefined && { keep: resolveKeep(keep) }),
      ...(rateLimit !== undefined && { rateLimit: rateLimit === null ? null : resolveRateLimit(rateLimit) }),
      ...(maxActive !== undefined && {
        maxActive: maxActive === null ? null : integer(maxActive, 1, LIMITS.maxActive, "maxActive"),
      }),
    });
  }

  /**
   * Has a job recur, under a key: one occurrence at a time is pending, a missed stretch runs once. An app may repeat this
   * at every start: the same schedule keeps its phase, its count and its pending occurrence; another payload or option
   * changes the pending one in place; another interval or expression plans again.
   *
   * @example
   * await queue.schedule("nightly", { cron: "0 3 * * *", timeZone: "Europe/Vienna" }, "report", { kind: "daily" });
   * await queue.schedule("sync", { every: "5m", limit: 100 }, "sync", null, { maxAttempts: 1 });
   */
  async schedule<Name extends JobName<Jobs>>(
    key: string,
    recurrence: RecurrenceOption,
    name: Name,
    payload: PayloadOf<Jobs, Name>,
    options?: RecurringOptions,
  ): Promise<void> {
    checkName(key, "schedule key");
    const rule = resolveRecurrence(recurrence);
    for (const option in options)
      if (SET_BY_RECURRENCE.has(option))
        throw refused(option, "is set by the recurrence", options[option as keyof RecurringOptions]);
    this.context.registry.check(name);
    const job = await this.context.producer.prepare({ queue: this.name, name, payload, options });
    const before = job.sealed && (await this.#sameSealed(key, job.name, payload));
    await this.#command({ type: "schedule", key, rule, job: before ? { ...job, ...before } : job });
  }

  /** The stored envelope of a schedule whose payload is this one: encrypted again it would look like another. */
  async #sameSealed(key: string, name: string, payload: unknown): Promise<{ payload: string } | undefined> {
    const all = await this.driver.schedules(this.name);
    const before = all.find((one) => one.key === key && one.name === name);
    // What was not encrypted is now.
    if (!before?.sealed) return undefined;
    const open = await this.#payloadOf(before);
    const same = canonicalText(toJsonText(open, "payload")) === canonicalText(toJsonText(payload, "payload"));
    return same ? { payload: JSON.stringify(before.payload) } : undefined;
  }

  /** Ends a recurrence and takes its pending occurrence away. False when there was none under this key. */
  async unschedule(key: string): Promise<boolean> {
    return (await this.#command({ type: "unschedule", key })).affected > 0;
  }

  /** The recurrences, their payloads decrypted as far as there is a key. */
  async schedules(): Promise<readonly Schedule[]> {
    const all = await this.driver.schedules(this.name);
    return Promise.all(all.map(async (one) => ({ ...one, payload: await this.#payloadOf(one) })));
  }

  #payloadOf(schedule: Schedule): Promise<Json> {
    return this.context.runner.payload({ ...schedule, id: "" }).catch(() => schedule.payload) as Promise<Json>;
  }

  /** Calls back after something in this queue changed, here or in another tab. Returns the function that stops it. */
  watch(listener: (change: Change) => void): () => void {
    callable(listener, "listener");
    return this.driver.watch((change) => {
      if (change.queue === this.name) listener(change);
    });
  }

  async #command(command: CommandOfQueue): Promise<CommandReply> {
    if ("id" in command) checkId(command.id);
    return this.driver.command({ ...command, queue: this.name } as Command);
  }

  /** Checked by the schema of the job's name, and encrypted if what stands is. */
  async #newPayload(id: string, payload: unknown): Promise<Pick<NewJob, "payload" | "sealed">> {
    const job = await this.driver.get(this.name, id);
    if (!job) throw new QuaysideError("job_not_found", `There is no job ${id} in queue ${this.name}.`, { id });
    const encrypted = job.sealed ?? (await this.context.runner.payload(job)) !== job.payload;
    // With its dedupe key, as when it was added: a payload that may become another job's is not bound to its id.
    const options = { id, encrypted, ...(job.dedupe && { dedupe: { key: job.dedupe.key } }) };
    const next = await this.context.producer.prepare({ queue: this.name, name: job.name, payload, options });
    return { payload: next.payload, ...(next.sealed && { sealed: next.sealed }) };
  }
}

/** A command without the queue that it is for. */
type CommandOfQueue<C extends Command = Command> = C extends Command ? Omit<C, "queue"> : never;

/** Returns `id`, or refuses it when it is no string. */
function checkId(id: string): string {
  if (typeof id !== "string") throw refused("id", "must be a string", id);
  return id;
}

/** @throws {QuaysideError} `invalid_option` for a field that is none, or tags that would mean every job. */
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
