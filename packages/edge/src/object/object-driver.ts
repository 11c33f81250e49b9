import { type Clock, type JobCounts, type Plugin, QuaysideError, type Schedule } from "@quayside/core";
import {
  allSchedules,
  type Change,
  type ChildrenPage,
  type Command,
  type CommandReply,
  type EnqueueReceipt,
  type ExchangeReply,
  type ExchangeRequest,
  enqueue,
  get,
  type Liveness,
  type NewJob,
  type NumberedRequest,
  type Pages,
  type Program,
  type Store,
  StoreDriver,
  withAllChildren,
} from "@quayside/core/engine";
import { jsonBytes } from "../json-bytes.ts";
import type { ShardVerbs } from "../rpc/queue-rpc.ts";
import { Reply } from "../rpc/reply-budget.ts";
import { ObjectShard } from "../shards/object-shard.ts";
import { type Admission, enqueueWithin, type Quota } from "./caller-quota.ts";
import { JobWriteObserver } from "./job-write-observer.ts";
import { PagedCount, PLACES } from "./paged-count.ts";
import { QueueRounds } from "./queue-rounds.ts";
import type { Transactions } from "./user-transactions.ts";

/** A store that can run a program at once, so that others of its object's writes may stand in the same transaction. */
export interface ObjectStore extends Store {
  run<T>(start: () => Program<T>): T;
}

export interface ObjectDriverOptions {
  readonly clock: Clock;
  readonly plugins: readonly Plugin[];
  /** Those of the object's own code. */
  readonly transactions: Transactions;
  /** Refuses what the object could not be woken for at this instant: see `DurableAlarm.check`. */
  readonly check: (at: number) => void;
  /** Told when the next claim of the object's own worker could succeed, in ms, after each of its claims. */
  readonly claimed: (nextWakeMs: number | undefined) => void;
  /** Resolves when all that was written is on disk. */
  readonly sync: () => Promise<void>;
  /** Which shard of its queues the object is: see `shardOfName`. Default 0. */
  readonly shard?: number;
}

/**
 * The driver inside a queue's object. A worker of this process dies with the object. So a lease of such a worker that
 * did not register here is of an earlier start of the object: its jobs are recovered at once.
 */
export class ObjectDriver extends StoreDriver implements Pages {
  readonly #store: ObjectStore;
  readonly #writes: JobWriteObserver;
  readonly #shard: ObjectShard;
  /** The workers of this life of the object. */
  readonly #alive: ReadonlySet<string>;
  readonly #options: ObjectDriverOptions;
  readonly #rounds = new QueueRounds();
  /** Exchanges of the object's worker that have failed since the last one that did not. */
  #failures = 0;

  constructor(store: ObjectStore, options: ObjectDriverOptions) {
    const { clock, plugins, shard = 0 } = options;
    const alive = new Set<string>();
    const writes = new JobWriteObserver();
    const observed = writes.over(store);
    super(observed, {
      clock,
      storeNumber: shard,
      plugins,
      reply: () => new Reply(),
      register: async (worker) => {
        alive.add(worker);
        return { liveness: "process", leave: () => void alive.delete(worker) };
      },
      deadWorkers: async (workers) =>
        new Set(workers.filter((other) => isGone(other, alive)).map(({ worker }) => worker)),
    });
    this.#alive = alive;
    this.#store = observed;
    this.#writes = writes;
    this.#options = options;
    this.#shard = new ObjectShard(shard, (body) => this.run(body), writes);
    super.watch((change) => this.#rounds.heed(change));
  }

  /** Whether a worker of the object itself has this key. */
  isOwn(worker: string): boolean {
    return this.#alive.has(worker);
  }

  /** Answers what only shards are asked. */
  async shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
  ): Promise<ShardVerbs[Verb]["answer"]> {
    if (verb === "add" && "jobs" in ask) this.#check(ask.jobs);
    return this.#shard.answer(verb, ask);
  }

