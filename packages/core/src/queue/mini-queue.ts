import { pluginsOf } from "../drivers/check-driver.ts";
import type { Driver } from "../engine/driver.ts";
import { checkPlugins, type Plugin } from "../engine/plugin.ts";
import { refused } from "../job/errors.ts";
import type { JobDefinition } from "../job/job-map.ts";
import { KERNEL_OPTIONS } from "../job/job-options.ts";
import type { JobMap, PassJobs, UntypedJobs } from "../job/job-types.ts";
import { fields } from "../job/option-checks.ts";
import { JobSubmitter } from "./job-submitter.ts";
import { KernelQueue } from "./kernel-queue.ts";
import { makeQueueContext, type SharedOptions } from "./queue-context.ts";

/** Options of the `Queue` of `@quayside/core/mini`. */
export interface MiniQueueOptions<Jobs extends JobMap = JobMap, Ctx extends object = object>
  extends SharedOptions<Jobs, Ctx> {
  /**
   * Plugins whose job options `addJob` accepts; other options are refused. Default: the plugins of the driver, if it
   * has a store in this process, else none.
   */
  readonly plugins?: readonly Pick<Plugin, "name" | "options">[] | undefined;
}

/**
 * A named queue with only the methods of the kernel: add and handle jobs, read, cancel and remove them, pause and
 * resume. Further methods are functions that take the queue, such as `addFlow(queue, flow)`. A `QueueWorker` works the
 * queue.
 *
 * @example
 * const queue = new Queue<Jobs>("mail", indexedDbDriver({ name: "app" }));
 * queue.on("job:email", async ({ to }) => send(to));
 * await queue.addJob("email", { to }, { delay: "5m" });
 * await new QueueWorker([queue]).start();
 */
export class MiniQueue<Jobs extends JobMap = UntypedJobs, Ctx extends object = object> extends KernelQueue<Jobs, Ctx> {
  /**
   * Creates a queue.
   *
   * @throws {QuaysideError} `invalid_option` if the name is empty, too long or not well-formed Unicode.
   */
  constructor(name: string, driver: Driver, options: MiniQueueOptions<Jobs, Ctx> & { readonly jobs: Jobs });
  constructor(name: string, driver: Driver & PassJobs<Jobs>, options?: MiniQueueOptions<Jobs, Ctx>);
  constructor(name: string, driver: Driver, options: MiniQueueOptions<Jobs, Ctx> = {}) {
    const { plugins = pluginsOf(driver)?.all ?? [], jobs = {} } = fields(options, "options");
    const parsers = Object.assign({}, KERNEL_OPTIONS, ...checkPlugins(plugins).map((plugin) => plugin.options));
    const context = makeQueueContext(options, driver, { parsers });
    for (const [job, { shouldQueue }] of Object.entries(jobs as Record<string, JobDefinition>))
      if (shouldQueue) throw refused(`${job}.shouldQueue`, "needs the Queue of @quayside/core", shouldQueue);
    super(name, driver, { context, submitter: new JobSubmitter(context, driver), workers: new Set() });
  }
}
