import { DurableObject } from "cloudflare:workers";
import {
  type Clock,
  type Command,
  type CommandReply,
  type Duration,
  type EnqueueReceipt,
  type ExchangeReply,
  type ExchangeRequest,
  type HandledPayloadOf,
  type Handler,
  type JobCounts,
  type JobMap,
  type JobName,
  type JobPage,
  type JobRecord,
  type ListQuery,
  type NewJob,
  type NextCron,
  type NumberedRequest,
  type Schedule,
  storedQueues,
  systemClock,
} from "@quayside/core";
import { changeStream } from "./change-stream.ts";
import { DurableAlarm } from "./durable-alarm.ts";
import { ObjectDriver } from "./object-driver.ts";
import { ObjectWorker } from "./object-worker.ts";
import { type QueueRpc, type Reply, reply, type ShardVerbs } from "./queue-rpc.ts";
import { shardOfName } from "./shards/names.ts";
import { SqlStore } from "./sql-store.ts";

/** An alarm may run for 15 minutes (Cloudflare's limit); what is still at work then is handed to the next one. */
const ALARM_BUDGET_MS = 14 * 60_000;
/** After an alarm that failed. */
const RETRY_MS = 10_000;

export interface DurableQueueOptions<Jobs extends JobMap, Env> {
  /** What to do with the jobs, by name. Absent: the object only keeps them, and others work them (over HTTP, say). */
  readonly handlers?: {
    readonly [Name in JobName<Jobs>]?: Handler<HandledPayloadOf<Jobs, Name>, { readonly env: Env }>;
  };
  /** The job map from `defineJobs`: payloads are checked against its schemas before they run. */
  readonly jobs?: Jobs;
  /** Jobs at once in an object, over all of its queues. Default 10. */
  readonly concurrency?: number;
  /** How long the object's claims hold without renewal. Default 30 s. */
  readonly lease?: Duration;
  /** Reads cron rules: `cron` from `@quayside/core/cron`. Absent: recurrences by cron are refused. */
  readonly cron?: NextCron;
  /** Gets what goes wrong beside the jobs. Default: the log. */
  readonly onError?: (error: unknown) => void;
  /** Makes an object's clock. Default: the platform's. */
  readonly clock?: (ctx: DurableObjectState) => Clock;
}

/**
 * Makes the Durable Object class that keeps queues and works them. It needs a SQLite-backed namespace
 * (`new_sqlite_classes`).
 *
 * @example
 * export class MailQueue extends durableQueue<typeof jobs, Env>({
 *   jobs,
 *   handlers: { email: async ({ to, subject, body }, { env }) => send(env.MAIL_KEY, to, subject, body) },
 * }) {}
 */
export function durableQueue<Jobs extends JobMap = Record<string, unknown>, Env = Cloudflare.Env>(
  options: DurableQueueOptions<Jobs, Env>,
): new (
  ctx: DurableObjectState,
  env: Env,
) => DurableQueue<Env> {
  return class extends DurableQueue<Env> {
    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env, options as unknown as DurableQueueOptions<JobMap, Env>);
    }
  };
}

/** Rows as Cloudflare counts them; an alarm that is set is one more row written. */
export interface Usage {
  readonly rowsRead: number;
  readonly rowsWritten: number;
  readonly alarmsSet: number;
}

/** An object that holds queues: over RPC the verbs of `Driver` (see `StubDriver`), inside a worker and its alarm. */
export class DurableQueue<Env = unknown> extends DurableObject<Env> implements QueueRpc {
  readonly #report: (error: unknown) => void;
  readonly #clock: Clock;
  #sql!: SqlStore;
  #driver!: ObjectDriver;
  #alarm: DurableAlarm | undefined;
  #worker: ObjectWorker | undefined;

  constructor(ctx: DurableObjectState, env: Env, options: DurableQueueOptions<JobMap, Env>) {
    super(ctx, env);
    this.#report = options.onError ?? ((error) => console.error(error));
    this.#clock = options.clock?.(ctx) ?? systemClock;
    // No call gets in before the tables stand and the alarm is known.
    void ctx.blockConcurrencyWhile(() => this.#open(options));
  }

  enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<Reply<readonly EnqueueReceipt[]>> {
    return this.#answer(
      () => this.#driver.enqueue(jobs, request),
      jobs.map(({ queue }) => queue),
    );
  }

