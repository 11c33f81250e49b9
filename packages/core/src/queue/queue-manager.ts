import type { Driver } from "../driver/driver.ts";
import type { Duration } from "../job/duration.ts";
import { QuaysideError } from "../job/errors.ts";
import type { JobRequest } from "../job/handler.ts";
import type { JobDefinition, JobMap } from "../job/job-map.ts";
import { integer } from "../job/options.ts";
import type { JobRecord } from "../job/record.ts";
import { Emitter } from "../worker/emitter.ts";
import type { Producer } from "../worker/run-attempt.ts";
import { Slots } from "../worker/slots.ts";
import type { WorkerEvents } from "../worker/worker-events.ts";
import { CONCURRENCY, type WorkerStatus } from "../worker/worker-options.ts";
import { ClassRegistry } from "./class-registry.ts";
import {
  type Dispatcher,
  type DispatchOptions,
  type JobClass,
  type JobInstance,
  payloadOfInstance,
} from "./job-class.ts";
import type {
  JobRegistration,
  JobToEnqueue,
  JobToPublish,
  ManagerMetrics,
  QueueManagerOptions,
} from "./manager-options.ts";
import { type PlacedJob, Placement } from "./placement.ts";
import type { Queue } from "./queue.ts";
import { QueueConnection } from "./queue-connection.ts";
import { makeHome, type QueueHome } from "./queue-home.ts";

/**
 * Many queues, one pool of room for handlers. Each connection (driver) has one worker over all of its queues; together
 * they never run more than `concurrency` jobs, and whoever has work takes the room that others leave.
 *
 * @example
 * const manager = new QueueManager({
 *   driver, ctx: { db }, concurrency: 10,
 *   queues: { emails: { concurrency: 2, rateLimit: { max: 10, per: "1s" } } },
 *   keep: { completed: 100 },
 * });
 * manager.registerJob<{ to: string }>({ name: "email", queue: "emails", handler: ({ to }, ctx) => ctx.db.send(to) });
 * await manager.start();
 * await manager.enqueue({ name: "email", queue: "emails", payload: { to } });
 */
