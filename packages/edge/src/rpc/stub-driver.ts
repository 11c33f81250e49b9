import {
  type Clock,
  type JobCounts,
  type JobPage,
  type JobRecord,
  QuaysideError,
  type Schedule,
  systemClock,
} from "@quayside/core";
import type {
  Change,
  ChildrenPage,
  Command,
  CommandReply,
  EnqueueReceipt,
  ExchangeReply,
  ExchangeRequest,
  FoundJobs,
  ListQuery,
  NewJob,
  NumberedRequest,
  Registration,
} from "@quayside/core/engine";
import {
  allSchedules,
  alwaysActive,
  ChangeFeed,
  Closable,
  type WorkerSession,
  withAllChildren,
} from "@quayside/core/engine";
import type { Quota } from "../object/caller-quota.ts";
import type { ShardPort } from "../shards/shard-port.ts";
import { type QueueRpc, type Reply, type ShardVerbs, unwrap } from "./queue-rpc.ts";

/** Properties by which the Workers runtime marks an error as a failure of the object, not of the call. */
interface RuntimeError {
  readonly retryable?: boolean | undefined;
  readonly overloaded?: boolean | undefined;
  readonly remote?: boolean | undefined;
}

/**
 * A driver over the RPC stub of a queue's object, for Workers that have its binding.
 *
 * Takes a function that creates a stub, because a stub may be unusable after a failed call.
 *
 * @example
 * const driver = new StubDriver(() => queueStub(env.MAIL_QUEUE, "mail"));
 */
export class StubDriver implements ShardPort {
  readonly connectivity = undefined;
  readonly #stub: () => QueueRpc;
  readonly #feed: ChangeFeed;
  readonly #life = new Closable();

  constructor(stub: () => QueueRpc, options: { readonly clock?: Clock | undefined } = {}) {
    this.#stub = stub;
    this.#feed = new ChangeFeed({
      clock: options.clock ?? systemClock,
      shared: true,
      open: () => this.#stub().events(),
    });
  }

  /**
   * Adds jobs.
   *
   * @param quota the caller's quota per subject and queue, which the object checks and spends in the same transaction.
   * @throws {QuaysideError} `rate_limited` if the quota is used up, with `details.retryAfterMs`; no job was added then.
   */
  async enqueue(jobs: readonly NewJob[], request?: NumberedRequest, quota?: Quota): Promise<readonly EnqueueReceipt[]> {
    for (const { queue } of jobs) this.#feed.follow(queue);
    return this.#call((stub) => stub.enqueue(jobs, request, quota));
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    return withAllChildren(await this.exchangePage(request), (queue, id, after) => this.childrenPage(queue, id, after));
  }

  async exchangePage(request: ExchangeRequest): Promise<ExchangeReply> {
    this.#feed.recognise(request);
    for (const { queue } of request.claim.queues) this.#feed.follow(queue);
    return this.#call((stub) => stub.exchange(request));
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    this.#feed.follow(queue);
    return this.#call((stub) => stub.get(queue, id));
  }

  async jobsPage(queue: string, ids: readonly string[], bytes?: number): Promise<FoundJobs> {
    this.#feed.follow(queue);
    return this.#call((stub) => stub.find(queue, ids, bytes));
  }

  async list(query: ListQuery): Promise<JobPage> {
    return this.#call((stub) => stub.list(query));
  }

  async counts(queue: string): Promise<JobCounts> {
    return this.#call((stub) => stub.counts(queue));
  }

  async command(command: Command): Promise<CommandReply> {
    return this.#call((stub) => stub.command(command));
  }

  schedules(queue: string): Promise<readonly Schedule[]> {
    return allSchedules((after) => this.schedulesPage(queue, after));
  }

  async schedulesPage(queue: string, after?: string): Promise<readonly Schedule[]> {
    return this.#call((stub) => stub.schedules(queue, after));
  }

  async childrenPage(queue: string, id: string, after: string): Promise<ChildrenPage> {
    return this.#call((stub) => stub.children(queue, id, after));
  }

  async nextWake(queues: readonly string[]): Promise<number | undefined> {
    return this.#call((stub) => stub.nextWake(queues));
  }

  async shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
  ): Promise<ShardVerbs[Verb]["answer"]> {
    return this.#call((stub) => stub.shard(verb, ask));
  }

  follow(queue: string): void {
    this.#feed.follow(queue);
  }

  heard(queue: string): number | undefined {
    return this.#feed.heard(queue);
  }

  touch(queue: string): void {
    this.#feed.touch(queue);
  }

  watch(listener: (change: Change) => void, closed?: () => void): () => void {
    return this.#life.watch(closed, this.#feed.listen(listener));
  }

  onActiveChange(session: WorkerSession): () => void {
    return alwaysActive(session);
  }

  register(): Promise<Registration> {
    return this.#life.register();
  }

  async close(): Promise<void> {
    this.#life.close();
    this.#feed.close();
    this.#life.tell();
  }

  async #call<T>(work: (stub: QueueRpc) => Promise<Reply<T>>): Promise<T> {
    this.#life.check();
    // Outside the `try`: a missing binding is not a network error.
    const stub = this.#stub();
    let reply: Reply<T>;
    try {
      reply = await work(stub);
    } catch (cause) {
      throw unreachable(cause);
    }
    return unwrap(reply);
  }
}

/**
 * Converts an error of an RPC call: `network` if the call or its reply was lost, `internal` for a bug in the object.
 */
function unreachable(cause: unknown): QuaysideError {
  const { remote, retryable, overloaded } = cause as RuntimeError;
  return remote && !retryable && !overloaded
    ? new QuaysideError("internal", "The queue's object failed.", {}, cause)
    : new QuaysideError("network", "The queue's object could not be reached.", {}, cause);
}
