import {
  type Clock,
  type Driver,
  type Duration,
  type HandlerContext,
  type JobDefinition,
  type JobRecord,
  QuaysideError,
  validatePayload,
  Worker,
  type WorkerQueue,
} from "@quayside/core";

export interface ObjectWorkerOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly handlers: Readonly<Record<string, (payload: never, ctx: never) => unknown>>;
  readonly definitions: Readonly<Record<string, JobDefinition>> | undefined;
  /** Merged into every handler's `ctx`. */
  readonly ctx: object;
  readonly concurrency: number | undefined;
  readonly lease: Duration | undefined;
  readonly report: (error: unknown) => void;
}

/**
 * The worker inside a queue's object. It works every queue that the object has heard of, is started by the first call
 * that reaches the object, and has no timer for what is due later: the object's alarm calls it.
 */
export class ObjectWorker {
  readonly #options: ObjectWorkerOptions;
  /** The worker goes through this list at every claim, so that a queue is worked from the moment it stands here. */
  readonly #queues: WorkerQueue[] = [];
  readonly #worker: Worker;

  constructor(options: ObjectWorkerOptions) {
    const { driver, clock, ctx, concurrency, lease, report } = options;
    this.#options = options;
    this.#worker = new Worker(driver, { queues: this.#queues, clock, ctx, concurrency, lease, alarm: false });
    this.#worker.on("error", ({ error }) => report(error));
  }

  /** Works these queues too. */
  add(queues: Iterable<string>): void {
    for (const name of queues) {
      if (this.#queues.some((queue) => queue.name === name)) continue;
      const names = Object.keys(this.#options.handlers);
      this.#queues.push({ name, names: () => names, run: (job, ctx) => this.#run(job, ctx) });
    }
  }

  async start(): Promise<void> {
    await this.#worker.start();
  }

  /** Works until nothing is due and nothing runs, but no longer than `limitMs`. True when it got there. */
  async drain(limitMs: number): Promise<boolean> {
    let cancel: () => void = () => {};
    const limit = new Promise<false>((resolve) => {
      cancel = this.#options.clock.after(limitMs, () => resolve(false));
    });
    try {
      return await Promise.race([this.#worker.drain().then(() => true as const), limit]);
    } finally {
      cancel();
    }
  }

  async #run(job: JobRecord, ctx: HandlerContext): Promise<unknown> {
    const { handlers, definitions } = this.#options;
    const handler = Object.hasOwn(handlers, job.name) ? handlers[job.name] : undefined;
    if (!handler) throw new QuaysideError("unknown_job", `There is no handler for job ${job.name}.`, { job: job.name });
    const payload = await validatePayload(job.name, definitions?.[job.name], job.payload);
    return handler(payload as never, ctx as never);
  }
}
