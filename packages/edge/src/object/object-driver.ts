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
  type FoundJobs,
  get,
  type Liveness,
  type NewJob,
  type NumberedRequest,
  type Pages,
  type Program,
  type Store,
  StoreDriver,
  type StoredSettings,
  withAllChildren,
} from "@quayside/core/engine";
import { jsonBytes } from "../json-bytes.ts";
import type { ShardVerbs } from "../rpc/queue-rpc.ts";
import { Reply } from "../rpc/reply-budget.ts";
import { ObjectShard } from "../shards/object-shard.ts";
import { type Admission, enqueueWithin, type Quota } from "./caller-quota.ts";
import { QueueRounds } from "./claim-rotation.ts";
import { PagedCount, PLACES } from "./count-jobs.ts";
import { JobWriteObserver } from "./job-write-observer.ts";
import type { Transactions } from "./user-transactions.ts";

/** A store that can run a program synchronously, inside a transaction of the object's own code. */
export interface ObjectStore extends Store {
  run<T>(start: () => Program<T>): T;
}

export interface ObjectDriverOptions {
  readonly clock: Clock;
  readonly plugins: readonly Plugin[];
  /** Transactions of the object's own code. */
  readonly transactions: Transactions;
  /** Throws if the object could not be woken at the time `at`: see `DurableAlarm.check`. */
  readonly check: (at: number) => void;
  /** Called after each claim of the object's own worker with the ms until its next claim could succeed. */
  readonly claimed: (nextWakeMs: number | undefined) => void;
  /** Resolves when all written records are on disk. */
  readonly sync: () => Promise<void>;
  /** Number of the shard that this object is, in a split queue: see `shardOfName`. Default: 0. */
  readonly shard?: number | undefined;
}

/**
 * The driver inside a queue's object. The object's own worker ends with the object. So a lease of an own worker that
 * has not registered since the object started is from an earlier start, and its jobs are recovered at once.
 */
export class ObjectDriver extends StoreDriver implements Pages {
  readonly #store: ObjectStore;
  readonly #writes: JobWriteObserver;
  readonly #shard: ObjectShard;
  /** Keys of the object's own workers that have registered since the object started. */
  readonly #alive: ReadonlySet<string>;
  readonly #options: ObjectDriverOptions;
  readonly #rounds = new QueueRounds();
  /** Number of successive failed exchanges of the object's worker. */
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

  /** Returns whether a worker of the object itself has this key. */
  isOwn(worker: string): boolean {
    return this.#alive.has(worker);
  }

  /** Returns the stored settings of a queue. */
  settings(queue: string): Promise<StoredSettings> {
    return this.run((tx) => tx.settings(queue), "read");
  }

  /** Runs a verb that exists only on shards. */
  async shard<Verb extends keyof ShardVerbs>(
    verb: Verb,
    ask: ShardVerbs[Verb]["ask"],
  ): Promise<ShardVerbs[Verb]["answer"]> {
    if (verb === "add" && "jobs" in ask) this.#check(ask.jobs);
    return this.#shard.answer(verb, ask);
  }

  /**
   * Adds jobs, within a quota if one is given. A shard refuses jobs that belong to another shard; the error names the
   * right number of shards.
   *
   * @throws {QuaysideError} `rate_limited` if the quota is used up.
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
   * Adds jobs synchronously, inside the caller's open transaction, if any. Listeners are called in a task of their own
   * after the commit.
   */
  enqueueNow(jobs: readonly NewJob[]): readonly EnqueueReceipt[] {
    if (jobs.length === 0) return [];
    this.#check(jobs);
    const { result, changes } = this.#store.run(() => this.program((tx) => enqueue(tx, jobs)));
    this.#options.transactions.afterCommit(() => this.announce(changes));
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

  /** Calls the listener with changes after their commit, and never with changes that were rolled back. */
  override watch(listener: (change: Change) => void, closed?: () => void): () => void {
    const { transactions } = this.#options;
    return super.watch((change) => {
      if (transactions.open) transactions.afterCommit(() => listener(change));
      else listener(change);
    }, closed);
  }

  /**
   * Runs an exchange. Writes a claim to disk before its first handler starts (R10), so that a job that kills the object
   * is counted as interrupted. Waits for transactions of the object's code to end (R3), because a rollback would undo
   * the claim.
   */
  async exchangePage(request: ExchangeRequest): Promise<ExchangeReply> {
    const isOwn = request.liveness === "process";
    if (isOwn) await this.#options.transactions.ended();
    const reply = await (isOwn ? this.#exchangeOwn(request) : super.exchange(request));
    if (isOwn && request.claim.limit > 0) this.#options.claimed(reply.nextWakeMs);
    if (reply.jobs.length > 0) await this.#options.sync();
    return reply;
  }

  /** Returns the counts of a queue. The first call counts a large queue in several transactions. */
  override async counts(queue: string): Promise<JobCounts> {
    if (!this.#options.transactions.open) await this.#count(queue);
    return super.counts(queue);
  }

  /**
   * Counts a queue's jobs in steps. Does nothing in a transaction of the object's code, whose rollback would undo the
   * counts.
   */
  async #count(queue: string): Promise<void> {
    const { clock, transactions } = this.#options;
    const [tally] = await this.run(() => get("tallies", [[queue]]), "read");
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

  /** Runs an exchange for the object's own worker, which works all queues of the object. */
  async #exchangeOwn(request: ExchangeRequest): Promise<ExchangeReply> {
    const rounds = this.#rounds;
    const { claim } = request;
    const part = rounds.concern(claim);
    try {
      const queues = part ? await this.run(() => rounds.next(claim.queues), "read") : claim.queues;
      const reply = await super.exchange({ ...request, claim: { ...claim, queues } });
      this.#failures = 0;
      return part ? rounds.answered(reply, this.#options.clock.now()) : reply;
    } catch (error) {
      rounds.failed();
      throw this.#failed(request, error);
    }
  }

  /** Makes the next failed exchange of the object's worker stop the worker. Called after a failed alarm. */
  expectFailure(): void {
    this.#failures = LASTING_FAILURES;
  }

  /**
   * Stops the object's worker when its exchanges keep failing and it holds no jobs. Otherwise it would retry every ten
   * seconds, and its timer would keep the object in memory. The next call or alarm starts it again.
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

  jobsPage(queue: string, ids: readonly string[], bytes?: number): Promise<FoundJobs> {
    return this.run((tx) => new Reply().jobs(tx, queue, ids, bytes), "read");
  }

  schedulesPage(queue: string, after?: string): Promise<readonly Schedule[]> {
    return this.run(() => new Reply().schedules(queue, after));
  }

  override schedules(queue: string): Promise<readonly Schedule[]> {
    return allSchedules((after) => this.schedulesPage(queue, after));
  }
}

/** Maximum number of steps of a queue's first count. After them, the rest is counted in one step. */
const MOST_STEPS = 1_000;

/** Number of successive failed exchanges after which the object's worker stops. */
const LASTING_FAILURES = 3;

/** Maximum bytes of a stored payload. With result, progress and logs, the job must fit into a reply. */
const PAYLOAD_MOST = 7 * 1024 * 1024;

/**
 * Checks a payload's size.
 *
 * @throws {QuaysideError} `payload_too_large` if a job with this payload would not fit into a reply.
 */
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
