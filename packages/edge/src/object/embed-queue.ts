import {
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
  type WaitOptions,
  type WorkerEvents,
} from "@quayside/core";
import { prepareNow } from "@quayside/core/engine";
import { callVerb, checkNamespace, type QueueCall, type QueueNamespace, verbsOver } from "../rpc/queue-rpc.ts";
import type { DurableQueueOptions, Usage } from "./durable-queue.ts";
import { ObjectQueues } from "./object-queues.ts";
import type { AlarmHandler } from "./user-alarm.ts";

/** Options of `embedQueue`. */
export interface EmbedQueueOptions<Jobs extends JobMap, Env> extends DurableQueueOptions<Jobs, Env> {
  /** The object's `this.env`: what handlers find as `ctx.env`. */
  readonly env?: Env;
  /** Name of the queue. Default `default`. */
  readonly name?: string;
}

/**
 * Puts a queue into a Durable Object class of your own (SQLite-backed). Jobs are added in the same transaction as your
 * rows, and the object's one alarm is shared: call `alarm()` in the class's `alarm()`, and set your own alarm with
 * `setAlarm()` of the queue instead of that of `ctx.storage`.
 *
 * Call it once, in the object's constructor or a field of it, before anything takes `transaction` or `transactionSync` from
 * `ctx.storage`; further queues come from `queue(name)`.
 *
 * @throws {QuaysideError} `conflict` when the object has a queue already.
 * @example
 * export class Shop extends DurableObject<Env> {
 *   readonly #mail = embedQueue(this.ctx, {
 *     env: this.env,
 *     jobs,
 *     handlers: { receipt: async ({ order }, { env }) => send(env.MAIL_KEY, order) },
 *   });
 *
 *   order(id: string): void {
 *     this.ctx.storage.transactionSync(() => {
 *       this.ctx.storage.sql.exec("INSERT INTO orders VALUES (?)", id);
 *       this.#mail.addJobSync("receipt", { order: id });
 *     });
 *   }
 *
 *   override alarm() {
 *     return this.#mail.alarm(() => this.closeShop());
 *   }
 * }
 */
export function embedQueue<Jobs extends JobMap = Record<string, unknown>, Env = unknown>(
  ctx: DurableObjectState,
  options: EmbedQueueOptions<Jobs, Env>,
): EmbeddedQueue<Jobs, Env> {
  if (embedded.has(ctx))
    throw new QuaysideError("conflict", "This object has a queue already: get further ones from its queue(name).");
  embedded.add(ctx);
  const { env, name = "default", ...rest } = options;
  const queues = new ObjectQueues(ctx, env, rest as unknown as DurableQueueOptions<JobMap, never>, {
    makeQueue: (queue, of, shared) => new EmbeddedQueue(queue, of, shared),
  });
  return queues.queue(name) as unknown as EmbeddedQueue<Jobs, Env>;
}

const embedded = new WeakSet<DurableObjectState>();

/**
 * A queue in an object of its user's own: a `Queue` whose worker is the object's, with what belongs to the object besides.
 * All queues of an object share its worker and its alarm.
 */
export class EmbeddedQueue<Jobs extends JobMap = Record<string, unknown>, Env = unknown> extends Queue<
  Jobs,
  { readonly env: Env }
