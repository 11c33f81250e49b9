import {
  type Clock,
  type Driver,
  type Duration,
  type JobCounts,
  type JobPage,
  type JobRecord,
  type Schedule,
  type ShardsOption,
  systemClock,
  toMs,
} from "@quayside/core";
import {
  allSchedules,
  alwaysActive,
  type Change,
  type ChildrenPage,
  Closable,
  type Command,
  type CommandReply,
  type EnqueueReceipt,
  type FoundJobs,
  homeOfToken,
  type ListQuery,
  type NewJob,
  type NumberedRequest,
  Outcomes,
  PATIENCE_MS,
  type Pages,
  type RecallingReply,
  type RecallingRequest,
  type Registration,
  WorkerPlaces,
  type WorkerSession,
  withAllChildren,
  within,
} from "@quayside/core/engine";
import type { Quota } from "../object/caller-quota.ts";
import { checkNamespace, type QueueNamespace, queueStub } from "../rpc/queue-rpc.ts";
import { StubDriver } from "../rpc/stub-driver.ts";
import { ShardAdder } from "./add-jobs.ts";
import { boundedShard } from "./bounded-shard.ts";
import { JobFinder } from "./find-job.ts";
import { Layout } from "./layout.ts";
import { mergeCounts } from "./merge-counts.ts";
import { mergeList } from "./merge-list.ts";
import { mergeSchedules } from "./merge-schedules.ts";
import { checkShard, checkSplittable } from "./names.ts";
import { OpenShards } from "./open-shards.ts";
import { shardOfKey } from "./route.ts";
import { ShardCommands } from "./shard-commands.ts";
import type { ShardPort } from "./shard-port.ts";
import { ShardExchange } from "./worker-exchange.ts";

/** Options of `shardedDriver`. */
export interface ShardedDriverOptions {
  readonly shards: ShardsOption;
  /** Name of the first object, from which the names of the others are made. Default: the queue's name. */
  readonly object?: string | undefined;
  /** Clock for the pauses between attempts to watch. Default: the platform's. */
  readonly clock?: Clock | undefined;
  /**
   * Longest time that an exchange waits for one shard before it continues without it. Default: 1 s. Reads (`counts`,
   * `list`, …) wait ten times as long for a shard, adds and commands thirty times, and then fail with `network`;
   * `details.shard` is the shard.
   */
  readonly patience?: Duration | undefined;
  /** Returns a number in [0, 1). Default: `Math.random`; pass a seeded generator to repeat a run. */
  readonly random?: (() => number) | undefined;
  /**
   * Whether replies carry the worker's state between exchanges (`memo`), for a driver that exists for one call only.
   */
  readonly memos?: boolean | undefined;
}

/**
 * Creates the driver of a queue that is split over several objects of a namespace.
 *
 * @example
 * const driver = shardedDriver(env.MAIL_QUEUE, "mail", { shards: 4 });
 * const worker = new QueueWorker(new Queue("mail", driver));
 */
export function shardedDriver(namespace: QueueNamespace, queue: string, options: ShardedDriverOptions): ShardedDriver {
  const { object = queue } = options;
  checkSplittable(object);
  checkNamespace(namespace);
  return new ShardedDriver((shard) => {
    const driver = new StubDriver(
      () => queueStub(namespace, object, shard),
      options.clock === undefined ? {} : { clock: options.clock },
    );
    driver.follow(queue);
    return driver;
  }, options);
}

/**
 * The driver of a queue that is divided over several objects (shards), each with its own store and driver. Guarantees
 * of one object hold per shard: a call is all or none, jobs keep their order, keys are unique. A job's key (see
 * `ShardsOptions.keyOf`) decides its shard; a generated id contains the shard's number. Options that would have to hold
 * over all shards are refused with `invalid_option`: a rate limit, `maxActive`, `maxWaiting`, and a job or flow whose keys may belong
 * to two shards.
 */
export class ShardedDriver implements Driver, Pages {
  readonly connectivity = undefined;
  readonly #layout: Layout;
  readonly #adder: ShardAdder;
  readonly #exchange: ShardExchange;
  /** State of workers between exchanges. Absent with `memos`, because the caller keeps the state. */
  readonly #places: WorkerPlaces | undefined;
  readonly #finder: JobFinder;
  readonly #commands: ShardCommands;
  readonly #shards: OpenShards;
  readonly #adding = new Set<Promise<unknown>>();
  readonly #clock: Clock;
  readonly #patienceMs: number;
  readonly #life = new Closable();

