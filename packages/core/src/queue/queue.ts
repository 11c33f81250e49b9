import { checkCtx } from "../attempt/handler-context.ts";
import { checkListener, type WorkerEvents } from "../attempt/worker-events.ts";
import { pluginsOf } from "../drivers/check-driver.ts";
import type { Driver } from "../engine/driver.ts";
import type { Duration } from "../job/duration.ts";
import { Emitter } from "../job/emitter.ts";
import { refused } from "../job/errors.ts";
import type { Handler, Middleware } from "../job/handler.ts";
import type { JobOptions } from "../job/job-options.ts";
import type { JobHandler, JobMap, JobName, JobOf, PassJobs, UntypedJobs } from "../job/job-types.ts";
import * as LIMITS from "../job/limits.ts";
import { callable, fields, integer } from "../job/option-checks.ts";
import { EVERY_OPTION } from "../plugins/all-options.ts";
import { asyncDispose, close, type StopOptions } from "../worker/life-cycle.ts";
import { Slots } from "../worker/slots.ts";
import { CONCURRENCY, RUN_FIELDS, type RunOptions } from "../worker/worker-options.ts";
import { Batch, type BatchHandler, type BatchOptions, checkBatches } from "./batch-handler.ts";
import { BatchingWorker } from "./batching-worker.ts";
import { declareSchedules, declareSettings, type QueueDefinition } from "./define-queue.ts";
import { addFlowOf } from "./flow-builder.ts";
import { handle, type JobHandlers } from "./handle.ts";
import { JobBuilder } from "./job-builder.ts";
import { workerQueueOf } from "./job-runner.ts";
import { Metrics } from "./metrics.ts";
import { makeQueueContext, partsOf, type QueueParts, type SharedOptions } from "./queue-context.ts";
import { QueueControl } from "./queue-control.ts";
import { ImmediateSubmitter } from "./run-immediately.ts";

/** Options of `Queue`. */
export interface QueueOptions<Jobs extends JobMap = JobMap, Ctx extends object = object>
  extends SharedOptions<Jobs, Ctx> {}

/** Internal parts that a manager passes to its queues in place of options. */
export class SharedParts {
  readonly parts: Omit<QueueParts, "events" | "workers">;

  constructor(parts: SharedParts["parts"]) {
    this.parts = parts;
  }
}

/**
 * The listener type of `queue.on` for an event. The last overload takes every event, so that compiler errors name the
 * wrong argument.
 */
export type QueueListener<
  Jobs extends JobMap,
  Ctx extends object,
  Event extends `job:${JobName<Jobs>}` | keyof WorkerEvents,
> = Event extends `job:${infer Name extends JobName<Jobs>}`
  ? JobHandler<Jobs, Name, Ctx>
  : (event: WorkerEvents<JobOf<Jobs>>[Event & keyof WorkerEvents]) => void;

/**
 * A named queue: adds, handles and inspects jobs, and works them in this process.
 *
 * @example
 * interface Jobs { email: { to: string; subject: string; body: string } }
 * const queue = new Queue<Jobs>("mail", memoryDriver());
 * queue.on("job:email", async ({ to, subject, body }) => send(to, subject, body));
 * const id = await queue.addJob("email", { to, subject, body }, { delay: "5m" });
 * await queue.run();
 */
export class Queue<Jobs extends JobMap = UntypedJobs, Ctx extends object = object> extends QueueControl<Jobs, Ctx> {
  readonly #events: Emitter<WorkerEvents>;
  #worker: BatchingWorker | undefined;
  readonly #batches = new Map<string, Batch>();
  /** The `ctx` that handlers of the queue's worker get, also for jobs that run immediately. */
  #ctx: object | undefined;
  #declared: Promise<void> | undefined;
  /** Slots for running jobs. Kept when the worker stops, because a handler that ignores its signal keeps its slot. */
  readonly #slots = new Slots(CONCURRENCY);

