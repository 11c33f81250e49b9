import {
  type AddArguments,
  type JobId,
  type JobMap,
  type JobName,
  type JobOptions,
  type JobToAdd,
  type PayloadOf,
  QuaysideError,
  Queue,
  type QueueListener,
  type QueueOptions,
  type ResultOf,
  type RunOptions,
  type UntypedJobs,
  type WaitOptions,
  type WorkerEvents,
} from "@quayside/core";
import { prepareNow } from "@quayside/core/engine";
import { callVerb, checkNamespace, forward, type QueueCall, type QueueNamespace } from "../rpc/queue-rpc.ts";
import { checkQueues } from "./defined-queues.ts";
import type { DurableQueueOptions, Usage } from "./durable-queue.ts";
import { ObjectQueues } from "./object-queues.ts";
import type { AlarmHandler } from "./user-alarm.ts";

/** Options of `embedQueue`. */
export interface EmbedQueueOptions<Jobs extends JobMap, Env> extends DurableQueueOptions<Jobs, Env> {
  /** The object's `this.env`, passed to handlers as `ctx.env`. */
  readonly env?: Env | undefined;
  /** Name of the queue. Default: `default`. */
  readonly name?: string | undefined;
}

/**
 * Adds a queue to a Durable Object class of your own (SQLite-backed). Jobs are added in the same transaction as your
 * rows. The queue shares the object's one alarm: call the queue's `alarm()` in the class's `alarm()`, and set your own
 * alarm with the queue's `setAlarm()` instead of `ctx.storage`'s.
 *
 * Call it once, in the object's constructor or a field initialiser, before other code takes `transaction` or
 * `transactionSync` from `ctx.storage`. Further queues come from `queue(name)`.
 *
 * @throws {QuaysideError} `conflict` if the object has a queue already.
 * @example
 * export class Shop extends DurableObject<Env> {
 *   readonly #mail = embedQueue(this.ctx, {
 *     env: this.env,
 *     jobs,
 *     handlers: { receipt: async ({ order }, { env }) => send(env.MAIL_KEY, order) },
 *   });
 *   order(id: string): void {
 *     this.ctx.storage.transactionSync(() => {
 *       this.ctx.storage.sql.exec("INSERT INTO orders VALUES (?)", id);
 *       this.#mail.addJobSync("receipt", { order: id });
 *     });
 *   }
 *   override alarm() {
 *     return this.#mail.alarm(() => this.closeShop());
 *   }
 * }
 */
export function embedQueue<Jobs extends JobMap = UntypedJobs, Env = unknown>(
  ctx: DurableObjectState,
  options: EmbedQueueOptions<Jobs, Env>,
): EmbeddedQueue<Jobs, Env> {
  if (embedded.has(ctx))
    throw new QuaysideError("conflict", "This object has a queue already: get further ones from its queue(name).");
  embedded.add(ctx);
  const { env, name = "default", ...rest } = checkQueues(options);
  const queues = new ObjectQueues(ctx, env, rest as unknown as DurableQueueOptions<JobMap, never>, {
    makeQueue: (queue, of, shared) => new EmbeddedQueue(queue, of, shared),
  });
  return queues.queue(name) as unknown as EmbeddedQueue<Jobs, Env>;
}

const embedded = new WeakSet<DurableObjectState>();

/**
 * A queue in a Durable Object class of your own: a `Queue` whose jobs the object itself works. All queues of an object
 * share one worker and one alarm.
 */
export class EmbeddedQueue<Jobs extends JobMap = UntypedJobs, Env = unknown> extends Queue<
  Jobs,
  { readonly env: Env }
