import { type Clock, systemClock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { DEFAULTS } from "../job/defaults.ts";
import type { Duration } from "../job/duration.ts";
import { QuaysideError } from "../job/errors.ts";
import {
  definitionOf,
  definitionsOf,
  type HandledPayloadOf,
  type JobDefinition,
  type JobMap,
  type JobName,
  type PayloadOf,
  validatePayload,
} from "../job/job-map.ts";
import { toJsonText, utf8Bytes } from "../job/json.ts";
import { integer, type JobDefaults, type JobOptions, resolveKeep, resolveOptions } from "../job/options.ts";
import { checkName } from "../job/place.ts";
import type { JobRecord, JobState, Keep } from "../job/record.ts";
import type { Change } from "../store/store.ts";
import type { CommandReply, JobCounts, JobPage, ListQuery, NewJob } from "../store/verbs.ts";
import { Emitter } from "../worker/emitter.ts";
import type { Handler } from "../worker/handler-context.ts";
import { Worker, type WorkerOptions } from "../worker/worker.ts";
import type { WorkerEvents } from "../worker/worker-events.ts";
import { EnqueueBatcher } from "./enqueue-batcher.ts";
import { Handlers } from "./handlers.ts";
import { JobBuilder } from "./job-builder.ts";

export interface QueueOptions<Jobs extends JobMap = JobMap> {
  /** Job map with schemas and options, from `defineJobs`. */
  readonly jobs?: Jobs;
  /** Options of all jobs of this queue, unless the definition or the job says otherwise. */
  readonly defaults?: JobDefaults;
  /** Largest payload in bytes of JSON. Default 128 KiB. */
  readonly payloadLimit?: number;
  readonly clock?: Clock;
  readonly random?: () => number;
}

/** A job for `addJobs`: name, payload and options in one object. */
export type JobToAdd<Jobs extends JobMap> = {
  [Name in JobName<Jobs>]: { readonly name: Name; readonly payload: PayloadOf<Jobs, Name> } & JobOptions;
}[JobName<Jobs>];

export type RunOptions = Pick<WorkerOptions, "concurrency" | "lease" | "name" | "maxJobs" | "ctx" | "alarm">;

type HandlerEvent<Jobs extends JobMap> = `job:${JobName<Jobs>}`;

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
export class Queue<Jobs extends JobMap = Record<string, unknown>> {
  readonly name: string;
  readonly driver: Driver;
  readonly #definitions: Record<string, JobDefinition> | undefined;
  readonly #options: QueueOptions<Jobs>;
  readonly #clock: Clock;
  readonly #payloadLimit: number;
  readonly #handlers: Handlers;
  readonly #events = new Emitter<WorkerEvents>();
  #worker: Worker | undefined;

  /** @throws {QuaysideError} `invalid_option` when the name is empty, too long or not well-formed Unicode. */
  constructor(name: string, driver: Driver, options: QueueOptions<Jobs> = {}) {
    this.name = checkName(name, "queue name");
    this.driver = driver;
    this.#options = options;
    this.#definitions = options.jobs && definitionsOf(options.jobs);
    this.#clock = options.clock ?? systemClock;
    this.#payloadLimit = integer(
      options.payloadLimit ?? DEFAULTS.payloadLimitBytes,
      1,
      64 * 1024 * 1024,
      "payloadLimit",
    );
    this.#handlers = new Handlers(this.#definitions);
  }

  /**
   * Adds a job; resolves with its id once it is durable. Adds made in the same turn share one transaction.
   *
   * @throws {QuaysideError} `unknown_job`, `invalid_payload` (`details.issues` or `details.path` says where),
   * `payload_too_large`, `invalid_option`, or what the driver met: `storage_full`, `storage_unavailable`, `network` …
   */
  async addJob<Name extends JobName<Jobs>>(
    name: Name,
    payload: PayloadOf<Jobs, Name>,
    options?: JobOptions,
  ): Promise<string> {
    const job = this.#prepare(name, payload, options);
    const [receipt] = await EnqueueBatcher.of(this.driver).add([job instanceof Promise ? await job : job]);
    if (!receipt) throw new QuaysideError("internal", "The driver answered no receipt.");
    return receipt.id;
  }

  /** Adds many jobs in one transaction, all or none; ids in the same order. */
  async addJobs(jobs: readonly JobToAdd<Jobs>[]): Promise<readonly string[]> {
    if (jobs.length === 0) return [];
    const prepared = jobs.map(({ name, payload, ...options }) => this.#prepare(name, payload, options));
    const receipts = await EnqueueBatcher.of(this.driver).add(await Promise.all(prepared));
    return receipts.map(({ id }) => id);
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

  /**
   * `"job:NAME"` registers a handler; several for one name run in order, the first that throws fails the attempt, the
   * result is the first one's. Other names are events of this queue's worker. Returns the function that undoes it.
   */
  on<Name extends JobName<Jobs>>(event: `job:${Name}`, handler: Handler<HandledPayloadOf<Jobs, Name>>): () => void;
  on<Name extends keyof WorkerEvents>(event: Name, listener: (event: WorkerEvents[Name]) => void): () => void;
  on(event: HandlerEvent<Jobs> | keyof WorkerEvents, listener: ((event: never) => void) | Handler<never>): () => void {
    if (event.startsWith("job:")) {
      const off = this.#handlers.add(event.slice(4), listener as Handler);
      this.#worker?.wake();
      return off;
    }
    return this.#events.on(event as keyof WorkerEvents, listener as (event: object) => void);
  }

  /** Starts working this queue here. Idempotent while it runs; its options are those of the first call. */
  async run(options: RunOptions = {}): Promise<void> {
    this.#worker ??= this.#makeWorker(options);
    await this.#worker.start();
  }

  /** Stops working it here: waits for running handlers up to `timeout` (default 30 s), then gives their jobs back. */
  async stop(options: { readonly timeout?: Duration } = {}): Promise<void> {
    const worker = this.#worker;
    await worker?.stop(options);
    if (this.#worker === worker) this.#worker = undefined;
  }

  /** Works until nothing is due, then resolves: for tests, scripts and service workers. */
  async drain(options: RunOptions = {}): Promise<void> {
    if (this.#worker) return this.#worker.drain();
    const worker = this.#makeWorker(options);
    this.#worker = worker;
    try {
      await worker.drain();
    } finally {
      if (this.#worker === worker) this.#worker = undefined;
    }
  }

  get<Name extends JobName<Jobs>>(id: string): Promise<JobRecord<PayloadOf<Jobs, Name>> | undefined> {
    return this.driver.get(this.name, id) as Promise<JobRecord<PayloadOf<Jobs, Name>> | undefined>;
  }

  /** A page of jobs, 100 unless `limit` says otherwise; pass its `cursor` for the next one. */
  list(query: Omit<ListQuery, "queue"> = {}): Promise<JobPage> {
    return this.driver.list({ ...query, queue: this.name });
  }

  counts(): Promise<JobCounts> {
    return this.driver.counts(this.name);
  }

  /** Jobs that have not ended: waiting, delayed and active. */
  async size(): Promise<number> {
    const { waiting, delayed, active } = await this.counts();
    return waiting + delayed + active;
  }

  async delayedSize(): Promise<number> {
    return (await this.counts()).delayed;
  }

  /** Ends a waiting job as `cancelled`; asks a running one to stop. `affected: 0` when it had ended already. */
  cancel(id: string): Promise<CommandReply> {
    return this.driver.command({ type: "cancel", queue: this.name, id });
  }

  /** Puts a failed or cancelled job back in line, with fresh attempts. @throws {QuaysideError} `job_not_found`, `conflict`. */
  retry(id: string): Promise<CommandReply> {
    return this.driver.command({ type: "retry", queue: this.name, id });
  }

  /** Makes a delayed job due now. @throws {QuaysideError} `job_not_found`, `conflict` when it runs or has ended. */
  promote(id: string): Promise<CommandReply> {
    return this.driver.command({ type: "promote", queue: this.name, id });
  }

  /** Deletes a job in any state; a running one is asked to stop and then leaves no trace. */
  remove(id: string): Promise<CommandReply> {
    return this.driver.command({ type: "remove", queue: this.name, id });
  }

  /** Removes all jobs, or those of one state. Thousands go in several transactions. */
  clear(state?: JobState): Promise<CommandReply> {
    return this.driver.command({ type: "clear", queue: this.name, ...(state && { state }) });
  }

  /** Nobody claims jobs of this queue until `resume`; running ones go on. */
  async pause(): Promise<void> {
    await this.driver.command({ type: "pause", queue: this.name });
  }

  async resume(): Promise<void> {
    await this.driver.command({ type: "resume", queue: this.name });
  }

  /** Sets what belongs to the queue and lives in its store; the last writer wins. */
  async configure({ keep }: { readonly keep?: Partial<Keep> }): Promise<void> {
    await this.driver.command({ type: "configure", queue: this.name, ...(keep && { keep: resolveKeep(keep) }) });
  }

  /** Calls back after something in this queue changed, here or in another tab. Returns the function that stops it. */
  watch(listener: (change: Change) => void): () => void {
    return this.driver.watch((change) => {
      if (change.queue === this.name) listener(change);
    });
  }

  #makeWorker(options: RunOptions): Worker {
    const { random } = this.#options;
    return new Worker(this.driver, {
      ...options,
      events: this.#events,
      clock: this.#clock,
      random,
      queues: [
        { name: this.name, names: () => this.#handlers.names(), run: (job, ctx) => this.#handlers.run(job, ctx) },
      ],
    });
  }

  /** Checks and resolves everything about a job before it reaches the driver. */
  #prepare(name: string, payload: unknown, options: JobOptions | undefined): NewJob | Promise<NewJob> {
    checkName(name, "job name");
    const definition = definitionOf(this.#definitions, name);
    const { input: _, ...defaults } = definition ?? {};
    const resolved = resolveOptions([this.#options.defaults, defaults, options], this.#clock.now());
    const text = toJsonText(payload, "payload");
    const bytes = utf8Bytes(text, this.#payloadLimit);
    if (bytes > this.#payloadLimit) {
      throw new QuaysideError(
        "payload_too_large",
        `The payload of job ${JSON.stringify(name)} has ${bytes} bytes of JSON; at most ${this.#payloadLimit} are allowed. Store large data elsewhere and pass its key.`,
        {
          job: name,
          bytes,
          limit: this.#payloadLimit,
        },
      );
    }
    const job: NewJob = { queue: this.name, name, payload: text, ...resolved };
    // The payload is stored as it was given, and checked again before it runs: what a schema makes of it is the handler's.
    const checked = validatePayload(name, definition, payload);
    return checked instanceof Promise ? checked.then(() => job) : job;
  }
}
