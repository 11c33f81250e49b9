import type { Change } from "../engine/store.ts";
import type { CommandReply, JobPage, ListQuery, Schedule } from "../engine/verbs.ts";
import type { FlowIds, FlowJob } from "../job/flow.ts";
import type { JobId, JobState } from "../job/job-record.ts";
import type { JobMap, JobName, JobOf, PayloadOf, ResultOf, UntypedJobs } from "../job/job-types.ts";
import { callable } from "../job/option-checks.ts";
import { addBatch, addFlow, addSequence } from "./flow-builder.ts";
import { type JobToAdd, KernelQueue } from "./kernel-queue.ts";
import type { QueueMetrics } from "./metrics.ts";
import {
  type ClearOption,
  type ConfigureOption,
  clear,
  configure,
  type JobChange,
  list,
  promote,
  type RetryAllOption,
  retry,
  retryAll,
  update,
} from "./operate.ts";
import { partsOf } from "./queue-context.ts";
import { type RecurringJob, schedule, schedules, unschedule } from "./recurrences.ts";
import { type WaitOptions, waitFor } from "./wait-for.ts";

/** The methods of a queue that plugins implement: flows, lists, changes of jobs, settings and recurrences. */
export class QueueControl<Jobs extends JobMap = UntypedJobs, Ctx extends object = object> extends KernelQueue<
  Jobs,
  Ctx
