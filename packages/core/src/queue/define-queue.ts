import { refused } from "../job/errors.ts";
import { checkName } from "../job/job-keys.ts";
import { definitionsOf } from "../job/job-map.ts";
import type { DefinedJobs, JobMap, JobName, PassJobs, UntypedJobs } from "../job/job-types.ts";
import type { NewJob } from "../job/new-job.ts";
import { resolveRecurrence } from "../job/next-occurrence.ts";
import { fields } from "../job/option-checks.ts";
import type { KernelQueue } from "./kernel-queue.ts";
import { type ConfigureOption, configure, resolveSettings } from "./operate.ts";
import { type RecurringJob, recurrenceParts, schedule, unschedule } from "./recurrences.ts";

/** The fields of an added job that `keyOf` receives. `payload` is JSON text. */
export type RoutedJob = Pick<NewJob, "queue" | "name" | "payload" | "id" | "dedupe" | "group" | "tags">;

/** Number of objects over which a queue is divided; or an object with this number, the previous number, and `keyOf`. */
export type ShardsOption = number | ShardsOptions;

/** Number of objects over which a queue is divided, and the key by which jobs are assigned to them. */
export interface ShardsOptions {
  /** Number of objects: 1 to 1,000. */
  readonly count: number;
  /**
   * The previous number of objects, while jobs added under it may remain. They are still worked and found, and a job
   * whose key is in use in its previous object is added there. Set 1 for a queue that was not split.
   */
  readonly previous?: number | undefined;
  /**
   * Returns the key by which a job is assigned to an object, for example the customer. Jobs with the same key are in
   * the same object, in the order in which they were added. If it returns undefined, the job's dedupe key or group
   * decides, else its id; a job without any of these goes to any object. Ids, dedupe keys and groups are unique per
   * object only. Use the same function wherever jobs are added.
   */
  readonly keyOf?: ((job: RoutedJob) => string | undefined) | undefined;
}

/** The recurrences of a queue, by their keys. `null` ends the recurrence of a key that an earlier version declared. */
export type DeclaredSchedules<Jobs extends JobMap> = {
  readonly [key: string]: { [Name in JobName<Jobs>]: RecurringJob<Jobs, Name> }[JobName<Jobs>] | null;
};

/** Options of `defineQueue`. Settings: see `queue.configure`. */
export interface DefineQueueOptions<Jobs extends JobMap> extends ConfigureOption {
  /** The job map from `defineJobs`. Default: any job name and any payload. */
  readonly jobs?: Jobs | undefined;
  /** Number of Durable Objects over which the queue is divided. Ignored by other drivers. Default: one. */
  readonly shards?: ShardsOption | undefined;
  /**
   * The recurrences of the queue, by their keys. A recurrence that is left out of a later version goes on; `null` in its
   * place ends it. Default: none.
   */
  readonly schedules?: DeclaredSchedules<Jobs> | undefined;
}

/** A queue as `defineQueue` returns it: what all sides that use it must agree on. */
export interface QueueDefinition<Jobs extends JobMap = JobMap> extends ConfigureOption {
  readonly name: string;
  readonly jobs?: Jobs | undefined;
  readonly shards?: ShardsOption | undefined;
  readonly schedules?: Readonly<Record<string, object | null>> | undefined;
  /** The type of the job map, which need not exist at run time. */
  readonly "~jobs"?: Jobs | undefined;
}

const FIELDS = ["jobs", "shards", "schedules"];

/**
 * Defines a queue once, for all sides that use it: its name, its jobs, and what its store keeps to (settings and
 * recurrences). Settings and recurrences are stored where the queue's store is: by a worker of the queue as it starts,
 * with a driver for memory or IndexedDB; by the object, with `durableQueue({ queues })`. A queue over HTTP, RPC or an
 * outbox stores none.
 *
 * @throws {QuaysideError} `invalid_option` for an invalid name, setting or recurrence.
 * @example
 * export const mail = defineQueue("mail", {
 *   jobs,
 *   maxActive: 4,
 *   schedules: { nightly: { cron: "0 3 * * *", name: "report", payload: { kind: "daily" } } },
 * });
 * const queue = new Queue(mail, indexedDbDriver({ name: "app" }));
 */
export function defineQueue<Jobs extends JobMap = UntypedJobs>(
  name: string & PassJobs<Jobs>,
  options?: DefineQueueOptions<Jobs>,
): QueueDefinition<Jobs>;
export function defineQueue<Jobs extends DefinedJobs<object>>(
  name: string,
  options: DefineQueueOptions<Jobs> & { readonly jobs: Jobs },
): QueueDefinition<Jobs>;
export function defineQueue(name: string, options: DefineQueueOptions<UntypedJobs> = {}): QueueDefinition {
  const { jobs, schedules = {} } = fields(options, "options");
  checkName(name, "queue name");
  if (jobs !== undefined) definitionsOf(jobs);
  resolveSettings(settingsOf(options));
  for (const [key, recurrence] of Object.entries(fields(schedules, "schedules"))) {
    checkName(key, "schedule key");
    if (recurrence === null) continue;
    const { when, name: job } = recurrenceParts(recurrence);
    resolveRecurrence(when);
    if (jobs !== undefined && !Object.hasOwn(jobs, job))
      throw refused(`schedules.${key}.name`, "must be a job of the job map", job);
  }
  return Object.freeze({ ...options, name });
}

/** Returns the settings in a definition. */
export function settingsOf(definition: ConfigureOption): ConfigureOption {
  return Object.fromEntries(
    Object.entries(definition).filter(([field]) => field !== "name" && !FIELDS.includes(field)),
  );
}

/** Stores the settings of a definition, if it has any. */
export async function declareSettings(queue: KernelQueue, definition: QueueDefinition): Promise<void> {
  const settings = settingsOf(definition);
  if (Object.keys(settings).length > 0) await configure(queue, settings);
}

/**
 * Stores the recurrences of a definition. An unchanged one keeps its phase and its pending job.
 *
 * @param isHere returns whether the recurrence of a key belongs to this store. Default: all do.
 */
export async function declareSchedules(
  queue: KernelQueue,
  { schedules = {} }: QueueDefinition,
  isHere: (key: string) => boolean = () => true,
): Promise<void> {
  for (const [key, recurrence] of Object.entries(schedules)) {
    if (!isHere(key)) continue;
    if (recurrence === null) await unschedule(queue, key);
    else await schedule(queue, key, recurrence as RecurringJob<UntypedJobs>);
  }
}
