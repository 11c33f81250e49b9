import type { Producer } from "../attempt/handler-context.ts";
import { WORKER_EVENTS, type WorkerEvents } from "../attempt/worker-events.ts";
import type { Driver } from "../engine/driver.ts";
import { Emitter } from "../job/emitter.ts";
import { QuaysideError } from "../job/errors.ts";
import type { JobMap, UntypedJobs } from "../job/job-types.ts";
import { reportUnheard } from "../job/report-error.ts";
import { JobWorker } from "../worker/job-worker.ts";
import type { JobWorkerOptions, WorkerQueue } from "../worker/worker-options.ts";
import { workerQueueOf } from "./job-runner.ts";
import { Queue, SharedParts } from "./queue.ts";
import { partsOf, type QueueContext } from "./queue-context.ts";
import { ImmediateSubmitter } from "./run-immediately.ts";

export interface QueueConnectionOptions {
  readonly context: QueueContext;
  readonly events: Emitter<WorkerEvents>;
  readonly producer: Producer;
  readonly defaultQueue: () => string;
  /** Returns the maximum number of a queue's jobs that run at once. */
  readonly concurrencyOf: (queue: string) => number | undefined;
  readonly worker: Omit<JobWorkerOptions, "queues">;
  readonly drain: () => Promise<void>;
}

/** One connection (driver) of a manager: its queues, and their worker. */
export class QueueConnection<Jobs extends JobMap = UntypedJobs, Ctx extends object = object> {
  readonly name: string;
  readonly driver: Driver;
  /** @internal The worker of the connection. */
  readonly worker: JobWorker;
  /** @internal Adds jobs to the queues of the connection. */
  readonly submitter: ImmediateSubmitter;
  readonly #options: QueueConnectionOptions;
  readonly #queues = new Map<string, Queue<Jobs, Ctx>>();
  /** Queues that the worker works. The worker reads this list at every claim. */
  readonly #worked: WorkerQueue[] = [];

  /**
   * Creates a connection. Use `addConnection` of the manager.
   *
   * @internal
   */
  constructor(name: string, driver: Driver, options: QueueConnectionOptions) {
    const { context, producer, drain } = options;
    this.name = name;
    this.driver = driver;
    this.#options = options;
    const events = this.#forward(options.events);
    this.submitter = new ImmediateSubmitter({ context, driver, events, drain, producer });
    this.worker = new JobWorker(driver, { ...options.worker, events, queues: this.#worked });
  }

  get defaultQueue(): string {
    return this.#options.defaultQueue();
  }

  /** Names of the queues that this connection works, or that `queue` has returned. */
  get queues(): readonly string[] {
    return [...this.#queues.keys()];
  }

  /** Returns a queue of this connection, the same object for the same name. Default: the default queue. */
  queue(name: string = this.defaultQueue): Queue<Jobs, Ctx> {
    const known = this.#queues.get(name);
    if (known) return known;
    const { context, producer } = this.#options;
    const queue = new Queue<Jobs, Ctx>(
      name,
      this.driver,
      new SharedParts({ context, producer, submitter: this.submitter }) as never,
    );
    // Adding a handler to the queue makes the worker work it.
    partsOf(queue).workers.add({ wake: () => this.work(name) });
    this.#queues.set(name, queue);
    return queue;
  }

  /** Returns the number of a queue's unfinished jobs. */
  size(queue?: string): Promise<number> {
    return this.queue(queue).size();
  }

  delayedSize(queue?: string): Promise<number> {
    return this.queue(queue).delayedSize();
  }

  async clear(queue?: string): Promise<void> {
    await this.queue(queue).clear();
  }

  /** Removes all jobs of all queues of this connection that `queues` lists. */
  async clearAll(): Promise<void> {
    for (const queue of this.#queues.values()) await queue.clear();
  }

  /**
   * Whether the worker of the connection works any queue.
   *
   * @internal
   */
  get works(): boolean {
    return this.#worked.length > 0;
  }

  /**
   * Adds a queue to the worker.
   *
   * @internal
   */
  work(name: string): void {
    if (!this.#worked.some((queue) => queue.name === name)) {
      this.#worked.push(workerQueueOf(this.queue(name), this.#options.concurrencyOf(name)));
    }
    this.worker.wake();
  }

  /**
   * Returns an emitter for the worker of this connection: it emits each event on the manager, and on the queue that the
   * event concerns.
   */
  #forward(manager: Emitter<WorkerEvents>): Emitter<WorkerEvents> {
    const events = new Emitter<WorkerEvents>();
    for (const name of WORKER_EVENTS) {
      if (name === "error") continue;
      events.on(name, (event) => {
        manager.emit(name, event);
        const about = "job" in event ? [event.job.queue] : this.#worked.map(({ name }) => name);
        for (const queue of about) this.#emit(queue, name, event);
      });
    }
    events.on("error", ({ error }) => {
      let heard = manager.emit("error", { error });
      // An error without a queue concerns every queue of this connection.
      const about = error instanceof QuaysideError ? error.details["queue"] : undefined;
      for (const { name } of this.#worked)
        if (about === undefined || about === name) heard = this.#emit(name, "error", { error }) || heard;
      if (!heard) reportUnheard(error);
    });
    return events;
  }

  /** Emits an event on a queue. Returns whether the queue has a listener. */
  #emit<Name extends keyof WorkerEvents>(queue: string, name: Name, event: WorkerEvents[Name]): boolean {
    const known = this.#queues.get(queue);
    return known !== undefined && partsOf(known).events?.emit(name, event) === true;
  }
}