> {
  /**
   * Adds a job and its children, in one transaction. When the last child has ended, the parent runs and gets the
   * outcomes from `ctx.children()`.
   *
   * @example
   * const { id, children } = await queue.addFlow({
   *   name: "album", payload: { title },
   *   children: urls.map((url) => ({ name: "resize", payload: { url }, priority: 5 })),
   * });
   */
  addFlow(flow: FlowJob<Jobs>): Promise<FlowIds> {
    return addFlow(this, flow);
  }

  /**
   * Adds jobs that run one after the other, in one transaction. Each starts when the one before has completed, and gets
   * its outcome from `ctx.children()`. If a job fails, is cancelled or removed, the jobs after it fail with
   * `child_failed`. Resolves with their ids, in the order of `jobs`. At most 100 jobs.
   *
   * A repeated call adds nothing if the last job has an `id` that exists.
   *
   * @example
   * const ids = await queue.addSequence([
   *   { name: "charge", payload: { order } },
   *   { name: "ship", payload: { order }, maxAttempts: 10 },
   *   { name: "receipt", payload: { order }, id: `order-${order}` },
   * ]);
   */
  addSequence(jobs: readonly JobToAdd<Jobs>[]): Promise<readonly JobId<JobName<Jobs>>[]> {
    return addSequence(this, jobs);
  }

  /**
   * Adds jobs, and one more job (`onComplete`) that runs when all of them have ended, successfully or not, in one
   * transaction.
   *
   * @example
   * const { id, ids } = await queue.addBatch(rows.map((row) => ({ name: "import", payload: row })), {
   *   onComplete: { name: "report", payload: { file } },
   * });
   */
  addBatch(
    jobs: readonly JobToAdd<Jobs>[],
    options: { readonly onComplete: JobToAdd<Jobs> },
  ): Promise<{ readonly id: string; readonly ids: readonly string[] }> {
    return addBatch(this, jobs, options);
  }

  /**
   * Returns a page of jobs, by default 100; pass its `cursor` to get the next page. Pages are read at different times:
   * a job whose state changes in between may be on neither or on both.
   */
  list(query: Omit<ListQuery, "queue"> = {}): Promise<JobPage<JobOf<Jobs>>> {
    return list(this, query) as Promise<JobPage<JobOf<Jobs>>>;
  }

  /** Returns the number of unfinished jobs: waiting, delayed and active. */
  async size(): Promise<number> {
    const { waiting, delayed, active } = await this.counts();
    return waiting + delayed + active;
  }

  async delayedSize(): Promise<number> {
    return (await this.counts()).delayed;
  }

  /** Returns counts and times of the attempts that workers of this `Queue` object have made. */
  metrics(): QueueMetrics {
    return partsOf(this).context.metrics?.read(this.name) as QueueMetrics;
  }

  /**
   * Resolves with the result of a job, also if it has already ended. Requires that ended jobs are kept (`keep`, by
   * default the last 100). Does not poll.
   *
   * @throws {QuaysideError} the job's own error; `cancelled`; `job_not_found`; `timeout`. Or the signal's reason.
   * @example
   * const id = await queue.addJob("resize", { url });
   * const { width } = await queue.waitFor(id, { timeout: "30s" });
   */
  waitFor<Name extends JobName<Jobs> = JobName<Jobs>>(
    id: JobId<Name>,
    options?: WaitOptions,
  ): Promise<ResultOf<Jobs, Name>> {
    return waitFor(this, id, options) as Promise<ResultOf<Jobs, Name>>;
  }

  /** Retries a failed or cancelled job with new attempts. @throws {QuaysideError} `job_not_found`, `conflict`. */
  retry(id: string): Promise<CommandReply> {
    return retry(this, id);
  }

  /** Retries all failed (or all cancelled) jobs that match the filter. */
  retryAll(filter?: RetryAllOption): Promise<CommandReply> {
    return retryAll(this, filter);
  }

  /** Makes a delayed job due now. @throws {QuaysideError} `job_not_found`; `conflict` if it runs or has ended. */
  promote(id: string): Promise<CommandReply> {
    return promote(this, id);
  }

  /**
   * Changes a waiting job: its payload (checked as in `addJob`), priority, or delay from now.
   *
   * @throws {QuaysideError} `job_not_found`; `conflict` if it runs or has ended; as `addJob` for the payload.
   */
  update<Name extends JobName<Jobs> = JobName<Jobs>>(
    id: JobId<Name>,
    change: JobChange<PayloadOf<Jobs, Name>>,
  ): Promise<CommandReply> {
    return update(this, id, change);
  }

  /**
   * Removes all jobs, those of one state, or those that match a filter. Several transactions remove thousands of jobs.
   */
  clear(which?: JobState | ClearOption): Promise<CommandReply> {
    return clear(this, which);
  }

  /**
   * Changes the stored settings of the queue, which apply to all workers. Settings that are not given are unchanged;
   * the last call decides.
   *
   * @example
   * await queue.configure({ rateLimit: { max: 10, per: "1s" }, maxActive: 4, keep: { completed: 1_000 } });
   */
  configure(options: ConfigureOption): Promise<void> {
    return configure(this, options);
  }

  /**
   * Creates or changes a recurrence: adds a job at regular times, one pending at a time; missed times run once. An app
   * may repeat the call at every start: an unchanged recurrence keeps its phase, count and pending job; a new payload
   * or option changes the pending job in place; a new interval or expression moves the pending job to a new time.
   *
   * @example
   * await queue.schedule("nightly", { cron: "0 3 * * *", timeZone: "Europe/Vienna", name: "report" });
   * await queue.schedule("sync", { every: "5m", limit: 100, name: "sync", payload: { full: false }, maxAttempts: 1 });
   */
  schedule<Name extends keyof Jobs & string>(key: string, recurrence: RecurringJob<Jobs, Name>): Promise<void> {
    return schedule<Jobs, Name>(this, key, recurrence);
  }

  /** Ends a recurrence and removes its pending job. Returns false if there is none under this key. */
  unschedule(key: string): Promise<boolean> {
    return unschedule(this, key);
  }

  /** Returns the recurrences of the queue. Their payloads are decrypted if there is a key. */
  schedules(): Promise<readonly Schedule[]> {
    return schedules(this);
  }

  /** Calls the listener after changes in this queue, in any tab. Returns a function that removes it. */
  watch(listener: (change: Change) => void): () => void {
    callable(listener, "listener");
    return this.driver.watch((change) => {
      if (change.queue === this.name) listener(change);
    });
  }
}
