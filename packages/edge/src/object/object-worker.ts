import type { Clock, Driver, Duration, Handler, Queue, WorkerEvents } from "@quayside/core";
import { JobWorker, type WorkerQueue, workerQueueOf } from "@quayside/core/engine";

/** Between two looks at a lease that is watched, at least. */
const SHORTEST_WATCH_MS = 100;

export interface ObjectWorkerOptions {
  readonly driver: Driver;
  readonly clock: Clock;
  readonly handlers: Readonly<Record<string, (payload: never, ctx: never) => unknown>>;
  /** Makes the handle of a queue of this object. */
  readonly makeQueue: (name: string) => Queue;
  /** Ms until a lease that has run out can be judged; undefined when none has. */
  readonly verdictMs: () => Promise<number | undefined>;
  /** Merged into every handler's `ctx`. */
  readonly ctx: object;
  readonly concurrency: number | undefined;
  readonly prefetch: number | undefined;
  readonly lease: Duration | undefined;
  /** Has the jobs of a queue run elsewhere (see `dispatching`). */
  readonly dispatch: ((queue: WorkerQueue) => WorkerQueue) | undefined;
  readonly report: (error: unknown) => void;
}

/**
 * The worker inside a queue's object. It works every queue that is stored or was called, and starts with the first call
 * to the object. It has no timer for delayed jobs: the object's alarm calls it.
 */
export class ObjectWorker {
  readonly #options: ObjectWorkerOptions;
  readonly #handles = new Map<string, Queue>();
  /** The worker reads this list at every claim, so a queue that is added here is worked at once. */
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
      // The object's alarm wakes it.
      alarm: false,
      producer: {
        enqueue: ({ queue, name, payload, ...rest }, from) =>
          this.queue(queue ?? from.queue).addJob(name, payload, rest),
        // Adds of one turn share a transaction: all of the queues get theirs, or none does.
        publish: ({ queues, name, payload, ...rest }) =>
          Promise.all(queues.map((queue) => this.queue(queue).addJob(name, payload, rest))),
      },
    });
    this.#worker.on("error", ({ error }) => report(error));
  }

  /** Works these queues too. */
  add(queues: Iterable<string>): void {
    for (const name of queues) this.queue(name);
  }

  /** Whether it is started and works this queue. */
  works(queue: string): boolean {
    return this.#worker.status === "running" && this.#handles.has(queue);
  }

  /** Looks for work now, as it does by itself when its driver tells of some. */
  wake(): void {
    this.#worker.wake();
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    return this.#worker.on(name, listener);
  }

  async start(): Promise<void> {
    await this.#worker.start();
  }

  /** Whether it has a handler for anything. */
  get able(): boolean {
    return this.#queues.some(({ names }) => names?.().length !== 0);
  }

  /**
   * Works until nothing is due and nothing runs, but only until `over` has settled. True when it got there; what runs is
   * not cut short.
   */
  drain(over: Promise<false> = new Promise(() => {})): Promise<boolean> {
    return Promise.race([this.#drain(over), over]);
  }

  /**
   * Waits until expired leases are recovered. Only a process that has watched a lease for a time may recover its jobs,
   * and an object that is evicted in between would start again each time.
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

  /** A queue of this object: who asks for it has it worked, and its jobs run as those of any other `Queue` do. */
  queue(name: string): Queue {
    const known = this.#handles.get(name);
    if (known) return known;
    const { makeQueue, handlers, dispatch } = this.#options;
    const queue = makeQueue(name);
    // First of all: a handler that is registered may have all stored queues added, and this one is among them.
    this.#handles.set(name, queue);
    for (const [job, handler] of Object.entries(handlers)) queue.on(`job:${job}`, handler as Handler);
    const worked = workerQueueOf(queue);
    this.#queues.push(dispatch ? dispatch(worked) : worked);
    return queue;
  }
}
