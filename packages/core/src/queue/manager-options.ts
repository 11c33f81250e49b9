import type { Driver } from "../engine/driver.ts";
import type { Handler, JobRequest, Middleware } from "../job/handler.ts";
import type { JobDefinition } from "../job/job-map.ts";
import type { JobDefaults, JobOptions } from "../job/job-options.ts";
import type { Keep } from "../job/job-record.ts";
import type { JobMap, JobName, PayloadOf, WithPayload } from "../job/job-types.ts";
import type { JobWorkerOptions } from "../worker/worker-options.ts";
import type { ConfigureOption } from "./operate.ts";
import type { SharedOptions } from "./queue-context.ts";

/** Settings of one queue of a manager. `rateLimit`, `maxActive`, `maxWaiting` and `keep` are stored when the manager starts. */
export interface QueueSettings extends ConfigureOption {
  /**
   * Maximum number of this queue's jobs that run at once in this manager: integer from 1 to 10,000. Default: the
   * manager's `concurrency`.
   */
  readonly concurrency?: number | undefined;
  /** The name of the connection that stores the queue. Default: the default connection. */
  readonly connection?: string | undefined;
  /**
   * Options of the queue's jobs. They take precedence over the manager's; options of a definition or job take
   * precedence over them. Default: none.
   */
  readonly defaults?: JobDefaults | undefined;
}

/** Options of `QueueManager`. */
export interface QueueManagerOptions<Jobs extends JobMap = JobMap, Ctx extends object = object>
  extends SharedOptions<Jobs, Ctx>,
    Pick<
      JobWorkerOptions,
      "concurrency" | "prefetch" | "lease" | "name" | "maxJobs" | "sleep" | "alarm" | "connectivity"
    > {
  /** The driver of the connection named `default`. Default: none; then pass `connections` or call `addConnection`. */
  readonly driver?: Driver | undefined;
  /** Further connections by name. Default: none. Without `driver`, the first of them is the default connection. */
  readonly connections?: { readonly [name: string]: Driver } | undefined;
  /** The queues to work, with their settings. Queues of registered jobs are worked as well. Default: none. */
  readonly queues?: { readonly [name: string]: QueueSettings } | undefined;
  /** Queue of jobs that name no queue, 1 to 256 characters. Default: `default`. */
  readonly defaultQueue?: string | undefined;
  /**
   * Number of ended jobs of each state that every queue keeps: integers from 0 to 1,000,000. Stored when the manager
   * starts. A queue's own settings take precedence. Default: each store's setting.
   */
  readonly keep?: Partial<Keep> | undefined;
}

/** A job with its handler, for `registerJob` of a manager. */
export interface JobRegistration<Payload, Ctx extends object, Input = Payload, Result = unknown>
  extends Omit<JobDefinition<Input, Payload, Result>, "handler" | "middleware"> {
  readonly name: string;
  readonly handler: Handler<Payload, Ctx>;
  readonly middleware?: readonly Middleware<Ctx>[] | undefined;
}

/** A job for `enqueue` of a manager. */
export type JobToEnqueue<Jobs extends JobMap> = {
  [Name in JobName<Jobs>]: Omit<JobRequest, "name" | "payload"> &
    WithPayload<PayloadOf<Jobs, Name>> & {
      readonly name: Name;
      /** Connection of the job. Default: that of its definition, else of its queue's settings, else the default one. */
      readonly connection?: string | undefined;
    };
}[JobName<Jobs>];

/** A job for `publish` of a manager, which adds it to several queues. */
export type JobToPublish<Jobs extends JobMap> = {
  [Name in JobName<Jobs>]: JobOptions &
    WithPayload<PayloadOf<Jobs, Name>> & {
      readonly name: Name;
      readonly queues: readonly string[];
      readonly connection?: string | undefined;
    };
}[JobName<Jobs>];