> {
  readonly #queues: ObjectQueues;

  /**
   * Creates the queue. Use `embedQueue`.
   *
   * @internal
   */
  constructor(name: string, queues: ObjectQueues, options: QueueOptions<Jobs>) {
    super(name, queues.driver, options as QueueOptions<Jobs, { readonly env: Env }> & { readonly jobs: Jobs });
    this.#queues = queues;
  }

  /**
   * Adds a job synchronously and returns its id. Inside `ctx.storage.transactionSync` or `transaction`, the add is part
   * of that transaction: the job starts, and its change is reported, after the commit; a rollback leaves no job, alarm
   * or cached state. Ignores `shouldQueue`.
   *
   * @throws {QuaysideError} as `addJob`; `invalid_option` if the job's schema validates asynchronously.
   */
  addJobSync<Name extends JobName<Jobs>>(name: Name, ...payload: AddArguments<PayloadOf<Jobs, Name>>): JobId<Name>;
  addJobSync(name: string, payload?: unknown, options?: JobOptions): string {
    const [id] = this.addJobsSync([{ ...options, name, payload } as unknown as JobToAdd<Jobs>]);
    return id as string;
  }

  /** Adds many jobs as `addJobSync` does, all or none. Returns their ids, in the order of the jobs. */
  addJobsSync(jobs: readonly JobToAdd<Jobs>[]): readonly JobId<JobName<Jobs>>[] {
    const receipts = this.#queues.enqueueNow(prepareNow(this as unknown as Queue<Jobs>, jobs));
    return receipts.map(({ id }) => id);
  }

  /** Returns another queue of this object, with the same jobs and handlers. */
  queue(name: string): EmbeddedQueue<Jobs, Env> {
    return this.#queues.queue(name) as unknown as EmbeddedQueue<Jobs, Env>;
  }

  /** Registers a handler for `"job:NAME"`, or a listener for worker events about this queue's jobs. */
  override on<Name extends keyof WorkerEvents>(event: Name, listener: (event: WorkerEvents[Name]) => void): () => void;
  override on<Event extends `job:${JobName<Jobs>}` | keyof WorkerEvents>(
    event: Event,
    listener: QueueListener<Jobs, { readonly env: Env }, Event>,
  ): () => void;
  override on(event: string, listener: (...given: never[]) => unknown): () => void {
    const { worker } = this.#queues;
    if (event.startsWith("job:")) {
      const off = super.on(event as never, listener as never);
      this.#queues.handle();
      return off;
    }
    if (!worker) return () => {};
    return worker.on(event as keyof WorkerEvents, (told) => {
      if (!("job" in told) || told.job.queue === this.name) listener(told as never);
    });
  }

  /** Makes the object's worker check for jobs now. The worker runs without this call, too. */
  override async run(_options?: RunOptions<{ readonly env: Env }>): Promise<void> {
    await this.#queues.enter([this.name]);
    this.#queues.worker?.wake();
  }

  /**
   * Works all queues of the object until no job is due.
   *
   * @throws {QuaysideError} `conflict` inside a transaction of the object's code: its jobs only run after the commit.
   */
  override async drain(_options?: RunOptions<{ readonly env: Env }>): Promise<void> {
    this.#queues.refuseInTransaction("drain()");
    await this.run();
    await this.#queues.worker?.drain();
  }

  /**
   * Waits for the end of a job, as `Queue.waitFor` does.
   *
   * @throws {QuaysideError} `conflict` inside a transaction of the object's code: its jobs only run after the commit.
   */
  override async waitFor<Name extends JobName<Jobs>>(id: string, options?: WaitOptions): Promise<ResultOf<Jobs, Name>> {
    this.#queues.refuseInTransaction("waitFor()");
    return super.waitFor<Name>(id, options);
  }

  /**
   * Runs due jobs, and calls `handler` once if the alarm set with `setAlarm` is due. Call it in the class's `alarm()`.
   * Never throws. If the handler throws or the object dies, the handler is called again after 2 s, doubled each time,
   * six times in all, as Cloudflare does; its errors go to `onError`. A handler that runs for 14 minutes counts as
   * failed. Jobs that become due meanwhile are started.
   */
  alarm(handler?: AlarmHandler): Promise<void> {
    return this.#queues.alarm(handler);
  }

  /**
   * Sets your own alarm, in place of the one set before. `at`: ms since epoch or a Date. Stored as a row, in the open
   * transaction if there is one.
   *
   * @throws {QuaysideError} `invalid_option` if `at` is invalid or after 2189, or the class has no `alarm()`.
   */
  setAlarm(at: number | Date): void {
    this.#queues.userAlarm?.set(at);
  }

  /**
   * Returns the time of your own alarm in ms since epoch. Null if none is set, and while its handler runs, unless the
   * handler has set it again.
   */
  getAlarm(): number | null {
    return this.#queues.userAlarm?.get() ?? null;
  }

  deleteAlarm(): void {
    this.#queues.userAlarm?.delete();
  }

  /**
   * Runs a verb of the object's queues for another Worker. Add a method to your class that passes its arguments on;
   * `edgeQueue` and `queueApi` reach the queue through `embeddedQueues(env.SHOP)`.
   *
   * @example
   * queues(...call: QueueCall) { return this.#mail.call(...call); }
   */
  call(...call: QueueCall): Promise<unknown> {
    return callVerb(this.#queues.rpc, call);
  }

  /** Returns the rows read and written, and the alarms set, since this object was last started. */
  usage(): Usage {
    return this.#queues.usage();
  }
}

/**
 * Adapts the namespace of a class that embeds queues for `edgeQueue`, `queueStub` and `queueApi`.
 *
 * @throws {QuaysideError} `invalid_option` if the binding is missing.
 * @param method the method of the class that passes on to `call`. Default: `queues`.
 * @example
 * const mail = edgeQueue(embeddedQueues(env.SHOP), "default", { jobs, object: "shop-1" });
 */
export function embeddedQueues(namespace: QueueNamespace, method = "queues"): QueueNamespace {
  checkNamespace(namespace);
  return {
    idFromName: (name) => namespace.idFromName(name),
    get: (id) => {
      const stub = namespace.get(id) as Record<string, (...call: QueueCall) => Promise<unknown>>;
      return forward((...call) => (stub[method] as (...call: QueueCall) => Promise<unknown>)(...call));
    },
  };
}
