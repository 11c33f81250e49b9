import { refused } from "../job/errors.ts";
import { fields } from "../job/option-checks.ts";
import { JobWorker } from "../worker/job-worker.ts";
import { RUN_FIELDS, type RunOptions } from "../worker/worker-options.ts";
import { workerQueueOf } from "./job-runner.ts";
import type { KernelQueue } from "./kernel-queue.ts";

/** A `Queue` with any job map. */
export type AnyQueue = Pick<KernelQueue, "name" | "driver" | "counts" | "places">;

/** A queue for a `QueueWorker`, with a limit of its own. */
export interface WorkedQueue {
  readonly queue: AnyQueue;
  /**
   * Maximum number of this queue's jobs that run at once, within the worker's `concurrency`: 1 to 10,000. Default: no
   * limit.
   */
  readonly concurrency?: number | undefined;
}

/**
 * Claims jobs from one or several queues of one driver and runs the handlers of these queues. For one queue,
 * `queue.run()` is enough; a `QueueWorker` shares its slots (`concurrency`) and lease among several.
 *
 * A job runs with its queue's handlers, middleware, `ctx`, encryption, telemetry and metrics. Events are emitted by the
 * worker and by the queue concerned.
 *
 * @example
 * const driver = indexedDbDriver({ name: "app" });
 * const mail = new Queue("mail", driver);
 * const images = new Queue("images", driver);
 * mail.on("job:welcome", ({ to }) => send(to));
 * images.on("job:resize", ({ file }) => resize(file));
 *
 * const worker = new QueueWorker([mail, { queue: images, concurrency: 2 }], { concurrency: 5 });
 * worker.on("failed", ({ job, error }) => report(job.name, error));
 * await worker.start();
 */
export class QueueWorker extends JobWorker {
  /**
   * Creates a worker.
   *
   * @param queues the queues to work, in the order of the first claim. All must have the same driver.
   * @throws {QuaysideError} `invalid_option` if there is no queue, one occurs twice, or their drivers differ.
   */
  constructor(queues: AnyQueue | readonly (AnyQueue | WorkedQueue)[], options: RunOptions = {}) {
    const list = [queues].flat() as (AnyQueue | WorkedQueue)[];
    const isEntry = (entry: AnyQueue | WorkedQueue): entry is WorkedQueue => "queue" in fields(entry, "queues");
    const entries = list.map(
      (entry): WorkedQueue => (isEntry(entry) ? fields(entry, "queues", ["queue", "concurrency"]) : { queue: entry }),
    );
    const worked = entries.map(({ queue, concurrency }) => workerQueueOf(queue, concurrency));
    const [first] = entries;
    if (!first) throw refused("queues", "must have at least one queue", []);
    const { driver } = first.queue;
    const names = worked.map(({ name }) => name);
    if (entries.some(({ queue }) => queue.driver !== driver))
      throw refused("queues", "must share one driver (make a worker for each driver, or use a QueueManager)", names);
    if (new Set(names).size < names.length) throw refused("queues", "must have each queue once", names);
    super(driver, { ...fields(options, "options", RUN_FIELDS), queues: worked });
  }
}
