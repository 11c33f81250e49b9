import { DurableObject } from "cloudflare:workers";
import type {
  Clock,
  ConfigureOption,
  Duration,
  JobHandler,
  JobMap,
  JobName,
  Middleware,
  NextCron,
  QueueDefinition,
  UntypedJobs,
} from "@quayside/core";
import type { Dispatch } from "../dispatch/dispatch.ts";
import type { QueueRpc, Reply, ShardVerbs } from "../rpc/queue-rpc.ts";
import { ChangeSockets } from "./change-socket.ts";
import { checkQueues } from "./defined-queues.ts";
import { ObjectQueues } from "./object-queues.ts";

/**
 * Options of `durableQueue`. `keep`, `rateLimit`, `maxActive` and `maxWaiting` are settings of each queue of the object. They are
 * stored when the object starts and they differ from what is stored; a split queue has them once per shard.
 */
export interface DurableQueueOptions<Jobs extends JobMap, Env> extends ConfigureOption {
  /**
   * Handlers by job name. `ctx.env` is the object's `env`. Default: none. Without `handlers` and `dispatch` the object
   * only stores jobs, for workers elsewhere (for example over HTTP).
   */
  readonly handlers?:
    | {
        readonly [Name in JobName<Jobs>]?: JobHandler<Jobs, Name, { readonly env: Env }>;
      }
    | undefined;
  /**
   * Chooses where jobs without a handler in the object run: in a Worker entrypoint made by `jobConsumer`, or at a
   * `webhook`. The object still claims, retries and settles them. The functions of a definition (`retryIf`, `backoff`,
   * `onFailed`) run in the object and receive the error's name, code, message and plain fields.
   *
   * @example
   * durableQueue<typeof jobs, Env>({ jobs, dispatch: (env) => env.CONSUMER })
   */
  readonly dispatch?: Dispatch<Env> | undefined;
  /**
   * Middleware around every attempt that runs in the object, the first one outermost. `ctx.env` is the object's `env`.
   * Default: none.
   */
  readonly middleware?: readonly Middleware<{ readonly env: Env }>[] | undefined;
  /** The job map from `defineJobs`. Payloads are checked by its schemas before they run. Default: any payload. */
  readonly jobs?: Jobs | undefined;
  /**
   * Queues from `defineQueue`, in place of `jobs` and of the settings. Each queue of the object takes its jobs, settings
   * and recurrences from its definition, as soon as the object first stores or is asked about it. Default: none.
   */
  readonly queues?: readonly QueueDefinition[] | undefined;
  /** Maximum number of running jobs in an object, over all of its queues. Integer from 1 to 10,000. Default: 10. */
  readonly concurrency?: number | undefined;
  /**
   * Number of jobs claimed ahead, beyond `concurrency`. They start while the next claim is written to disk. Integer
   * from 0 to 10,000. Default: 0. See `prefetch` of a worker for jobs that are never claimed ahead.
   */
  readonly prefetch?: number | undefined;
  /** Time after which a claim by the object's worker expires unless it is renewed, at least 100 ms. Default: 30 s. */
  readonly lease?: Duration | undefined;
  /** Evaluates cron rules: `cron` from `@quayside/core/cron`. Default: none; recurrences by cron are refused. */
  readonly cron?: NextCron | undefined;
  /** Called with errors that belong to no job. Default: `console.error`. */
  readonly onError?: ((error: unknown) => void) | undefined;
  /** Returns the clock of an object, for tests. Default: the system clock. */
  readonly clock?: ((ctx: DurableObjectState) => Clock) | undefined;
}

/** Options of `durableQueue<Env>()` for defined queues: the handlers are those of all their jobs. */
export interface DefinedQueuesOptions<Queues extends readonly QueueDefinition[], Env>
  extends Omit<DurableQueueOptions<JobsOfQueues<Queues>, Env>, "jobs" | "queues" | keyof ConfigureOption> {
  readonly queues: Queues;
}

/** The jobs of several queues in one map. A name that occurs in two queues must have one definition. */
export type JobsOfQueues<Queues extends readonly QueueDefinition[]> = (
  Queues[number] extends infer Each
    ? Each extends QueueDefinition<infer Jobs>
      ? (jobs: Jobs) => void
      : never
    : never
) extends (jobs: infer All extends JobMap) => void
  ? All
  : never;

/** A Durable Object class that holds queues. */
export type DurableQueueClass<Env> = new (ctx: DurableObjectState, env: Env) => DurableQueue<Env>;

/**
 * Creates the Durable Object class that stores queues and works their jobs. Requires a SQLite-backed namespace
 * (`new_sqlite_classes`).
 *
 * @throws {QuaysideError} `invalid_option` if `queues` has a queue twice, an invalid `shards`, or two jobs of one name;
 * `unknown_job` for a handler of no queue.
 * @example
 * export class MailQueue extends durableQueue<Env>()({
 *   queues: [mail],
 *   handlers: { email: async ({ to, subject, body }, { env }) => send(env.MAIL_KEY, to, subject, body) },
 * }) {}
 * @example
 * export class MailQueue extends durableQueue<typeof jobs, Env>({
 *   jobs,
 *   handlers: { email: async ({ to, subject, body }, { env }) => send(env.MAIL_KEY, to, subject, body) },
 * }) {}
 */
