import {
  type Clock,
  type Driver,
  type Duration,
  type JobCounts,
  type JobPage,
  type JobRecord,
  QuaysideError,
  type Schedule,
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
  storeOfId,
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
import { Layout, type ShardsOption } from "./layout.ts";
import { mergeList } from "./merge-list.ts";
import { mergeSchedules } from "./merge-schedules.ts";
import { checkSplittable } from "./names.ts";
import { homeOfId, shardOfKey } from "./route.ts";
import { ShardCommands } from "./shard-commands.ts";
import type { ShardPort } from "./shard-port.ts";
import { ShardExchange } from "./worker-exchange.ts";

/** Options of `shardedDriver`. */
export interface ShardedDriverOptions {
  readonly shards: ShardsOption;
  /** Clock for the pauses between attempts to watch. Default: the platform's. */
  readonly clock?: Clock;
  /**
   * Longest time that an exchange waits for one shard before it continues without it. Default: 1 s. Reads (`counts`,
   * `list`, …) wait ten times as long for a shard, adds and commands thirty times, and then fail with `network`;
   * `details.shard` is the shard.
   */
  readonly patience?: Duration;
  /** Returns a number in [0, 1). Default: `Math.random`; pass a seeded generator to repeat a run. */
  readonly random?: () => number;
  /** Whether replies carry the worker's state between exchanges (`memo`), for a driver that lives for one call. */
  readonly memos?: boolean;
}

/**
 * Creates the driver of a queue that is split over several objects of a namespace.
 *
 * @example
 * const driver = shardedDriver(env.MAIL_QUEUE, "mail", { shards: 4 });
 * const worker = new QueueWorker(new Queue("mail", driver));
 */
export function shardedDriver(namespace: QueueNamespace, queue: string, options: ShardedDriverOptions): ShardedDriver {
  checkSplittable(queue);
  checkNamespace(namespace);
  return new ShardedDriver((shard) => {
    const driver = new StubDriver(
      () => queueStub(namespace, queue, shard),
      options.clock === undefined ? {} : { clock: options.clock },
    );
    driver.follow(queue);
    return driver;
  }, options);
}

/**
 * The driver of a queue over several objects, each with a store and a driver of its own. Guarantees of one object hold
 * per shard: a call is all or none, jobs keep their order, keys are unique. A job's key (see `ShardsOptions.keyOf`)
 * decides its shard; a generated id contains it. Options that would have to hold over all shards are refused with
 * `invalid_option`: a rate limit, `maxActive`, and a job or flow whose keys may belong to two shards.
 */
export class ShardedDriver implements Driver, Pages {
  readonly connectivity = undefined;
  readonly #open: (shard: number) => ShardPort;
  readonly #layout: Layout;
  readonly #adder: ShardAdder;
  readonly #exchange: ShardExchange;
  /** State of workers between exchanges. Absent with `memos`, because the caller keeps the state. */
  readonly #places: WorkerPlaces | undefined;
  readonly #commands: ShardCommands;
  readonly #shards: ShardPort[] = [];
  readonly #queues = new Set<string>();
  readonly #watches = new Map<(change: Change) => void, (() => void)[]>();
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
    this.#open = open;
    this.#layout = new Layout(options.shards);
    const shard = (index: number) => this.#shard(index);
    this.#adder = new ShardAdder({
      layout: this.#layout,
      shard,
      outcomes: new Outcomes(),
      random: options.random ?? Math.random,
    });
    this.#commands = new ShardCommands({
      layout: this.#layout,
      shard,
      madeBy: (id) => this.#madeBy(id),
      holders: async (queue, id) => (await this.#find(queue, id, this.#placesOf(id))).map(([place]) => place),
    });
    const { clock = systemClock, random = Math.random } = options;
    const patienceMs = options.patience === undefined ? PATIENCE_MS : toMs(options.patience, "patience");
    this.#clock = clock;
    this.#patienceMs = patienceMs;
    this.#exchange = new ShardExchange({
      clock,
      patienceMs,
      reach: () => this.#layout.reach,
      exchange: (index, request) => shard(index).exchangePage(request),
      heard: (index, queues) => heardOf(shard(index), queues),
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
      wake: (queues) => this.#wake(queues),
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
    for (const { queue } of jobs) this.#follow(queue);
    if (quota && jobs.length > 0) {
      const shard = this.#shard(shardOfKey(quota.subject, this.#layout.count));
      await shard.shard("spend", { queues: jobs.map(({ queue }) => queue), quota, ...(request && { request }) });
    }
    if (jobs.length === 0) return [];
    const adding = this.#adder.add(jobs, request);
    this.#adding.add(adding);
    return adding.finally(() => this.#adding.delete(adding));
  }

  async exchange(request: RecallingRequest & { readonly only?: string }): Promise<RecallingReply> {
    // Found by its token, because a job with the same id in another shard may be a parent, too.
    return withAllChildren(await this.exchangePage(request), (queue, id, after, token) =>
      this.#shard(Number(homeOfToken(token))).childrenPage(queue, id, after),
    );
  }

  /**
   * Runs one exchange with all shards, or with one.
   *
   * @param request `only`: the one shard to ask.
   */
  async exchangePage(request: RecallingRequest & { readonly only?: string }): Promise<RecallingReply> {
    this.#check();
    for (const { queue } of request.claim.queues) this.#follow(queue);
    if (this.#places) return this.#places.exchange(request);
    const { only, ...rest } = request;
    return only === undefined
      ? this.#exchange.exchange(rest)
      : this.#exchange.only(checkShard(only, this.#layout.reach), rest);
  }

  async get(queue: string, id: string): Promise<JobRecord | undefined> {
    this.#check();
    this.#follow(queue);
    const [first = 0, ...rest] = this.#placesOf(id);
    const found = await this.#shard(first).get(queue, id);
    return found ?? (await this.#find(queue, id, rest))[0]?.[1];
  }

  async list(query: ListQuery): Promise<JobPage> {
    this.#check();
    return mergeList(query, this.#layout.reach, (shard, one) => this.#shard(shard).list(one));
  }

  async counts(queue: string): Promise<JobCounts> {
    const all = await this.#all((shard) => shard.counts(queue));
    const isPaused = async (index: number) =>
      all[index]?.paused === true ||
      // The queue has no layout in this shard yet; it will copy the paused state from the first shard.
      (index > 0 && (await this.#shard(index).shard("settings", { queue })).count === undefined);
    const paused = all[0]?.paused === true || all.every((one) => one.paused);
    const sum = (state: Exclude<keyof JobCounts, "paused">) => all.reduce((count, one) => count + one[state], 0);
    return {
      waiting: sum("waiting"),
      delayed: sum("delayed"),
      active: sum("active"),
      completed: sum("completed"),
      failed: sum("failed"),
      cancelled: sum("cancelled"),
      paused: paused && (await Promise.all(all.map((_, index) => isPaused(index)))).every(Boolean),
    };
  }

  schedules(queue: string): Promise<readonly Schedule[]> {
    return allSchedules((after) => this.schedulesPage(queue, after));
  }

  async schedulesPage(queue: string, after?: string): Promise<readonly Schedule[]> {
    return mergeSchedules(await this.#all((shard) => shard.schedulesPage(queue, after)));
  }

  async childrenPage(queue: string, id: string, after: string): Promise<ChildrenPage> {
    this.#check();
    const places = this.#placesOf(id);
    const maker = this.#madeBy(id);
    if (maker !== undefined) {
      const page = await this.#shard(maker).childrenPage(queue, id, after);
      if (page.children.length > 0 || page.moreChildren !== undefined) return page;
    }
    // Reads the children of the job that `get` returns, because jobs with the same id in two shards may have children.
    const [parent] = await this.#find(queue, id, places);
    return parent ? this.#shard(parent[0]).childrenPage(queue, id, after) : { children: [] };
  }

  async command(command: Command): Promise<CommandReply> {
    this.#check();
    for (const shard of this.#everyShard()) shard.touch(command.queue);
    return this.#commands.run(command);
  }

  async nextWake(queues: readonly string[]): Promise<number | undefined> {
    const all = await this.#all((shard) => shard.nextWake(queues));
    const wakes = all.flatMap((wake) => wake ?? []);
    return wakes.length > 0 ? Math.min(...wakes) : undefined;
  }

  watch(listener: (change: Change) => void, closed?: () => void): () => void {
    // An entry per call, so that the same function may listen twice.
    const entry = (change: Change) => listener(change);
    this.#watches.set(
      entry,
      this.#everyShard().map((shard) => shard.watch(entry)),
    );
    return this.#life.watch(closed, () => {
      for (const stop of this.#watches.get(entry) ?? []) stop();
      this.#watches.delete(entry);
    });
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
    this.#watches.clear();
    // An add may ask a shard several times; calls already begun complete first.
    const added = Promise.allSettled([...this.#adding]);
    await within(this.#clock, this.#patienceMs, "It", added).catch(() => {});
    await Promise.all(this.#shards.map((shard) => shard.close()));
    this.#life.tell();
  }

  /** Returns the shards that may have a job with this id, in the order in which `get` reads them. */
  #placesOf(id: string): readonly number[] {
    const { count, previous, reach } = this.#layout;
    const minted = storeOfId(id);
    // An id without a shard number was generated by the first shard or elsewhere; the shard of its hash comes first.
    const first = minted !== undefined && minted < reach ? minted : homeOfId(id, count);
    const places = new Set([first, homeOfId(id, count), ...(previous === undefined ? [] : [homeOfId(id, previous)])]);
    for (let shard = 0; shard < reach; shard++) places.add(shard);
    return [...places];
  }

  /** Returns the shard that an id names, or undefined for an id without a shard number. */
  #madeBy(id: string): number | undefined {
    const minted = storeOfId(id);
    return minted !== undefined && minted > 0 && minted < this.#layout.reach ? minted : undefined;
  }

  /**
   * Finds the jobs with this id and their shards, in the order of the shards. Does not wait for a slow shard if another
   * one has the job.
   */
  async #find(
    queue: string,
    id: string,
    shards: readonly number[],
  ): Promise<readonly (readonly [shard: number, job: JobRecord])[]> {
    const found = new Map<number, JobRecord>();
    const looks = shards.map(async (shard) => {
      const job = await this.#shard(shard).get(queue, id);
      if (job) found.set(shard, job);
    });
    const all = Promise.allSettled(looks);
    await within(this.#clock, this.#patienceMs, "It", all).catch(() => {});
    const broken = found.size > 0 ? undefined : (await all).find(({ status }) => status === "rejected");
    if (broken && found.size === 0) throw (broken as PromiseRejectedResult).reason;
    return shards.flatMap((shard) => {
      const job = found.get(shard);
      return job ? [[shard, job] as const] : [];
    });
  }

  #shard(index: number): ShardPort {
    for (let next = this.#shards.length; next <= index; next++) {
      const options = { clock: this.#clock, patienceMs: this.#patienceMs, shard: next };
      const shard = boundedShard(this.#open(next), options);
      for (const queue of this.#queues) shard.follow(queue);
      for (const [entry, stops] of this.#watches) stops.push(shard.watch(entry));
      this.#shards.push(shard);
    }
    return this.#shards[index] as ShardPort;
  }

  #everyShard(): readonly ShardPort[] {
    return Array.from({ length: this.#layout.reach }, (_, shard) => this.#shard(shard));
  }

  async #all<T>(work: (shard: ShardPort) => Promise<T>): Promise<readonly T[]> {
    this.#check();
    return Promise.all(this.#everyShard().map(work));
  }

  /** Reports changes of this queue in every shard to the listeners. */
  #follow(queue: string): void {
    if (this.#queues.has(queue)) return;
    this.#queues.add(queue);
    for (const shard of this.#shards) shard.follow(queue);
  }

  /**
   * Reports a change to all listeners, so that workers make another exchange. Called when a shard has answered late.
   */
  #wake(queues: readonly string[]): void {
    for (const listener of [...this.#watches.keys()])
      for (const queue of queues) for (const kind of ["cancel", "ready"] as const) listener({ queue, kind });
  }

  #check(): void {
    this.#life.check();
  }
}

function heardOf(shard: ShardPort, queues: readonly string[]): number | undefined {
  let sum = 0;
  for (const queue of queues) {
    const heard = shard.heard(queue);
    if (heard === undefined) return undefined;
    sum += heard;
  }
  return sum;
}

/**
 * Reads the number of a shard.
 *
 * @throws {QuaysideError} `invalid_option` if there is no such shard.
 */
function checkShard(text: string, reach: number): number {
  if (/^\d{1,4}$/.test(text) && Number(text) < reach) return Number(text);
  throw new QuaysideError("invalid_option", `There is no shard ${JSON.stringify(text)}: they are 0 to ${reach - 1}.`, {
    option: "only",
  });
}