  /**
   * Adds jobs within a quota, if there is one: refused with `rate_limited` when it is used up. Of a split queue only
   * jobs of this shard are accepted; the error for others names the right number of shards.
   */
  override async enqueue(
    jobs: readonly NewJob[],
    request?: NumberedRequest,
    quota?: Quota,
  ): Promise<readonly EnqueueReceipt[]> {
    if (jobs.length === 0) return [];
    this.#check(jobs);
    const admission = await this.run((tx) =>
      this.#shard.unrouted<Admission>(jobs, function* () {
        return quota ? yield* enqueueWithin(tx, jobs, request, quota) : { receipts: yield* enqueue(tx, jobs, request) };
      }),
    );
    if (admission.refused) throw admission.refused;
    return admission.receipts;
  }

  /**
   * Adds jobs synchronously, as a part of the caller's open transaction, if any. Listeners are called after its commit,
   * in a task of their own.
   */
  enqueueNow(jobs: readonly NewJob[]): readonly EnqueueReceipt[] {
    if (jobs.length === 0) return [];
    this.#check(jobs);
    const { start, tell } = this.enqueueing(jobs);
    const { result, changes } = this.#store.run(start);
    this.#options.transactions.afterCommit(() => tell(changes));
    return result;
  }

  override async command(command: Command): Promise<CommandReply> {
    if (command.type === "update" && command.payload !== undefined) checkSize(command.payload);
    if (command.type === "schedule") {
      checkSize(command.job.payload);
      this.#options.check(command.rule.startAt ?? this.#options.clock.now());
    }
    return super.command(command);
  }

  #check(jobs: readonly NewJob[]): void {
    const now = this.#options.clock.now();
    for (const { delayMs = 0, payload } of jobs) {
      checkSize(payload);
      this.#options.check(now + delayMs);
    }
  }

  /** Tells of a change when it is committed, and never of one that was undone. */
  override watch(listener: (change: Change) => void, closed?: () => void): () => void {
    const { transactions } = this.#options;
    return super.watch((change) => {
      if (transactions.open) transactions.afterCommit(() => listener(change));
      else listener(change);
    }, closed);
  }

  /**
   * A claim is on disk before its first handler starts (R10): a job that kills the object must be found in a lease
   * afterwards, or it would kill it again and again, uncounted. The object's own worker makes no exchange inside a
   * transaction of the object's code (R3): its claims and settlements would be undone with it.
   */
  async exchangePage(request: ExchangeRequest): Promise<ExchangeReply> {
    const isOwn = request.liveness === "process";
    if (isOwn) await this.#options.transactions.ended();
    const reply = await (isOwn ? this.#exchangeOwn(request) : super.exchange(request));
    if (isOwn && request.claim.limit > 0) this.#options.claimed(reply.nextWakeMs);
    if (reply.jobs.length > 0) await this.#options.sync();
    return reply;
  }

  /** Counts a queue of many jobs in several transactions, the first time that it is asked for. */
  override async counts(queue: string): Promise<JobCounts> {
    if (!this.#options.transactions.open) await this.#count(queue);
    return super.counts(queue);
  }

  /** Not in a transaction of the object's own code: it may be undone, and with it what was counted. */
  async #count(queue: string): Promise<void> {
    const { clock, transactions } = this.#options;
    const [tally] = await this.run(() => get("tallies", [[queue]]), undefined, "read");
    const pages = new PagedCount(queue);
    const stop = this.#writes.listen((operation) => pages.heed(operation));
    try {
      let done = tally !== undefined && PLACES.every((place) => tally[place] !== undefined);
      for (let steps = 0; !done && steps < MOST_STEPS && !transactions.open; steps++) {
        if (steps > 0) await clock.nextTask();
        done = await this.run((tx) => pages.learn(tx));
      }
    } finally {
      stop();
    }
  }

  /** An exchange of the object's worker, which has every queue that the object keeps. */
  async #exchangeOwn(request: ExchangeRequest): Promise<ExchangeReply> {
    const rounds = this.#rounds;
    const { claim } = request;
    const part = rounds.concern(claim);
    try {
      const queues = part ? await this.run(() => rounds.next(claim.queues), undefined, "read") : claim.queues;
      const reply = await super.exchange({ ...request, claim: { ...claim, queues } });
      this.#failures = 0;
      return part ? rounds.answered(reply, this.#options.clock.now()) : reply;
    } catch (error) {
      rounds.failed();
      throw this.#failed(request, error);
    }
  }

  /** Notes that the last try of the object's worker failed: its next exchange that fails ends the worker. */
  expectFailure(): void {
    this.#failures = LASTING_FAILURES;
  }

  /**
   * Ends the object's worker where its exchanges go on failing and it holds no jobs: it would send the next one every ten
   * seconds, and its timer would keep the object in memory. The next call, or the alarm, starts it again.
   */
  #failed({ settle, running }: ExchangeRequest, cause: unknown): unknown {
    this.#failures++;
    if (this.#failures < LASTING_FAILURES || settle.length + running.length > 0) return cause;
    const message = `The exchange of the object's worker has failed ${this.#failures} times: ${String(cause)} It is tried again with the object's next call or alarm.`;
    return new QuaysideError("closed", message, {}, cause);
  }

  override async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    return withAllChildren(await this.exchangePage(request), (queue, id, after) => this.childrenPage(queue, id, after));
  }

  childrenPage(queue: string, id: string, after: string): Promise<ChildrenPage> {
    return this.run(() => new Reply().children({ queue, id }, after));
  }

  schedulesPage(queue: string, after?: string): Promise<readonly Schedule[]> {
    return this.run(() => new Reply().schedules(queue, after));
  }

  override schedules(queue: string): Promise<readonly Schedule[]> {
    return allSchedules((after) => this.schedulesPage(queue, after));
  }
}

/** Steps of the first count of a queue; what is not counted by then is counted at once. */
const MOST_STEPS = 1_000;

/** Exchanges that fail, one after the other, until the object's worker waits for the next call or alarm. */
const LASTING_FAILURES = 3;

/** Of a payload as a record holds it: with result, progress and logs its job fits into a reply, without which no worker gets it. */
const PAYLOAD_MOST = 7 * 1024 * 1024;

/** @throws {QuaysideError} `payload_too_large` for a payload whose job no reply could carry. */
function checkSize(payload: string): void {
  // A UTF-16 unit takes at most six bytes, as an escape.
  if (payload.length * 6 <= PAYLOAD_MOST) return;
  const bytes = jsonBytes(payload);
  if (bytes <= PAYLOAD_MOST) return;
  throw new QuaysideError(
    "payload_too_large",
    `The payload takes ${bytes} bytes of its job's record, where an object has room for ${PAYLOAD_MOST}. Store large data elsewhere and pass its key.`,
    { bytes, limit: PAYLOAD_MOST },
  );
}

const isGone = ({ worker, liveness }: { worker: string; liveness: Liveness }, alive: ReadonlySet<string>): boolean =>
  liveness === "process" && !alive.has(worker);