  /**
   * Creates the driver.
   *
   * @param open creates the driver of a shard; called once per shard.
   */
  constructor(open: (shard: number) => ShardPort, options: ShardedDriverOptions) {
    this.#layout = new Layout(options.shards);
    const { clock = systemClock, random = Math.random } = options;
    const patienceMs = options.patience === undefined ? PATIENCE_MS : toMs(options.patience, "patience");
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    this.#shards = new OpenShards({
      reach: () => this.#layout.reach,
      open: (shard) => boundedShard(open(shard), { clock, patienceMs, shard }),
    });
    const shard = (index: number) => this.#shards.at(index);
    this.#adder = new ShardAdder({
      layout: this.#layout,
      shard,
      outcomes: new Outcomes(),
      random,
    });
    this.#finder = new JobFinder({ layout: this.#layout, shard, clock, patienceMs });
    this.#commands = new ShardCommands({ layout: this.#layout, shard, finder: this.#finder });
    this.#exchange = new ShardExchange({
      clock,
      patienceMs,
      reach: () => this.#layout.reach,
      exchange: (index, request) => shard(index).exchangePage(request),
      heard: (index, queues) => this.#shards.heard(index, queues),
      memos: options.memos === true,
    });
    if (options.memos) return;
    this.#places = new WorkerPlaces({
      clock,
      patienceMs,
      random,
      main: (request) => this.#exchange.exchange(request),
      only: (place, request, ms) => within(clock, ms, `Shard ${place}`, this.#exchange.only(Number(place), request)),
      home: homeOfToken,
      wake: (queues) => this.#shards.wake(queues),
    });
  }

  /**
   * Adds jobs.
   *
   * @param quota the caller's quota per subject and queue. Spent in one shard, chosen by the subject, before the jobs
   * are added; jobs that exist already or are refused are spent, too.
   */
  async enqueue(jobs: readonly NewJob[], request?: NumberedRequest, quota?: Quota): Promise<readonly EnqueueReceipt[]> {
    this.#check();
    for (const { queue } of jobs) this.#shards.follow(queue);
    if (quota && jobs.length > 0) {
      const shard = this.#shards.at(shardOfKey(quota.subject, this.#layout.count));
      await shard.shard("spend", { queues: jobs.map(({ queue }) => queue), quota, ...(request && { request }) });
    }
    if (jobs.length === 0) return [];
    const adding = this.#adder.add(jobs, request);
    this.#adding.add(adding);
    return adding.finally(() => this.#adding.delete(adding));
  }

  async exchange(request: RecallingRequest & { readonly only?: string | undefined }): Promise<RecallingReply> {
    // Found by its token, because a job with the same id in another shard may be a parent, too.
    return withAllChildren(await this.exchangePage(request), (queue, id, after, token) =>
      this.#shards.at(Number(homeOfToken(token))).childrenPage(queue, id, after),
    );
  }

  /**
   * Runs one exchange with all shards, or with one.
   *
   * @param request with `only`, asks just this shard.
   */
  async exchangePage(request: RecallingRequest & { readonly only?: string | undefined }): Promise<RecallingReply> {
    this.#check();
    for (const { queue } of request.claim.queues) this.#shards.follow(queue);
    if (this.#places) return this.#places.exchange(request);
    const { only, ...rest } = request;
    return only === undefined
      ? this.#exchange.exchange(rest)
      : this.#exchange.only(checkShard(only, this.#layout.reach), rest);
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    this.#check();
    this.#shards.follow(queue);
    const [first = 0, ...rest] = this.#finder.shardsOf(id);
    const found = await this.#shards.at(first).get(queue, id);
    return found ?? (await this.#finder.find(queue, id, rest))[0]?.[1];
  }

  async jobsPage(queue: string, ids: readonly string[]): Promise<FoundJobs> {
    this.#check();
    this.#shards.follow(queue);
    return this.#finder.findMany(queue, ids);
  }

  async list(query: ListQuery): Promise<JobPage> {
    this.#check();
    return mergeList(query, this.#layout.reach, (shard, one) => this.#shards.at(shard).list(one));
  }

  async counts(queue: string): Promise<JobCounts> {
    return mergeCounts(await this.#all((shard) => shard.counts(queue)), (shard) =>
      this.#shards.at(shard).shard("settings", { queue }),
    );
  }

  schedules(queue: string): Promise<readonly Schedule[]> {
    return allSchedules((after) => this.schedulesPage(queue, after));
  }

  async schedulesPage(queue: string, after?: string): Promise<readonly Schedule[]> {
    return mergeSchedules(await this.#all((shard) => shard.schedulesPage(queue, after)));
  }

  async childrenPage(queue: string, id: string, after: string): Promise<ChildrenPage> {
    this.#check();
    const places = this.#finder.shardsOf(id);
    const maker = this.#finder.madeBy(id);
    if (maker !== undefined) {
      const page = await this.#shards.at(maker).childrenPage(queue, id, after);
      if (page.children.length > 0 || page.moreChildren !== undefined) return page;
    }
    // Reads the children of the job that `get` returns, because jobs with the same id in two shards may have children.
    const [parent] = await this.#finder.find(queue, id, places);
    return parent ? this.#shards.at(parent[0]).childrenPage(queue, id, after) : { children: [] };
  }

  async command(command: Command): Promise<CommandReply> {
    this.#check();
    for (const shard of this.#shards.all()) shard.touch(command.queue);
    return this.#commands.run(command);
  }

  async nextWake(queues: readonly string[]): Promise<number | undefined> {
    const all = await this.#all((shard) => shard.nextWake(queues));
    const wakes = all.flatMap((wake) => wake ?? []);
    return wakes.length > 0 ? Math.min(...wakes) : undefined;
  }

  watch(listener: (change: Change) => void, closed?: () => void): () => void {
    return this.#life.watch(closed, this.#shards.watch(listener));
  }

  onActiveChange(session: WorkerSession): () => void {
    return alwaysActive(session);
  }

  register(): Promise<Registration> {
    return this.#life.register();
  }

  async close(): Promise<void> {
    this.#life.close();
    this.#places?.close();
    this.#shards.unwatch();
    // An add may ask a shard several times; calls already begun complete first.
    const added = Promise.allSettled([...this.#adding]);
    await within(this.#clock, this.#patienceMs, "It", added).catch(() => {});
    await this.#shards.close();
    this.#life.tell();
  }

  async #all<T>(work: (shard: ShardPort) => Promise<T>): Promise<readonly T[]> {
    this.#check();
    return Promise.all(this.#shards.all().map(work));
  }

  #check(): void {
    this.#life.check();
  }
}
