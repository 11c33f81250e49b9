import { checkListener, type WorkerEvents } from "../attempt/worker-events.ts";
import { systemClock } from "../engine/clock.ts";
import type { Driver } from "../engine/driver.ts";
import { Emitter } from "../job/emitter.ts";
import { checkName } from "../job/job-keys.ts";
import { checkDefinition, definitionsOf, type JobDefinition } from "../job/job-map.ts";
import { resolveKeep } from "../job/job-options.ts";
import type { JobMap, UntypedJobs } from "../job/job-types.ts";
import * as LIMITS from "../job/limits.ts";
import { fields, integer, list } from "../job/option-checks.ts";
import { EVERY_OPTION } from "../plugins/all-options.ts";
import { LifeCycle, type StopOptions } from "../worker/life-cycle.ts";
import { Slots } from "../worker/slots.ts";
import { CONCURRENCY, type WorkerStatus, type WorkPlace } from "../worker/worker-options.ts";
import {
  type Dispatcher,
  type DispatchOptions,
  type JobClass,
  type JobInstance,
  payloadOfInstance,
} from "./job-class.ts";
import { ClassRegistry } from "./job-class-registry.ts";
import { eachJob } from "./job-submitter.ts";
import { Connections } from "./manager-connections.ts";
import { type ManagerMetrics, readManagerMetrics } from "./manager-metrics.ts";
import type { JobRegistration, JobToEnqueue, JobToPublish, QueueManagerOptions } from "./manager-options.ts";
import { Placement } from "./manager-placement.ts";
import { ManagerRegistry } from "./manager-registry.ts";
import { ManagedWorkers } from "./manager-workers.ts";
import { Metrics } from "./metrics.ts";
import type { Queue } from "./queue.ts";
import type { QueueConnection } from "./queue-connection.ts";
import { makeQueueContext, type QueueContext } from "./queue-context.ts";

/**
 * Works many queues with a shared limit of running jobs (`concurrency`). Each connection (driver) has one worker for
 * all of its queues; a busy queue uses the slots that others leave free.
 *
 * @example
 * const manager = new QueueManager({
 *   driver, ctx: { db }, concurrency: 10,
 *   queues: { emails: { concurrency: 2, rateLimit: { max: 10, per: "1s" } } }, keep: { completed: 100 },
 * });
 * manager.registerJob<{ to: string }>({ name: "email", queue: "emails", handler: ({ to }, ctx) => ctx.db.send(to) });
 * await manager.start();
 * await manager.enqueue({ name: "email", queue: "emails", payload: { to } });
 */
