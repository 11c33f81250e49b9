import {
  type Clock,
  type Driver,
  type Duration,
  type JobMap,
  Queue,
  type QueueOptions,
  Worker,
  type WorkerQueue,
} from "@quayside/core";

export interface ObjectWorkerOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly handlers: Readonly<Record<string, (payload: never, ctx: never) => unknown>>;
  /** The job map from `defineJobs`. */
  readonly jobs: JobMap | undefined;
  /** Merged into every handler's `ctx`. */
  readonly ctx: object;
  readonly concurrency: number | undefined;
  readonly lease: Duration | undefined;
  /** Has the jobs of a queue run elsewhere (see `dispatching`). */
  readonly dispatch: ((queue: WorkerQueue) => WorkerQueue) | undefined;
  readonly report: (error: unknown) => void;
}

/**
 * The worker inside a queue's object. It works every queue that the object has heard of, is started by the first call
 * that reaches the object, and has no timer for what is due later: the object's alarm calls it.
 */
export class ObjectWorker {
  readonly #options: ObjectWorkerOptions;
  readonly #handles = new Map<string, Queue>();
  /** The worker goes through this list at every claim, so that a queue is worked from the moment it stands here. */
  readonly #queues: WorkerQueue[] = [];
  readonly #worker: Worker;

  constructor(options: ObjectWorkerOptions) {
    const { driver, clock, ctx, concurrency, lease, report } = options;
    this.#options = options;
    this.#worker = new Worker(driver, {
      queues: this.#queues,
      clock,
      ctx,
      concurrency,
      lease,
      // The object's alarm wakes it.
      alarm: false,
      producer: {
        enqueue: ({ queue, name, payload, ...rest }, from) =>
          this.#handle(queue ?? from.queue).addJob(name, payload, rest),
        // Adds of one turn share a transaction: all of the queues get theirs, or none does.
        publish: ({ queues, name, payload, ...rest }) =>
          Promise.all(queues.map((queue) => this.#handle(queue).addJob(name, payload, rest))),
      },
    });
    this.#worker.on("error", ({ error }) => report(error));
  }

  /** Works these queues too. */
  add(queues: Iterable<string>): void {
    for (const name of queues) this.#handle(name);
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

  /** A queue of this object: who asks for it has it worked, and its jobs run as those of any other `Queue` do. */
  #handle(name: string): Queue {
    const known = this.#handles.get(name);
    if (known) return known;
    const { driver, clock, jobs, handlers, dispatch } = this.#options;
    const queue = new Queue(name, driver, { clock, ...(jobs && { jobs }) } as QueueOptions<Record<string, unknown>>);
    for (const [job, handler] of Object.entries(handlers))
      queue.on(`job:${job}`, (payload, ctx) => handler(payload as never, ctx as never));
    this.#handles.set(name, queue);
    const worked = queue.asWorkerQueue();
    this.#queues.push(dispatch ? dispatch(worked) : worked);
    return queue;
  }
}
