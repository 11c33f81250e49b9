import { type Clock, systemClock } from "../engine/clock.ts";
import {
  alwaysActive,
  type Connectivity,
  type Driver,
  type Registration,
  timeLiveness,
  type WorkerSession,
} from "../engine/driver.ts";
import { enqueue } from "../engine/enqueue.ts";
import { type ClaimedStretch, claimedStretch, exchange, type Sweep } from "../engine/exchange.ts";
import { command, type Step } from "../engine/kernel-commands.ts";
import { NEVER, sweepLapsed } from "../engine/lapsing.ts";
import { everyLease } from "../engine/leases.ts";
import { Plugins } from "../engine/plugin.ts";
import { type Counting, counts, getJob, wakeInstant } from "../engine/read-queue.ts";
import { runTransaction, type TransactionResult } from "../engine/run-transaction.ts";
import { SET_BACK_MS, SequenceGenerator } from "../engine/sequence-generator.ts";
import type { Change, Program, ProgramKind, Store } from "../engine/store.ts";
import type { Transaction, TransactionContext } from "../engine/transaction.ts";
import type {
  Command,
  CommandReply,
  EnqueueReceipt,
  ExchangeReply,
  ExchangeRequest,
  JobCounts,
  JobPage,
  ListQuery,
  NumberedRequest,
  Schedule,
} from "../engine/verbs.ts";
import { QuaysideError } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { NewJob } from "../job/new-job.ts";
import { lent } from "../job/report-error.ts";
import { LivenessMonitor } from "./liveness-monitor.ts";
import { PeerWatcher } from "./peer-watcher.ts";
import type { StoreDriverOptions } from "./store-driver-options.ts";

/** The driver on top of a `Store`: runs each verb as one program in one transaction. */
export class StoreDriver implements Driver {
  readonly connectivity: Connectivity | undefined;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #options: StoreDriverOptions;
  readonly #sequence: SequenceGenerator;
  readonly #watch: LivenessMonitor;
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #unwatch: () => void;
  readonly #peers: PeerWatcher;
  /** By worker, the key range of its last claim, which its next exchange reads with the lease. */
  readonly #claimed = new Map<string, ClaimedStretch>();
  /** Queues whose jobs a read has counted. The next program that writes stores the counts. */
  readonly #toCount = new Set<string>();
  readonly plugins: Plugins;
  /** The clock that the driver was made with. Queues of the driver take it. */
  readonly clock: Clock | undefined;
  #owners: TransactionContext["owners"];
  #horizon = 0;
  #latest = 0;
  /** The progress of the repair of jobs after the clock was set back. Undefined: no repair runs. */
  #sweep: Sweep | undefined;
  #searchAt: number;
  /** Functions to call when this driver is closed. Undefined: it is closed. */
  #closing: Set<() => void> | undefined = new Set();

