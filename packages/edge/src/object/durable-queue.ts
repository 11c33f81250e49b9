import { DurableObject } from "cloudflare:workers";
import type { Clock, Duration, HandledPayloadOf, Handler, JobMap, JobName, NextCron } from "@quayside/core";
import type { Dispatch } from "../dispatch/dispatch.ts";
import type { QueueRpc, Reply, ShardVerbs } from "../rpc/queue-rpc.ts";
import { ChangeSockets } from "./change-socket.ts";
import { ObjectQueues } from "./object-queues.ts";

/** Options of `durableQueue`. */
export interface DurableQueueOptions<Jobs extends JobMap, Env> {
  /**
   * The handlers of the jobs, by name; `ctx.env` is the `env` of the object. Default none. Without `handlers` and
   * `dispatch` the object only stores jobs, for workers elsewhere (over HTTP, for example).
   */
  readonly handlers?: {
    readonly [Name in JobName<Jobs>]?: Handler<HandledPayloadOf<Jobs, Name>, { readonly env: Env }>;
  };
  /**
   * Where the jobs without a handler here run: in a Worker entrypoint made by `jobConsumer`, or at a `webhook`. The object
   * claims, retries and settles all the same. What the functions of a definition decide (`retryIf`, `backoff`, `onFailed`)
   * is decided in the object, by the error's name, code, message and plain fields.
   *
   * @example
   * durableQueue<typeof jobs, Env>({ jobs, dispatch: (env) => env.CONSUMER })
   */
  readonly dispatch?: Dispatch<Env>;
  /** The job map from `defineJobs`: payloads are checked by its schemas before they run. Default: any payload. */
  readonly jobs?: Jobs;
  /** Jobs at once in an object, over all of its queues: integer from 1 to 10,000. Default 10. */
  readonly concurrency?: number;
  /**
   * Jobs claimed ahead, beyond `concurrency`: integer from 0 to 10,000. Default 0. They run while the next claim is
   * written to disk. See `prefetch` of a worker for jobs that are never claimed ahead.
   */
  readonly prefetch?: number;
  /** How long a claim of the object holds without renewal, from 100 ms. Default 30 s. */
  readonly lease?: Duration;
  /** Reads cron rules: `cron` from `@quayside/core/cron`. Default none; recurrences by cron are then refused. */
  readonly cron?: NextCron;
  /** Called with errors that belong to no job. Default: they are logged. */
  readonly onError?: (error: unknown) => void;
  /** Makes the clock of an object, for tests. Default: the system clock. */
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

  /** Opens a socket for changes (see `queueStub`); all else is for a class that extends this one. */
  override async fetch(request: Request): Promise<Response> {
    const response = this.#sockets.accept(request);
    if (response) await this.#queues.enter();
    return response ?? new Response("This object has no such page.", { status: 404 });
  }

  /** The other end has gone: this one follows. */
  override webSocketClose(socket: WebSocket): void {
    socket.close();
  }

  /** Runs what is due; never throws. */
  override alarm(): Promise<void> {
    return this.#queues.alarm();
  }
}