export function durableQueue<Env = Cloudflare.Env>(): <const Queues extends readonly QueueDefinition[]>(
  options: DefinedQueuesOptions<Queues, Env>,
) => DurableQueueClass<Env>;
export function durableQueue<Jobs extends JobMap = UntypedJobs, Env = Cloudflare.Env>(
  options: DurableQueueOptions<Jobs, Env>,
): DurableQueueClass<Env>;
export function durableQueue<Env>(options?: object): unknown {
  if (options === undefined) return (given: DurableQueueOptions<JobMap, Env>) => classOf(checkQueues(given));
  return classOf(checkQueues(options as DurableQueueOptions<JobMap, Env>));
}

function classOf<Env>(options: DurableQueueOptions<JobMap, Env>): DurableQueueClass<Env> {
  return class extends DurableQueue<Env> {
    constructor(ctx: DurableObjectState, env: Env) {
      super(ctx, env, options);
    }
  };
}

/** Numbers of rows for which Cloudflare bills. Each alarm that is set counts as one more written row. */
export interface Usage {
  readonly rowsRead: number;
  readonly rowsWritten: number;
  readonly alarmsSet: number;
}

/**
 * A Durable Object that holds queues. Serves the verbs of `Driver` over RPC (see `StubDriver`), and works jobs by
 * itself.
 */
export class DurableQueue<Env = unknown> extends DurableObject<Env> implements QueueRpc {
  readonly #queues: ObjectQueues;
  readonly #sockets: ChangeSockets;

  constructor(ctx: DurableObjectState, env: Env, options: DurableQueueOptions<JobMap, Env>) {
    super(ctx, env);
    this.#queues = new ObjectQueues(ctx, env, options as DurableQueueOptions<JobMap, never>);
    this.#sockets = new ChangeSockets(ctx, (listener) => this.#queues.driver.watch(listener));
  }

  enqueue(...call: Parameters<QueueRpc["enqueue"]>): ReturnType<QueueRpc["enqueue"]> {
    return this.#queues.rpc.enqueue(...call);
  }

  exchange(...call: Parameters<QueueRpc["exchange"]>): ReturnType<QueueRpc["exchange"]> {
    return this.#queues.rpc.exchange(...call);
  }

  get(...call: Parameters<QueueRpc["get"]>): ReturnType<QueueRpc["get"]> {
    return this.#queues.rpc.get(...call);
  }

  find(...call: Parameters<QueueRpc["find"]>): ReturnType<QueueRpc["find"]> {
    return this.#queues.rpc.find(...call);
  }

  list(...call: Parameters<QueueRpc["list"]>): ReturnType<QueueRpc["list"]> {
    return this.#queues.rpc.list(...call);
  }

  counts(...call: Parameters<QueueRpc["counts"]>): ReturnType<QueueRpc["counts"]> {
    return this.#queues.rpc.counts(...call);
  }

  command(...call: Parameters<QueueRpc["command"]>): ReturnType<QueueRpc["command"]> {
    return this.#queues.rpc.command(...call);
  }

  schedules(...call: Parameters<QueueRpc["schedules"]>): ReturnType<QueueRpc["schedules"]> {
    return this.#queues.rpc.schedules(...call);
  }

  children(...call: Parameters<QueueRpc["children"]>): ReturnType<QueueRpc["children"]> {
    return this.#queues.rpc.children(...call);
  }

  nextWake(...call: Parameters<QueueRpc["nextWake"]>): ReturnType<QueueRpc["nextWake"]> {
    return this.#queues.rpc.nextWake(...call);
  }

  shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
    protocol?: number,
  ): Promise<Reply<ShardVerbs[Verb]["answer"]>> {
    return this.#queues.rpc.shard(verb, ask, protocol);
  }

  events(queue?: string): Promise<ReadableStream<Uint8Array>> {
    return this.#queues.rpc.events(queue);
  }

  /** Returns the rows read and written, and the alarms set, since this object was last started. */
  async usage(): Promise<Usage> {
    return this.#queues.usage();
  }

  /** Opens a WebSocket for changes (see `queueStub`). A class that extends this one may handle other requests. */
  override async fetch(request: Request): Promise<Response> {
    const response = this.#sockets.accept(request);
    if (response) await this.#queues.enter();
    return response ?? new Response("This object has no such page.", { status: 404 });
  }

  /** Closes this end of the socket when the other end has closed. */
  override webSocketClose(socket: WebSocket): void {
    socket.close();
  }

  /** Runs the jobs that are due. Never throws. */
  override alarm(): Promise<void> {
    return this.#queues.alarm();
  }
}