  /**
   * Creates a queue, by its name or as `defineQueue` has defined it.
   *
   * @throws {QuaysideError} `invalid_option` if the name is empty, too long or not well-formed Unicode.
   */
  constructor(queue: QueueDefinition<Jobs>, driver: Driver, options?: Omit<QueueOptions<Jobs, Ctx>, "jobs">);
  constructor(name: string, driver: Driver, options: QueueOptions<Jobs, Ctx> & { readonly jobs: Jobs });
  constructor(name: string, driver: Driver & PassJobs<Jobs>, options?: QueueOptions<Jobs, Ctx>);
  constructor(
    queue: string | QueueDefinition<Jobs>,
    driver: Driver,
    options: QueueOptions<Jobs, Ctx> | SharedParts = {},
  ) {
    const events = new Emitter<WorkerEvents>();
    const own = { ctx: () => this.#ctx, drain: () => this.drain() };
    const defined = typeof queue === "object" ? fields(queue, "queue name") : undefined;
    const parts =
      options instanceof SharedParts
        ? options.parts
        : ownParts(
            driver,
            { ...fields(options, "options"), ...(defined?.jobs && { jobs: defined.jobs }) },
            events,
            own,
          );
    super(defined?.name ?? (queue as string), driver, {
      ...parts,
      events,
      workers: new Set(),
      // Without a store in this process, the owner of the store declares.
      ...(defined && pluginsOf(driver) && { declare: () => this.#declare(defined) }),
    });
    this.#events = events;
  }

  /** Returns a builder that adds jobs with these options: `queue.with({ … }).addJob(…)`. */
  with(options: JobOptions): JobBuilder<Jobs> {
    return new JobBuilder<Jobs>(this, options);
  }

  delay(delay: Duration): JobBuilder<Jobs> {
    return this.with({ delay });
  }

  priority(priority: number): JobBuilder<Jobs> {
    return this.with({ priority });
  }

  /**
   * Adds middleware for this queue. It runs inside the middleware that was added before. Returns a function that
   * removes it.
   */
  use(middleware: Middleware<Ctx>): () => void {
    const own = callable(middleware, "middleware") as Middleware;
    const { used } = partsOf(this).context;
    const all = () => used.get(this.name) ?? [];
    used.set(this.name, [...all(), own]);
    return () =>
      void used.set(
        this.name,
        all().filter((other) => other !== own),
      );
  }

  /**
   * Registers a handler for the jobs of one name (`"job:NAME"`), or a listener for an event of this queue's worker.
   * Several handlers of one name run in order: the first that throws fails the attempt; the first handler's return
   * value is the result. Returns a function that removes the handler or listener.
   */
  override on<Name extends keyof WorkerEvents>(
    event: Name,
    listener: (event: WorkerEvents<JobOf<Jobs>>[Name]) => void,
  ): () => void;
  override on<Event extends `job:${JobName<Jobs>}` | keyof WorkerEvents>(
    event: Event,
    listener: QueueListener<Jobs, Ctx, Event>,
  ): () => void;
  override on(event: string, listener: ((event: never) => void) | Handler<never, never>): () => void {
    const isHandler = typeof event === "string" && event.startsWith("job:");
    checkListener(event, listener, isHandler);
    if (isHandler && this.#batches.has(event.slice(4))) throw refused("event", "has a batch handler", event);
    return isHandler
      ? super.on(event as `job:${JobName<Jobs>}`, listener as never)
      : this.#events.on(event as keyof WorkerEvents, listener as (event: object) => void);
  }

  /**
   * Registers a handler for each job of the job map. Returns a function that removes them. With `partial: true`, jobs
   * may be left out: their definitions have a handler, or another worker handles them.
   *
   * @throws {QuaysideError} `invalid_option` if a job of the map is left out, or a handler is no function; `unknown_job`.
   * @example
   * queue.handle({
   *   email: async ({ to }, ctx) => send(to, ctx.signal),
   *   resize: ({ file, width }) => resize(file, width),
   * });
   */
  handle(handlers: Partial<JobHandlers<Jobs, Ctx>>, options: { readonly partial: true }): () => void;
  handle(handlers: JobHandlers<Jobs, Ctx>): () => void;
  handle(handlers: object, options?: { readonly partial?: boolean | undefined }): () => void {
    return handle(this as never, handlers as never, options);
  }

  /**
   * Registers a handler that gets up to `size` jobs of one name (`"job:NAME"`) in one call, and takes one slot. Jobs
   * wait in the store until `size` are due, or the oldest has waited for `wait`. One call of a name runs at a time. For
   * the worker of `queue.run`; other workers call it with the jobs that they claim at once. Returns a function that
   * removes the handler.
   *
   * @example
   * queue.onBatch("job:index", { size: 100, wait: "2s" }, async (jobs, ctx) => {
   *   const refused = await search.index(jobs.map(({ payload }) => payload), { signal: ctx.signal });
   *   for (const { position, error } of refused) jobs[position]?.fail(error);
   * });
   *
   * @throws {QuaysideError} `invalid_option`, also if the job has a handler already.
   */
  onBatch<Name extends JobName<Jobs>>(
    event: `job:${Name}`,
    options: BatchOptions,
    handler: BatchHandler<Jobs, Name, Ctx>,
  ): () => void {
    const batch = new Batch(options, callable(handler, "handler") as never);
    const name = String(event).slice(4);
    const { registry } = partsOf(this).context;
    if (registry.handlers(name, this.name).length > 0) throw refused("event", "has a handler already", event);
    checkBatches(this.driver);
    const off = super.on(event, batch.join as never);
    this.#batches.set(name, batch);
    this.#worker?.changed();
    return () => {
      off();
      if (this.#batches.get(name) === batch) this.#batches.delete(name);
      this.#worker?.changed();
    };
  }

  /**
   * Starts working this queue in this process. If it already runs or stops, the options of the first call apply; a call
   * while it stops starts it again afterwards. Inside one of its own handlers, resolves at once.
   *
   * @throws {QuaysideError} `closed` on a closed driver; `invalid_option`.
   */
  async run(options: RunOptions<Ctx> = {}): Promise<void> {
    await this.#workerFor(options).start();
  }

  /** Does the same as `run`. */
  start(options?: RunOptions<Ctx>): Promise<void> {
    return this.run(options);
  }

  /**
   * Stops working this queue: waits for running handlers up to `timeout` (default: 30 s), then releases their jobs. A
   * further call with a shorter timeout shortens the wait.
   */
  stop(options: StopOptions = {}): Promise<void> {
    return this.#worker?.stop(options) ?? Promise.resolve();
  }

  /**
   * Stops, then closes the driver, also for other queues of the driver. Every later call is refused with `closed`. Called
   * inside a handler, it only stops, as `stop` does.
   */
  close(options?: StopOptions): Promise<void> {
    return close(this, options);
  }

  /** Closes the queue at the end of a block: `await using queue = new Queue("mail", driver)`. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Works until no job runs or is due, then resolves. For tests, scripts and service workers. */
  drain(options: RunOptions<Ctx> = {}): Promise<void> {
    try {
      return this.#workerFor(options).drain();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Stores the settings and recurrences of the queue's definition, unless they were stored before. */
  #declare(definition: QueueDefinition): Promise<void> {
    this.#declared ??= declareSettings(this as never, definition)
      .then(() => declareSchedules(this as never, definition))
      .catch((error) => {
        this.#declared = undefined;
        throw error;
      });
    return this.#declared;
  }

  #workerFor(options: RunOptions<Ctx>): BatchingWorker {
    fields(options, "options", RUN_FIELDS);
    if (!this.#worker || this.#worker.unused) this.#worker = this.#makeWorker(options);
    return this.#worker;
  }

  #makeWorker({ ctx, ...options }: RunOptions<Ctx>): BatchingWorker {
    this.#ctx = { ...partsOf(this).context.ctx, ...(ctx && checkCtx(ctx)) };
    this.#slots.resize(integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency"));
    return new BatchingWorker(this.driver, {
      ...options,
      slots: this.#slots,
      ctx: this.#ctx,
      events: this.#events,
      queue: workerQueueOf(this),
      batches: this.#batches,
    });
  }
}

function ownParts<Jobs extends JobMap, Ctx extends object>(
  driver: Driver,
  options: QueueOptions<Jobs, Ctx>,
  events: Emitter<WorkerEvents>,
  run: { readonly ctx: () => object | undefined; readonly drain: () => Promise<void> },
): SharedParts["parts"] {
  const context = makeQueueContext(options, driver, {
    parsers: EVERY_OPTION,
    metrics: new Metrics(),
    addFlow: addFlowOf,
  });
  return { context, submitter: new ImmediateSubmitter({ context, driver, events, ...run }) };
}