export class QueueManager<Jobs extends JobMap = Record<string, unknown>, Ctx extends object = object>
  implements Dispatcher
{
  /** Where jobs go that name no queue. */
  defaultQueue: string;
  readonly #options: QueueManagerOptions<Jobs, Ctx>;
  readonly #home: QueueHome;
  readonly #placement: Placement;
  readonly #classes: ClassRegistry;
  readonly #events = new Emitter<WorkerEvents>();
  readonly #slots: Slots;
  readonly #connections = new Map<string, QueueConnection<Jobs, Ctx>>();
  #default: string | undefined;
  #status: WorkerStatus = "stopped";

  constructor(options: QueueManagerOptions<Jobs, Ctx>) {
    this.#options = options;
    this.defaultQueue = options.defaultQueue ?? "default";
    const { defaults, queues } = options;
    this.#placement = new Placement({
      registry: () => this.#home.registry,
      queues,
      defaultQueue: () => this.defaultQueue,
      defaultConnection: () => this.defaultConnection,
    });
    this.#home = makeHome(options, (queue) => ({ ...defaults, ...this.#placement.settings(queue).defaults }));
    this.#classes = new ClassRegistry(this.#home.registry, this);
    this.#slots = new Slots(integer(options.concurrency ?? CONCURRENCY, 1, 10_000, "concurrency"));
    if (options.driver) this.addConnection("default", options.driver);
    for (const [name, driver] of Object.entries(options.connections ?? {})) this.addConnection(name, driver);
  }

  // Connections

  /** The first one added is the default one. @throws {QuaysideError} `conflict` when there is one of this name. */
  addConnection(name: string, driver: Driver): QueueConnection<Jobs, Ctx> {
    if (this.#connections.has(name))
      throw new QuaysideError("conflict", `There is a connection named ${JSON.stringify(name)} already.`, { name });
    const { lease, maxJobs, sleep, alarm, name: label } = this.#options;
    const { clock, random, ctx, metrics, telemetry } = this.#home;
    const connection = new QueueConnection<Jobs, Ctx>(name, driver, {
      home: this.#home,
      events: this.#events,
      producer: this.#producerOf(name),
      defaultQueue: () => this.defaultQueue,
      concurrencyOf: (queue) => this.#placement.settings(queue).concurrency,
      worker: {
        lease,
        maxJobs,
        sleep,
        alarm,
        name: label,
        clock,
        random,
        ctx,
        metrics,
        telemetry,
        slots: this.#slots,
      },
      drain: () => this.drain(),
    });
    this.#connections.set(name, connection);
    this.#default ??= name;
    return connection;
  }

  /** @throws {QuaysideError} `invalid_option` when there is none of this name. */
  connection(name: string = this.defaultConnection): QueueConnection<Jobs, Ctx> {
    const connection = this.#connections.get(name);
    if (connection) return connection;
    const known = [...this.#connections.keys()].join(", ") || "none";
    throw new QuaysideError(
      "invalid_option",
      `There is no connection named ${JSON.stringify(name)}. Known are: ${known}.`,
      {
        option: "connection",
      },
    );
  }

  get defaultConnection(): string {
    return this.#default ?? "default";
  }

  setDefaultConnection(name: string): void {
    this.#default = this.connection(name).name;
  }

  getConnections(): ReadonlyMap<string, QueueConnection<Jobs, Ctx>> {
    return this.#connections;
  }

  /** A queue by name, to inspect and steer, to add to and to handle; the same object each time. */
  queue(name: string = this.defaultQueue, connection?: string): Queue<Jobs, Ctx> {
    return this.connection(connection ?? this.#placement.settings(name).connection).queue(name);
  }

  // Jobs and their handlers

  /** Registers a job with its handler; its queue is worked here. Returns the function that undoes it. */
  registerJob<Payload = unknown, Input = Payload, Result = unknown>(
    registration: JobRegistration<Payload, Ctx, Input, Result>,
  ): () => void {
    const { name, ...definition } = registration;
    const off = this.#home.registry.define(name, definition as unknown as JobDefinition);
    this.#work();
    return off;
  }

  /** Registers job classes; their queues are worked here. */
  register(...jobClasses: readonly JobClass[]): void {
    for (const jobClass of jobClasses) this.#classes.register(jobClass);
    this.#work();
  }

  unregister(name: string): boolean {
    return this.#classes.unregister(name);
  }

  /** Whether a job class, a registered job or the job map has this name. */
  has(name: string): boolean {
    return this.#home.registry.has(name);
  }

  /** The job class of a name. */
  get(name: string): JobClass | undefined {
    return this.#classes.get(name);
  }

  /** All job classes, by name. */
  all(): ReadonlyMap<string, JobClass> {
    return this.#classes.all();
  }

  /** An instance of a job class, as a worker makes it for a stored payload. @throws {QuaysideError} `unknown_job`. */
  make(name: string, payload: unknown): JobInstance {
    return this.#classes.make(name, payload);
  }

  // Adding

  /** Adds one job; resolves with its id once it is durable. */
  async enqueue(request: JobToEnqueue<Jobs>): Promise<string> {
    const [id] = await this.enqueueAll([request]);
    return id as string;
  }

  /** Adds many, in one transaction a connection; ids in their order. */
  enqueueAll(requests: readonly JobToEnqueue<Jobs>[]): Promise<readonly string[]> {
    return this.#add(requests.map((request) => this.#placement.place(request)));
  }

  /** Adds one job to each of several queues: all or none, where the queues share a connection. Ids in their order. */
  publish({ queues, ...request }: JobToPublish<Jobs>): Promise<readonly string[]> {
    return this.#add(queues.map((queue) => this.#placement.place({ ...request, queue })));
  }

  /** Adds an instance of a job class, which is registered if it is not yet. Stored is its `toJSON()`, else its `payload`. */
  async dispatch(job: JobInstance, options?: DispatchOptions): Promise<string> {
    const [id] = await this.dispatchBatch([job], options);
    return id as string;
  }

  /** Adds instances of job classes, in one transaction a connection. */
  dispatchBatch(jobs: readonly JobInstance[], options: DispatchOptions = {}): Promise<readonly string[]> {
    const requests = jobs.map((job) => {
      const jobClass = job.constructor as unknown as JobClass;
      this.register(jobClass);
      return { ...options, name: jobClass.jobName, payload: payloadOfInstance(job) };
    });
    return this.#add(requests.map((request) => this.#placement.place(request)));
  }

  /** What `JobClass.dispatch` does. */
  dispatchAll(
    { jobName }: JobClass,
    payloads: readonly unknown[],
    options: DispatchOptions = {},
  ): Promise<readonly string[]> {
    return this.#add(payloads.map((payload) => this.#placement.place({ ...options, name: jobName, payload })));
  }

  // Working

  get status(): WorkerStatus {
    return this.#status;
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    return this.#events.on(name, listener);
  }

  /** Writes the queues' settings into their stores and starts working them. */
  async start(): Promise<void> {
    if (this.#status === "running") return;
    this.#status = "running";
    try {
      await this.#configure();
      this.#work();
      for (const { worker } of this.#connections.values()) await worker.start();
    } catch (error) {
      await this.stop({ timeout: 0 });
      throw error;
    }
  }

  /** Stops claiming, waits for running handlers up to `timeout` (default 30 s), then gives their jobs back. */
  async stop(options: { readonly timeout?: Duration } = {}): Promise<void> {
    if (this.#status === "stopped") return;
    this.#status = "stopping";
    await Promise.all([...this.#connections.values()].map(({ worker }) => worker.stop(options)));
    this.#status = "stopped";
  }

  /** Works until nothing runs and nothing is due on any connection; a manager that was stopped is stopped again. */
  async drain(): Promise<void> {
    const wasStopped = this.#status === "stopped";
    if (wasStopped) await this.start();
    const workers = [...this.#connections.values()].map(({ worker }) => worker);
    const done = () => workers.reduce((sum, worker) => sum + worker.processedCount + worker.failedCount, 0);
    // What runs on one connection may add to another that was idle already.
    for (let before = -1; before !== done(); ) {
      before = done();
      await Promise.all(workers.map((worker) => worker.drain()));
    }
    if (wasStopped) await this.stop();
  }

  /** Runs up to `count` due jobs, of one queue or of any, one after the other; answers how many. For a stopped manager. */
  async process({
    queue,
    count = Number.POSITIVE_INFINITY,
  }: {
    readonly queue?: string;
    readonly count?: number;
  } = {}) {
    this.#work();
    let ran = 0;
    for (const { worker } of this.#connections.values()) {
      while (ran < count && (await worker.processNext(queue))) ran++;
    }
    return ran;
  }

  // Looking

  metrics(): ManagerMetrics {
    const { metrics } = this.#home;
    const queues = Object.fromEntries(metrics.queues().map((name) => [name, metrics.read(name)]));
    const sum = (count: "processed" | "failed" | "retried") =>
      Object.values(queues).reduce((total, queue) => total + queue[count], 0);
    return { processed: sum("processed"), failed: sum("failed"), retried: sum("retried"), queues };
  }

  size(queue?: string): Promise<number> {
    return this.queue(queue).size();
  }

  delayedSize(queue?: string): Promise<number> {
    return this.queue(queue).delayedSize();
  }

  async clear(queue?: string): Promise<void> {
    await this.queue(queue).clear();
  }

  /** Removes all jobs of all queues that this manager works or has been asked for. */
  async clearAll(): Promise<void> {
    this.#work();
    for (const connection of this.#connections.values()) await connection.clearAll();
  }

  async #add(placed: readonly PlacedJob[]): Promise<readonly string[]> {
    const ids: string[] = [];
    for (const name of new Set(placed.map(({ connection }) => connection))) {
      const own = [...placed.entries()].filter(([, { connection }]) => connection === name);
      const added = await this.connection(name).adder.add(own.map(([, draft]) => draft));
      for (const [index, [position]] of own.entries()) ids[position] = added[index] as string;
    }
    return ids;
  }

  /** What handlers add with: to their own connection and queue, unless something says otherwise. */
  #producerOf(connection: string): Producer {
    const place = (request: JobRequest, { queue }: JobRecord) => this.#placement.place(request, { queue, connection });
    return {
      enqueue: async (request, from) => (await this.#add([place(request, from)]))[0] as string,
      publish: ({ queues, ...request }, from) => this.#add(queues.map((queue) => place({ ...request, queue }, from))),
    };
  }

  /** Has the workers work every queue that settings or registered jobs name. */
  #work(): void {
    for (const { queue, connection } of this.#placement.worked()) {
      if (this.#connections.has(connection)) this.connection(connection).work(queue);
    }
  }

  async #configure(): Promise<void> {
    const { keep } = this.#options;
    const done = new Set<Queue<Jobs, Ctx>>();
    for (const { queue: name, connection } of this.#placement.worked()) {
      const queue = this.connection(connection).queue(name);
      if (done.has(queue)) continue;
      done.add(queue);
      const { rateLimit, maxActive, keep: own } = this.#placement.settings(name);
      if (keep || own || rateLimit !== undefined || maxActive !== undefined) {
        await queue.configure({ rateLimit, maxActive, ...((keep || own) && { keep: { ...keep, ...own } }) });
      }
    }
  }
}
