import type { Clock, Driver, Duration, Handler, Queue, WorkerEvents } from "@quayside/core";
import { JobWorker, type WorkerQueue, workerQueueOf } from "@quayside/core/engine";

/** Shortest interval between two reads of a lease that may soon be recoverable, in ms. */
const SHORTEST_WATCH_MS = 100;

export interface ObjectWorkerOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  /** Returns the handlers of a queue's jobs, by job name. */
  readonly handlersOf: (queue: string) => Readonly<Record<string, (payload: never, ctx: never) => unknown>>;
  /** Creates the `Queue` with this name. */
  readonly makeQueue: (name: string) => Queue;
  /** Returns the ms until an expired lease can be recovered; undefined if none has expired. */
  readonly verdictMs: () => Promise<number | undefined>;
  /** Fields added to the `ctx` of every handler. */
  readonly ctx: object;
  readonly concurrency: number | undefined;
  readonly prefetch: number | undefined;
  readonly lease: Duration | undefined;
  /** Wraps a queue so that its jobs run elsewhere (see `dispatching`). */
  readonly dispatch: ((queue: WorkerQueue) => WorkerQueue) | undefined;
  readonly report: (error: unknown) => void;
}

/**
 * The worker inside a queue's object. Works every queue that is stored or was called, and starts with the first call to
 * the object. Sets no timer for delayed jobs, because the object's alarm wakes it.
 */
export class ObjectWorker {
  readonly #options: ObjectWorkerOptions;
  readonly #handles = new Map<string, Queue>();
  /** Queues of the worker, which reads this list at every claim. */
  readonly #queues: WorkerQueue[] = [];
  readonly #worker: JobWorker;

  constructor(options: ObjectWorkerOptions) {
    const { driver, clock, ctx, concurrency, prefetch, lease, report } = options;
    this.#options = options;
    this.#worker = new JobWorker(driver, {
      queues: this.#queues,
      clock,
      ctx,
      concurrency,
      prefetch,
      lease,
      // The object's alarm wakes the worker.
      alarm: false,
      producer: {
        enqueue: ({ queue, name, payload, ...rest }, from) =>
          this.queue(queue ?? from.queue).addJob(name, payload, rest),
        // Adds made in the same microtask share a transaction: all queues get their jobs, or none.
        publish: ({ queues, name, payload, ...rest }) =>
          Promise.all(queues.map((queue) => this.queue(queue).addJob(name, payload, rest))),
        addFlow: (flow, from) => this.queue(from.queue).addFlow(flow),
      },
    });
    this.#worker.on("error", ({ error }) => report(error));
  }

  /** Adds queues to the worker. */
  add(queues: Iterable<string>): void {
    for (const name of queues) this.queue(name);
  }

  /** Returns whether the worker is running and works this queue. */
  works(queue: string): boolean {
    return this.#worker.status === "running" && this.#handles.has(queue);
  }

  /** Makes the worker check for jobs now. */
  wake(): void {
    this.#worker.wake();
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    return this.#worker.on(name, listener);
  }

  async start(): Promise<void> {
    await this.#worker.start();
  }

  /** Whether the worker has a handler for any job. */
  get able(): boolean {
    return this.#queues.some(({ names }) => names?.().length !== 0);
  }

  /**
   * Works until no job is due or running, or until `over` settles. Returns true if no job is left. Running jobs are not
   * aborted.
   */
  drain(over: Promise<false> = new Promise(() => {})): Promise<boolean> {
    return Promise.race([this.#drain(over), over]);
  }

  /**
   * Drains the worker, and waits for expired leases that can soon be recovered. Only a process that has watched a lease
   * for some time may recover its jobs; if the object were evicted meanwhile, it would have to start again.
   */
  async #drain(limit: Promise<false>): Promise<boolean> {
    let over = false;
    void limit.then(() => (over = true));
    while (!over) {
      await this.#worker.drain();
      const ms = await this.#options.verdictMs();
      if (ms === undefined) return true;
      await this.#pause(Math.max(ms, SHORTEST_WATCH_MS), limit);
    }
    return false;
  }

  async #pause(ms: number, limit: Promise<false>): Promise<void> {
    let cancel: () => void = () => {};
    const passed = new Promise<void>((resolve) => {
      cancel = this.#options.clock.after(ms, resolve);
    });
    await Promise.race([passed, limit]);
    cancel();
  }

  /** Returns a queue of this object. Makes the worker work the queue. */
  queue(name: string): Queue {
    const known = this.#handles.get(name);
    if (known) return known;
    const { makeQueue, handlersOf, dispatch } = this.#options;
    const queue = makeQueue(name);
    // Stored first, because registering a handler may add all stored queues, including this one.
    this.#handles.set(name, queue);
    for (const [job, handler] of Object.entries(handlersOf(name))) queue.on(`job:${job}`, handler as Handler);
    const worked = workerQueueOf(queue);
    this.#queues.push(dispatch ? dispatch(worked) : worked);
    return queue;
  }
}