  exchange(request: ExchangeRequest): Promise<Reply<ExchangeReply>> {
    // Only this object's own worker lives and dies with it; others show their death by silence, whatever they say.
    return this.#answer(() => this.#driver.exchange({ ...request, liveness: "time" }));
  }

  get(queue: string, id: string): Promise<Reply<JobRecord | undefined>> {
    return this.#answer(() => this.#driver.get(queue, id));
  }

  list(query: ListQuery): Promise<Reply<JobPage>> {
    return this.#answer(() => this.#driver.list(query));
  }

  counts(queue: string): Promise<Reply<JobCounts>> {
    return this.#answer(() => this.#driver.counts(queue));
  }

  command(command: Command): Promise<Reply<CommandReply>> {
    return this.#answer(() => this.#driver.command(command), [command.queue]);
  }

  schedules(queue: string): Promise<Reply<readonly Schedule[]>> {
    return this.#answer(() => this.#driver.schedules(queue));
  }

  nextWake(queues: readonly string[]): Promise<Reply<number | undefined>> {
    return this.#answer(() => this.#driver.nextWake(queues));
  }

  shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
  ): Promise<Reply<ShardVerbs[Verb]["answer"]>> {
    const queues = "jobs" in ask ? ask.jobs.map(({ queue }) => queue) : [];
    return this.#answer(() => this.#driver.shard(verb, ask), queues);
  }

  async events(queue?: string): Promise<ReadableStream<Uint8Array>> {
    await this.#enter();
    return changeStream((listener) => this.#driver.watch(listener), this.#clock, queue);
  }

  /** What this object has done of what is billed by the row, since it was last started. */
  async usage(): Promise<Usage> {
    const { rowsRead, rowsWritten } = this.#sql;
    return { rowsRead, rowsWritten, alarmsSet: this.#alarm?.alarmsSet ?? 0 };
  }

  /**
   * The guarantee behind the work that each call starts by itself: runs what is due. Never throws: Cloudflare repeats a
   * failed alarm six times and then drops it for good.
   */
  override async alarm(): Promise<void> {
    const alarm = this.#alarm;
    const done = alarm?.ring();
    try {
      // First the guard for what comes now: should the object die below, the next alarm is set.
      alarm?.rearm();
      await this.#worker?.start();
      const idle = await this.#worker?.drain(ALARM_BUDGET_MS);
      alarm?.rearm(idle === false);
    } catch (error) {
      this.#report(error);
      // Later, and not at once: what failed now would fail again.
      await this.ctx.storage.setAlarm(this.#clock.now() + RETRY_MS).catch(this.#report);
    } finally {
      done?.();
    }
  }

  async #open(options: DurableQueueOptions<JobMap, Env>): Promise<void> {
    const { storage } = this.ctx;
    const sql = new SqlStore(storage);
    this.#sql = sql;
    // Without handlers there is nothing to wake for: the workers are elsewhere, and each has a clock of its own.
    if (options.handlers) this.#alarm = new DurableAlarm(sql, storage, this.#clock);
    this.#driver = new ObjectDriver(this.#alarm ?? sql, {
      clock: this.#clock,
      sync: () => storage.sync(),
      shard: shardOfName(this.ctx.id.name),
      ...(options.cron && { cron: options.cron }),
    });
    if (!options.handlers) return;
    this.#worker = new ObjectWorker({
      driver: this.#driver,
      clock: this.#clock,
      handlers: options.handlers,
      jobs: options.jobs,
      ctx: { env: this.env },
      concurrency: options.concurrency,
      lease: options.lease,
      report: this.#report,
    });
    this.#worker.add(sql.run(storedQueues));
    await this.#alarm?.start();
  }

  async #answer<T>(work: () => Promise<T>, queues: readonly string[] = []): Promise<Reply<T>> {
    await this.#enter(queues);
    return reply(work);
  }

  /** What every call does first: the worker runs and knows these queues, and an alarm that was lost is set again. */
  async #enter(queues: readonly string[] = []): Promise<void> {
    try {
      this.#alarm?.heal();
      this.#worker?.add(queues);
      await this.#worker?.start();
    } catch (error) {
      // The call itself may well succeed, and the alarm starts the worker another time.
      this.#report(error);
    }
  }
}
