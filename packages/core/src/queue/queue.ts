import type { Driver } from "../engine/driver.ts";
import type { Duration } from "../job/duration.ts";
import { Emitter } from "../job/emitter.ts";
import type { Handler, Middleware } from "../job/handler.ts";
import type { HandledPayloadOf, JobMap, JobName, PayloadOf } from "../job/job-map.ts";
import type { JobOptions } from "../job/job-options.ts";
import { LIMITS } from "../job/limits.ts";
import { callable, fields, integer } from "../job/option-checks.ts";
import { JobWorker } from "../worker/job-worker.ts";
import type { Producer } from "../worker/options-and-events.ts";
import {
  CONCURRENCY,
  checkListener,
  RUN_FIELDS,
  type RunOptions,
  type WorkerEvents,
  type WorkPlace,
} from "../worker/options-and-events.ts";
import { Slots } from "../worker/shared-slots.ts";
import { type FlowIds, type FlowJob, flattenFlow } from "./flow-builder.ts";
import { JobBuilder } from "./job-builder.ts";
import { eachJob } from "./job-preparer.ts";
import { JobSubmitter } from "./job-submitter.ts";
import {
  makeQueueContext,
  type QueueContext,
  type SharedOptions,
  setWorkerQueue,
  workerQueueOf,
} from "./queue-context.ts";
import { QueueControl } from "./queue-control.ts";

/** Options of `Queue`. */
export interface QueueOptions<Jobs extends JobMap = JobMap, Ctx extends object = object>
  extends SharedOptions<Jobs, Ctx> {}

/** What a manager gives the queues that it makes. */
export const MANAGED: unique symbol = Symbol("quayside.managed");

interface ManagedQueue {
  readonly context: QueueContext;
  /** What `ctx.enqueue` does for this queue's handlers. */
  readonly producer: Producer;
  readonly submitter: JobSubmitter;
  /** Called when a handler was added. */
  readonly wake: () => void;
}

interface ManagedOptions<Jobs extends JobMap, Ctx extends object> extends QueueOptions<Jobs, Ctx> {
  readonly [MANAGED]?: ManagedQueue;
}

/** A job for `addJobs`: name, payload and options in one object. */
export type JobToAdd<Jobs extends JobMap> = {
  [Name in JobName<Jobs>]: { readonly name: Name; readonly payload: PayloadOf<Jobs, Name> } & JobOptions;
}[JobName<Jobs>];

/** The listener of `queue.on` for an event. The last overload takes every event, so that a compiler error names the wrong argument. */
export type QueueListener<
  Jobs extends JobMap,
  Ctx extends object,
  Event extends `job:${JobName<Jobs>}` | keyof WorkerEvents,
> = Event extends `job:${infer Name extends JobName<Jobs>}`
  ? Handler<HandledPayloadOf<Jobs, Name>, Ctx>
  : (event: WorkerEvents[Event & keyof WorkerEvents]) => void;

/**
 * A named queue: add jobs, handle them, inspect and steer them.
 *
 * @example
 * interface Jobs { email: { to: string; subject: string; body: string } }
 * const queue = new Queue<Jobs>("mail", memoryDriver());
 * queue.on("job:email", async ({ to, subject, body }) => send(to, subject, body));
 * const id = await queue.addJob("email", { to, subject, body }, { delay: "5m" });
 * await queue.run();
 */
export class Queue<
  Jobs extends JobMap = Record<string, unknown>,
  Ctx extends object = object,