> {
  readonly #queues: ObjectQueues;

  /** @internal `embedQueue` makes one. */
  constructor(name: string, queues: ObjectQueues, options: QueueOptions<Jobs>) {
    super(name, queues.driver, options as QueueOptions<Jobs, { readonly env: Env }>);
    this.#queues = queues;
  }

  /**
   * Adds a job now and returns its id. Inside `ctx.storage.transactionSync` or `transaction` the add is a part of that
   * transaction: the job starts, and its change is reported, after the commit. When the transaction is undone, no job,
   * alarm or state in memory remains. The job is stored whatever `shouldQueue` returns.
   *
   * @throws {QuaysideError} as `addJob`; `invalid_option` when the job's schema validates asynchronously.
   */
  addJobSync<Name extends JobName<Jobs>>(name: Name, payload: PayloadOf<Jobs, Name>, options?: JobOptions): string {
    const [id] = this.addJobsSync([{ ...options, name, payload } as unknown as JobToAdd<Jobs>]);
    return id as string;
  }

  /** As `addJobSync`, of many jobs: all or none; ids in the same order. */
  addJobsSync(jobs: readonly JobToAdd<Jobs>[]): readonly string[] {
    const receipts = this.#queues.enqueueNow(prepareNow(this as unknown as Queue<Jobs>, jobs));
    return receipts.map(({ id }) => id);
  }

  /** Another queue of this object, with the same jobs and handlers. */
  queue(name: string): EmbeddedQueue<Jobs, Env> {
    return this.#queues.queue(name) as unknown as EmbeddedQueue<Jobs, Env>;
  }

  /** `"job:NAME"` registers a further handler; other names are events of the object's worker, about this queue's jobs. */
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

  /** The object works its queues by itself; this has it look now. */
  override async run(_options?: RunOptions<{ readonly env: Env }>): Promise<void> {
    await this.#queues.enter([this.name]);
    this.#queues.worker?.wake();
  }

  /**
   * Works all queues of the object until nothing is due.
   *
   * @throws {QuaysideError} `conflict` inside a transaction of the object's: jobs run when it is committed.
   */
  override async drain(_options?: RunOptions<{ readonly env: Env }>): Promise<void> {
    this.#queues.refuseInTransaction("drain()");
    await this.run();
    await this.#queues.worker?.drain();
  }

  /**
   * As `waitFor` of every `Queue`.
   *
   * @throws {QuaysideError} `conflict` inside a transaction of the object's: jobs run when it is committed.
   */
  override async waitFor<Name extends JobName<Jobs>>(id: string, options?: WaitOptions): Promise<ResultOf<Jobs, Name>> {
    this.#queues.refuseInTransaction("waitFor()");
    return super.waitFor<Name>(id, options);
  }

  /**
   * For the class's `alarm()`: runs what is due, and calls `handler` once if the alarm set with `setAlarm` is due. Never
   * throws; a handler that does, or that ends with its object, is called again after 2 s, then twice that, six times in
   * all, as the platform does it. Its errors go to `onError`. Jobs that fall due while it runs are started; one that has
   * not returned after 14 minutes counts as failed.
   */
  alarm(handler?: AlarmHandler): Promise<void> {
    return this.#queues.alarm(handler);
  }

  /**
   * Sets your own alarm, in place of the one that was set before: ms since epoch or a Date. A row of its own; a part of
   * the transaction that is open, if one is.
   *
   * @throws {QuaysideError} `invalid_option` when it is no instant or after 2189, or the class has no `alarm()`.
   */
  setAlarm(at: number | Date): void {
    this.#queues.userAlarm?.set(at);
  }

  /** When your own alarm is due; null when there is none, or it is ringing and was not set again. */
  getAlarm(): number | null {
    return this.#queues.userAlarm?.get() ?? null;
  }

  deleteAlarm(): void {
    this.#queues.userAlarm?.delete();
  }

  /**
   * The verbs of the object's queues, for other Workers. A method of the class passes them on, and `edgeQueue` and
   * `queueApi` reach the queue by `embeddedQueues(env.SHOP)`.
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
 * The objects of a class that embeds a queue, as `edgeQueue`, `queueStub` and `queueApi` take them.
 *
 * @throws {QuaysideError} `invalid_option` where the binding is missing.
 * @param method the method of the class that passes on to `call`. Default `queues`.
 * @example
 * const mail = edgeQueue<typeof jobs>(embeddedQueues(env.SHOP), "default", { object: "shop-1" });
 */
export function embeddedQueues(namespace: QueueNamespace, method = "queues"): QueueNamespace {
  checkNamespace(namespace);
  return {
    idFromName: (name) => namespace.idFromName(name),
    get: (id) => {
      const stub = namespace.get(id) as Record<string, (...call: QueueCall) => Promise<unknown>>;
      return verbsOver((...call) => (stub[method] as (...call: QueueCall) => Promise<unknown>)(...call));
    },
  };
}