export class QueueManager<Jobs extends JobMap = UntypedJobs, Ctx extends object = object>
  extends LifeCycle
  implements Dispatcher
{
  #defaultQueue: string;
  /** Number of jobs that a running `process` may still run, shared by the workers of all connections. */
  readonly #budget = { left: 0, asked: 0, spent: () => void this.stop() };
  readonly #metrics = new Metrics();
  readonly #registry: ManagerRegistry;
  readonly #context: QueueContext;
  readonly #placement: Placement;
  readonly #classes: ClassRegistry;
  readonly #events = new Emitter<WorkerEvents>();
  readonly #connections: Connections<Jobs, Ctx>;
  readonly #workers: ManagedWorkers<Jobs, Ctx>;

  constructor(options: QueueManagerOptions<Jobs, Ctx> = {}) {
    super();
    this.#defaultQueue = fields(options, "options").defaultQueue ?? "default";
    const { defaults, queues = {}, connections = {}, keep, maxJobs = Number.POSITIVE_INFINITY } = options;
    if (keep) resolveKeep(keep);
    for (const settings of Object.values(fields(queues, "queues"))) {
      if (settings?.keep) resolveKeep(settings.keep);
      if (settings?.concurrency !== undefined) integer(settings.concurrency, 1, LIMITS.claim, "concurrency");
    }
    this.#placement = new Placement({
      registry: () => this.#registry,
      queues,
      defaultQueue: () => this.defaultQueue,
      defaultConnection: () => this.defaultConnection,
    });
    this.#registry = new ManagerRegistry(options.jobs && definitionsOf(options.jobs));
    this.#context = makeQueueContext(options, options.driver, {
      parsers: EVERY_OPTION,
      metrics: this.#metrics,
      registry: this.#registry,
      defaultsOf: (queue) => ({ ...defaults, ...this.#placement.settings(queue).defaults }),
    });
    this.#classes = new ClassRegistry(this.#registry, this);
    if (options.maxJobs !== undefined) integer(maxJobs, 1, Number.MAX_SAFE_INTEGER, "maxJobs");
    this.#connections = new Connections({
      context: this.#context,
      placement: this.#placement,
      events: this.#events,
      slots: new Slots(integer(options.concurrency ?? CONCURRENCY, 1, LIMITS.claim, "concurrency")),
      worker: { ...options, budget: this.#budget },
      defaultQueue: () => this.defaultQueue,
      drain: () => this.drain(),
    });
    this.#workers = new ManagedWorkers({
      connections: this.#connections,
      placement: this.#placement,
      keep,
      clock: this.#context.clock ?? systemClock,
      report: (error) => this.#events.fault(error),
      begin: () => {
        this.#budget.left = maxJobs;
      },
    });
    if (options.driver) this.addConnection("default", options.driver);
    for (const [name, driver] of Object.entries(fields(connections, "connections"))) this.addConnection(name, driver);
  }

  /** The queue of jobs that name no queue. If it changes, a running manager works the new queue as well. */
  get defaultQueue(): string {
    return this.#defaultQueue;
  }

  set defaultQueue(name: string) {
    this.#defaultQueue = checkName(name, "defaultQueue");
    this.#workers.work();
  }

  // Connections

  /** Adds a connection; the first is the default one. @throws {QuaysideError} `conflict` if the name is taken. */
  addConnection(name: string, driver: Driver): QueueConnection<Jobs, Ctx> {
    const connection = this.#connections.add(name, driver);
    this.#workers.work();
    return connection;
  }

  /** Returns a connection. @throws {QuaysideError} `invalid_option` if there is none of this name. */
  connection(name: string = this.defaultConnection): QueueConnection<Jobs, Ctx> {
    return this.#connections.get(name);
  }

  get defaultConnection(): string {
    return this.#connections.default;
  }

  setDefaultConnection(name: string): void {
    this.#connections.setDefault(name);
    this.#workers.work();
  }

  getConnections(): ReadonlyMap<string, QueueConnection<Jobs, Ctx>> {
    return this.#connections.all;
  }

  /** Returns a queue, the same object for the same name. */
  queue(name: string = this.defaultQueue, connection?: string): Queue<Jobs, Ctx> {
    return this.connection(connection ?? this.#placement.settings(name).connection).queue(name);
  }

  // Jobs and their handlers

  /** Registers a job with its handler and works the job's queue. Returns a function that removes both. */
  registerJob<Payload = unknown, Input = Payload, Result = unknown>(
    registration: JobRegistration<Payload, Ctx, Input, Result>,
  ): () => void {
    const { name, ...definition } = fields(registration, "registration");
    checkName(name, "job name");
    checkDefinition(name, definition as unknown as JobDefinition);
    const off = this.#registry.define(name, definition as unknown as JobDefinition);
    this.#workers.work();
    return off;
  }

  /** Registers job classes and works their queues. */
  register(...jobClasses: readonly JobClass<unknown, Ctx>[]): void {
    for (const jobClass of jobClasses) this.#classes.register(jobClass);
    this.#workers.work();
  }

  unregister(name: string): boolean {
    return this.#classes.unregister(name);
  }

  /** Returns whether a job class, a registered job or the job map has this name. */
  has(name: string): boolean {
    return this.#registry.has(name);
  }

  /** Returns the job class with this name, if there is one. */
  get(name: string): JobClass | undefined {
    return this.#classes.get(name);
  }

  /** Returns all job classes by name. */
  all(): ReadonlyMap<string, JobClass> {
    return this.#classes.all();
  }

  /** Creates an instance of a job class for a stored payload. @throws {QuaysideError} `unknown_job`. */
  make(name: string, payload: unknown): JobInstance {
    return this.#classes.make(name, payload);
  }

  // Adding

  /** Adds one job. Resolves with its id when it is stored. */
  async enqueue(request: JobToEnqueue<Jobs>): Promise<string> {
    return (await this.enqueueAll([request]))[0] as string;
  }

  /** Adds jobs, in one transaction per connection, after checking all. Resolves with ids in the order given. */
  async enqueueAll(requests: readonly JobToEnqueue<Jobs>[]): Promise<readonly string[]> {
    return this.#connections.enqueue(eachJob(requests, (request) => this.#placement.place(request)));
  }

  /** Adds one job to several queues, all or none per connection. Resolves with ids in the order of the queues. */
  async publish(job: JobToPublish<Jobs>): Promise<readonly string[]> {
    const { queues, ...request } = fields(job, "job");
    const placed = list(queues, "queues").map((queue) => this.#placement.place({ ...request, queue }));
    return this.#connections.enqueue(placed);
  }

  /** Adds an instance of a job class as a job, and registers the class. Stores its `toJSON()`, else its `payload`. */
  async dispatch(job: JobInstance<unknown, Ctx>, options?: DispatchOptions): Promise<string> {
    return (await this.dispatchBatch([job], options))[0] as string;
  }

  /** Adds instances of job classes as jobs, in one transaction per connection. Resolves with their ids in order. */
  async dispatchBatch(
    jobs: readonly JobInstance<unknown, Ctx>[],
    options: DispatchOptions = {},
  ): Promise<readonly string[]> {
    const requests = jobs.map((job) => {
      const jobClass = fields(job, "job").constructor as unknown as JobClass<unknown, Ctx>;
      this.register(jobClass);
      return { ...options, name: jobClass.jobName, payload: payloadOfInstance(job) };
    });
    return this.#connections.enqueue(requests.map((request) => this.#placement.place(request)));
  }

  /** Adds jobs of a class, for `JobClass.dispatch`. */
  async dispatchAll({ jobName }: JobClass, payloads: readonly unknown[], options?: DispatchOptions) {
    const placed = payloads.map((payload) => this.#placement.place({ ...options, name: jobName, payload }));
    return this.#connections.enqueue(placed);
  }

  // Working

  get status(): WorkerStatus {
    return this.#workers.status;
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    checkListener(name, listener);
    return this.#events.on(name, listener);
  }

  /** Stores the queues' settings and starts working them. */
  override start(): Promise<void> {
    return this.#workers.start();
  }

  /** Stops claiming, waits for running handlers up to `timeout` (default: 30 s), then releases their jobs. */
  override stop(options: StopOptions = {}): Promise<void> {
    return this.#workers.stop(options);
  }

  /** The driver of each connection with the queues that are worked there. */
  override get places(): readonly WorkPlace[] {
    return [...this.#connections.all.values()].flatMap(({ worker }) => worker.places);
  }

  /** Works until no job runs or is due on any connection. A stopped manager is stopped again afterwards. */
  drain(): Promise<void> {
    return this.#workers.drain();
  }

  /** Runs up to `count` due jobs of a stopped manager, one after the other. Returns the number of jobs that ran. */
  process(options: { readonly queue?: string | undefined; readonly count?: number | undefined } = {}): Promise<number> {
    return this.#workers.process(options);
  }

  // Inspection

  metrics(): ManagerMetrics {
    return readManagerMetrics(this.#metrics);
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

  /** Removes all jobs of all queues that this manager works, or that `queue` has returned. */
  async clearAll(): Promise<void> {
    this.#workers.work();
    for (const connection of this.#connections.all.values()) await connection.clearAll();
  }
}