  constructor(store: Store, options: StoreDriverOptions) {
    this.#store = store;
    this.#options = options;
    this.clock = options.clock;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#sequence = new SequenceGenerator(this.#random, options.storeNumber);
    this.plugins = new Plugins(options.plugins, options.advise);
    this.#owners = this.#unread;
    this.#searchAt = this.plugins.with("lapsing").length > 0 ? 0 : NEVER;
    this.#watch = new LivenessMonitor(() => this.#clock.monotonic());
    this.connectivity = options.connectivity;
    this.#peers = new PeerWatcher(this.#watch, { ...options, look: () => this.#look() });
    this.#unwatch = store.watch((changes) => {
      this.#tell(changes);
      this.#peers.heed(changes);
    });
  }

  async enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    return jobs.length === 0 ? [] : this.run((current) => enqueue(current, jobs, request), "add");
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    // A worker that leaves may have little time, and recovers no other worker's jobs.
    const judge = this.#watch.judge(request.leave ? new Set() : await this.#peers.dead());
    const { worker } = request;
    const stretch = this.#claimed.get(worker);
    const sweep = this.#sweep;
    const reply = await this.run((current) => exchange(current, request, judge, stretch, sweep)).catch(
      (error: unknown) => {
        // The search repeats the part that the failed program has done.
        sweep?.clear();
        throw error;
      },
    );
    const claimed = request.leave ? undefined : claimedStretch(reply.jobs);
    if (claimed) this.#claimed.set(worker, claimed);
    else this.#claimed.delete(worker);
    // Removes the ranges of workers that died without leaving. The two excluded kinds of exchange have not read the
    // leases.
    if (!request.bystander && !reply.futile) {
      for (const other of this.#claimed.keys())
        if (other !== worker && !this.#watch.knows(other)) this.#claimed.delete(other);
    }
    this.#peers.follow();
    return reply;
  }

  get(queue: string, id: string): Promise<JobRecord | undefined> {
    return this.#read((current) => getJob(current, queue, id));
  }

  list(query: ListQuery): Promise<JobPage> {
    return this.#read((current) => this.plugins.read(current, "list", query));
  }

  /**
   * Returns the counts of a queue, for thousands of delayed jobs in several transactions, during which jobs may change.
   */
  async counts(queue: string): Promise<JobCounts> {
    for (let before: Counting | undefined; ; ) {
      const from = before;
      const reply = await this.#read((current) => counts(current, queue, from));
      if (!("from" in reply)) return reply;
      before = reply;
      await this.#clock.nextTask();
    }
  }

  schedules(queue: string): Promise<readonly Schedule[]> {
    return this.#read((current) => this.plugins.read(current, "schedules", queue));
  }

  /** Runs a command. A command over many jobs takes several transactions of limited size. */
  async command(request: Command): Promise<CommandReply> {
    let affected = 0;
    for (let from: Step | undefined; ; ) {
      const { next, ...reply } = await this.run((current) => command(current, request, from));
      affected += reply.affected;
      if (!next) return { ...reply, affected };
      from = next;
      // Exchanges of other workers run between two steps (R32).
      await this.#clock.nextTask();
    }
  }

  /**
   * Deletes all lapsed records (R42), in several transactions. Other transactions of this driver delete some when their
   * time has come, so only a process that is woken for it calls this.
   */
  async sweep(): Promise<void> {
    for (let more = this.#searchAt <= this.#clock.now(); more; await this.#clock.nextTask())
      more = await this.run((current) => sweepLapsed(current, true));
  }

  async nextWake(queues: readonly string[]): Promise<number | undefined> {
    const judge = this.#watch.judge(new Set());
    return this.#read(function* (current) {
      const at = yield* wakeInstant(current, queues, judge);
      return at === Number.POSITIVE_INFINITY ? undefined : Math.max(0, at - current.now);
    });
  }

  watch(listener: (change: Change) => void, closed?: () => void): () => void {
    this.#listeners.add(listener);
    if (closed) this.#closing?.add(closed);
    return () => {
      this.#listeners.delete(listener);
      if (closed) this.#closing?.delete(closed);
    };
  }

  async register(worker: string): Promise<Registration> {
    if (!this.#closing) throw new QuaysideError("closed", "This driver is closed.");
    return this.#peers.registered(worker, await (this.#options.register ?? timeLiveness)(worker));
  }

  onActiveChange(session: WorkerSession): () => void {
    const shown = this.#peers.showTo(session);
    const stop = (this.#options.onActiveChange ?? alwaysActive)(shown);
    return () => {
      stop();
      shown.leave();
    };
  }

  async close(): Promise<void> {
    const closing = this.#closing;
    this.#closing = undefined;
    this.#unwatch();
    this.#listeners.clear();
    try {
      await this.#store.close();
    } finally {
      for (const closed of closing ?? []) closed();
    }
  }

  /** Runs one program and reports its changes after its commit (R3). */
  protected async run<T>(body: (current: Transaction) => Program<T>, kind: ProgramKind = "change"): Promise<T> {
    const { result, changes, setBack, owners, searchAt } = await this.#store
      .transact(() => this.program(body, kind), kind)
      .catch((error: unknown) => {
        // The database may have been deleted and created again.
        this.#owners = this.#unread;
        throw error;
      });
    if (this.#options.readOwners === "first") this.#owners = owners;
    if (setBack) this.#sweep ??= new Map();
    this.#searchAt = searchAt;
    this.announce(changes);
    return result;
  }

  /** Returns `body` as the program of one transaction. After its commit, pass its changes to `announce`. */
  protected program<T>(
    body: (current: Transaction) => Program<T>,
    kind: ProgramKind = "change",
  ): Program<TransactionResult<T>> {
    return runTransaction(this.#surroundings(), body, kind);
  }

  /** Reports committed changes to listeners in this process and to other contexts, such as tabs. */
  protected announce(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    this.#store.announce(changes.map((change) => ({ ...change, jobs: undefined })));
    this.#tell(changes);
  }

  /** Runs a read-only program (R33). Counts that it had to compute are stored by the next program that writes. */
  #read<T>(body: (current: Transaction) => Program<T>): Promise<T> {
    return this.run(body, "read");
  }

  get #unread(): TransactionContext["owners"] {
    return this.#options.readOwners && "unread";
  }

  #surroundings(): TransactionContext {
    const now = this.#clock.now();
    if (!Number.isSafeInteger(now) || now < 0)
      throw new QuaysideError("internal", `The clock answered ${now}: it must give whole ms since epoch.`);
    if (now < this.#latest - SET_BACK_MS) {
      this.#sweep = new Map();
      // The clock was set back: an idle worker may wait for a time that is now far away.
      queueMicrotask(() => this.#peers.wake());
    }
    this.#latest = now;
    this.#horizon = Math.max(this.#horizon, now);
    return {
      now,
      horizon: this.#horizon,
      sequence: this.#sequence,
      random: this.#random,
      plugins: this.plugins,
      toCount: this.#toCount,
      owners: this.#owners,
      searchAt: this.#searchAt,
      reply: this.#options.reply?.(),
    };
  }

  #look(): Promise<void> {
    const watch = this.#watch;
    return this.#read(function* () {
      watch.look(yield* everyLease());
    });
  }

  #tell(changes: readonly Change[]): void {
    // The transaction is committed, so a listener's error must not reject the call.
    for (const change of changes) for (const listener of [...this.#listeners]) lent(() => listener(change));
  }
}