> extends QueueControl<Jobs> {
  readonly #managed: ManagedQueue | undefined;
  readonly #events = new Emitter<WorkerEvents>();
  readonly #submitter: JobSubmitter;
  #worker: JobWorker | undefined;
  /** Started workers that work this queue, its own among them. */
  readonly #workers = new Set<{ wake(): void }>();
  /** The `ctx` of its worker's handlers; jobs that run where they are added get it, too. */
  #ctx: object | undefined;
  /** Outlives the workers: a handler that ignores its signal keeps its slot when its worker has stopped. */
  readonly #slots = new Slots(CONCURRENCY);

  /** @throws {QuaysideError} `invalid_option` when the name is empty, too long or not well-formed Unicode. */
  constructor(name: string, driver: Driver, options?: QueueOptions<Jobs, Ctx>);
  /** @internal A manager makes its queues so. */
  constructor(name: string, driver: Driver, options: ManagedOptions<Jobs, Ctx>);
  constructor(name: string, driver: Driver, options: ManagedOptions<Jobs, Ctx> = {}) {
    super(name, driver, fields(options, "options")[MANAGED]?.context ?? makeQueueContext(options));
    const managed = options[MANAGED];
    this.#managed = managed;
    this.#submitter =
      managed?.submitter ??
      new JobSubmitter({
        context: this.context,
        driver,
        events: this.#events,
        ctx: () => this.#ctx,
        drain: () => this.drain(),
      });
    const { registry, runner, clock, random, ctx, telemetry, metrics } = this.context;
    setWorkerQueue(this, {
      clock,
      random,
      ctx,
      telemetry,
      metrics,
      name,
      names: () => registry.names(name),
      run: (job, ctx) => runner.run(job, ctx),
      around: (job, ctx, handle) => runner.run(job, ctx, handle),
      policy: (job) => runner.policy(job),
      onFailed: (job, error) => runner.failed(job, error),
      producer: managed?.producer ?? this.#submitter,
      events: this.#events,
      workers: this.#workers,
    });
  }

  /**
   * Adds a job; resolves with its id once it is durable. Adds made in the same turn share one transaction.
   *
   * @throws {QuaysideError} `unknown_job`, `invalid_payload` (`details.issues` or `details.path` says where),
   * `payload_too_large`, `invalid_option`, or what the driver met: `storage_full`, `storage_unavailable`, `network` …
   */
  addJob<Name extends JobName<Jobs>>(
    name: Name,
    payload: PayloadOf<Jobs, Name>,
    options?: JobOptions,
  ): Promise<string> {
    // Not an asynchronous function, for it would make each add another promise and three more turns.
    try {
      this.context.registry.check(name);
      return this.#submitter.addOne({ queue: this.name, name, payload, options });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /**
   * Adds many jobs in one transaction, all or none; ids in the same order. Those that their definition runs here
   * (`shouldQueue`) run after that, one by one. All of them run; then the first error of those that failed is thrown.
   */
  async addJobs(jobs: readonly JobToAdd<Jobs>[]): Promise<readonly string[]> {
    const drafts = eachJob(jobs, ({ name, payload, ...options }) => {
      this.context.registry.check(name);
      return { queue: this.name, name, payload, options };
    });
    return this.#submitter.add(drafts);
  }

  /**
   * Adds a job and the jobs that it waits for, in one transaction. When the last child has ended the parent runs, and
   * gets what became of them from `ctx.children()`.
   *
   * @example
   * const { id, children } = await queue.addFlow({
   *   name: "album", payload: { title },
   *   children: urls.map((url) => ({ name: "resize", payload: { url } })),
   * });
   */
  async addFlow(flow: FlowJob<Jobs>): Promise<FlowIds> {
    const { drafts, read } = flattenFlow(flow, this.name);
    for (const { name, queue } of drafts) if (queue === this.name) this.context.registry.check(name);
    return read(await this.#submitter.addTogether(drafts));
  }

  /**
   * Adds jobs and one that runs when all of them have ended, however they ended, in one transaction.
   *
   * @example
   * const { id, ids } = await queue.addBatch(rows.map((row) => ({ name: "import", payload: row })), {
   *   onComplete: { name: "report", payload: { file } },
   * });
   */
  async addBatch(
    jobs: readonly JobToAdd<Jobs>[],
    options: { readonly onComplete: JobToAdd<Jobs> },
  ): Promise<{ readonly id: string; readonly ids: readonly string[] }> {
    const last = fields(fields(options, "options", ["onComplete"]).onComplete, "onComplete");
    const node = ({ name, payload, ...options }: JobToAdd<Jobs>) => ({ name, payload, options });
    const children = eachJob(jobs, (job) => ({ ...node(job), onFailure: "ignore" as const }));
    const flow = await this.addFlow({ ...node(last), children } as unknown as FlowJob<Jobs>);
    return { id: flow.id, ids: flow.children.map(({ id }) => id) };
  }

  /** `queue.with({ … }).addJob(…)`: options first. */
  with(options: JobOptions): JobBuilder<Jobs> {
    return new JobBuilder<Jobs>(this, options);
  }

  delay(delay: Duration): JobBuilder<Jobs> {
    return this.with({ delay });
  }

  priority(priority: number): JobBuilder<Jobs> {
    return this.with({ priority });
  }

  /** Runs around every job of this queue, inside the middleware given before. Returns the function that takes it out. */
  use(middleware: Middleware<Ctx>): () => void {
    return this.context.runner.use(this.name, callable(middleware, "middleware") as Middleware);
  }

  /**
   * `"job:NAME"` registers a handler; several for one name run in order, the first that throws fails the attempt, the
   * result is the first one's. Other names are events of this queue's worker. Returns the function that undoes it.
   */
  on<Name extends keyof WorkerEvents>(event: Name, listener: (event: WorkerEvents[Name]) => void): () => void;
  on<Event extends `job:${JobName<Jobs>}` | keyof WorkerEvents>(
    event: Event,
    listener: QueueListener<Jobs, Ctx, Event>,
  ): () => void;
  on(event: string, listener: ((event: never) => void) | Handler<never, never>): () => void {
    const isHandler = typeof event === "string" && event.startsWith("job:");
    checkListener(event, listener, isHandler);
    if (isHandler) {
      const off = this.context.registry.addHandler(event.slice(4), listener as Handler, this.name);
      for (const worker of this.#workers) worker.wake();
      this.#managed?.wake();
      return off;
    }
    return this.#events.on(event as keyof WorkerEvents, listener as (event: object) => void);
  }

  /**
   * Starts working this queue here. While it runs or stops, its options are those of the first call; while it stops, it
   * starts again once that is over. In one of this queue's own handlers it resolves at once.
   *
   * @throws {QuaysideError} `closed` on a closed driver; `invalid_option`.
   */
  async run(options: RunOptions<Ctx> = {}): Promise<void> {
    await this.#workerFor(options).start();
  }

  /**
   * Stops working it here: waits for running handlers up to `timeout` (default 30 s), then gives their jobs back. A
   * further call with a shorter timeout shortens the wait.
   */
  stop(options: { readonly timeout?: Duration } = {}): Promise<void> {
    return this.#worker?.stop(options) ?? Promise.resolve();
  }

  /** Works until nothing is due, then resolves: for tests, scripts and service workers. */
  drain(options: RunOptions<Ctx> = {}): Promise<void> {
    try {
      return this.#workerFor(options).drain();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Where it is worked, for those who ask its store whether there is work left. */
  get places(): readonly WorkPlace[] {
    return [{ driver: this.driver, queues: [this.name] }];
  }

  /** @internal Emits an event of the manager's worker; answers whether this queue has a listener for it. */
  [MANAGED]<Name extends keyof WorkerEvents>(name: Name, event: WorkerEvents[Name]): boolean {
    return this.#events.emit(name, event);
  }

  #workerFor(options: RunOptions<Ctx>): JobWorker {
    fields(options, "options", RUN_FIELDS);
    if (!this.#worker || this.#worker.unused) this.#worker = this.#makeWorker(options);
    return this.#worker;
  }

  #makeWorker({ ctx, ...options }: RunOptions<Ctx>): JobWorker {
    this.#ctx = { ...this.context.ctx, ...ctx };
    this.#slots.resize(integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency"));
    return new JobWorker(this.driver, {
      ...options,
      slots: this.#slots,
      ctx: this.#ctx,
      events: this.#events,
      queues: [workerQueueOf(this)],
    });
  }
}
