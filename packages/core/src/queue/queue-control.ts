import type { Change } from "../engine/store.ts";
import type { CommandReply, JobPage, ListQuery, Schedule } from "../engine/verbs.ts";
import type { Duration } from "../job/duration.ts";
import type { JobMap, JobName, PayloadOf, ResultOf } from "../job/job-map.ts";
import type { JobState } from "../job/job-record.ts";
import type { RecurrenceOption } from "../job/next-occurrence.ts";
import { callable } from "../job/option-checks.ts";
import { addBatch, addFlow, type FlowIds, type FlowJob } from "./flow-builder.ts";
import { type JobToAdd, KernelQueue } from "./kernel-queue.ts";
import type { QueueMetrics } from "./metrics.ts";
import {
  type ClearOption,
  type ConfigureOption,
  clear,
  configure,
  list,
  promote,
  type RetryAllOption,
  retry,
  retryAll,
  update,
} from "./operate.ts";
import { partsOf } from "./queue-context.ts";
import { type RecurringOptions, schedule, schedules, unschedule } from "./recurrences.ts";
import { type WaitOptions, waitFor } from "./wait-for.ts";

/** The verbs of all plugins, as methods: they inspect and steer a queue, wherever its jobs are kept. */
export class QueueControl<
  Jobs extends JobMap = Record<string, unknown>,
  Ctx extends object = object,
> extends KernelQueue<Jobs, Ctx> {
  /**
   * Adds a job and the jobs that it waits for, in one transaction. When the last child has ended the parent runs, and gets
   * their outcomes from `ctx.children()`.
   *
   * @example
   * const { id, children } = await queue.addFlow({
   *   name: "album", payload: { title },
   *   children: urls.map((url) => ({ name: "resize", payload: { url } })),
   * });
   */
  addFlow(flow: FlowJob<Jobs>): Promise<FlowIds> {
    return addFlow(this, flow);
  }

  /**
   * Adds jobs and one that runs when all of them have ended, however they ended, in one transaction.
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
   * Returns a page of jobs, 100 unless `limit` says otherwise; pass its `cursor` for the next one. Each page shows its own
   * moment: a job that changes its state between two pages, one that a worker claims above all, may be on neither or on both.
   */
  list(query: Omit<ListQuery, "queue"> = {}): Promise<JobPage> {
    return list(this, query);
  }

  /** Returns the number of jobs that have not ended: waiting, delayed and active. */
  async size(): Promise<number> {
    const { waiting, delayed, active } = await this.counts();
    return waiting + delayed + active;
  }

  async delayedSize(): Promise<number> {
    return (await this.counts()).delayed;
  }

  /** Returns counts and times of the attempts that workers of this object made since it was made. */
  metrics(): QueueMetrics {
    return partsOf(this).context.metrics?.read(this.name) as QueueMetrics;
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
  waitFor<Name extends JobName<Jobs>>(id: string, options?: WaitOptions): Promise<ResultOf<Jobs, Name>> {
    return waitFor(this, id, options) as Promise<ResultOf<Jobs, Name>>;
  }

  /** Puts a failed or cancelled job back in line, with fresh attempts. @throws {QuaysideError} `job_not_found`, `conflict`. */
  retry(id: string): Promise<CommandReply> {
    return retry(this, id);
  }

  /** Puts all failed (or all cancelled) jobs back in line, or those that the filter means. */
  retryAll(filter?: RetryAllOption): Promise<CommandReply> {
    return retryAll(this, filter);
  }

  /** Makes a delayed job due now. @throws {QuaysideError} `job_not_found`, `conflict` when it runs or has ended. */
  promote(id: string): Promise<CommandReply> {
    return promote(this, id);
  }

  /**
   * Changes a job that waits: its payload (checked as when adding), priority, or delay from now.
   *
   * @throws {QuaysideError} `job_not_found`; `conflict` when it runs or has ended; as `addJob` for the payload.
   */
  update<Name extends JobName<Jobs>>(
    id: string,
    change: { readonly payload?: PayloadOf<Jobs, Name>; readonly priority?: number; readonly delay?: Duration },
  ): Promise<CommandReply> {
    return update(this, id, change);
  }

  /** Removes all jobs, those of one state, or those that a filter means. Thousands go in several transactions. */
  clear(which?: JobState | ClearOption): Promise<CommandReply> {
    return clear(this, which);
  }

  /**
   * Changes the settings of the queue that its store keeps for all workers. The last call wins; a setting that is left out
   * stays as it is.
   *
   * @example
   * await queue.configure({ rateLimit: { max: 10, per: "1s" }, maxActive: 4, keep: { completed: 1_000 } });
   */
  configure(options: ConfigureOption): Promise<void> {
    return configure(this, options);
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
  schedule<Name extends JobName<Jobs>>(
    key: string,
    recurrence: RecurrenceOption,
    name: Name,
    payload: PayloadOf<Jobs, Name>,
    options?: RecurringOptions,
  ): Promise<void> {
    return schedule<Jobs, Name>(this, key, recurrence, name, payload, options);
  }

  /** Ends a recurrence and takes its pending occurrence away. False when there was none under this key. */
  unschedule(key: string): Promise<boolean> {
    return unschedule(this, key);
  }

  /** Returns the recurrences, their payloads decrypted as far as there is a key. */
  schedules(): Promise<readonly Schedule[]> {
    return schedules(this);
  }

  /** Calls back after something in this queue changed, here or in another tab. Returns the function that stops it. */
  watch(listener: (change: Change) => void): () => void {
    callable(listener, "listener");
    return this.driver.watch((change) => {
      if (change.queue === this.name) listener(change);
    });
  }
}
