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
import { everyLease } from "../engine/leases.ts";
import { type Plugin, Plugins } from "../engine/plugin.ts";
import { type Counting, counts, getJob, tallies, wakeInstant } from "../engine/read-queue.ts";
import type { ReplyRoom } from "../engine/reply-budget.ts";
import { runTransaction, type TransactionResult } from "../engine/run-transaction.ts";
import { SET_BACK_MS, SequenceGenerator } from "../engine/sequence-generator.ts";
import type { Change, Liveness, Program, ProgramKind, Store } from "../engine/store.ts";
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

/** Options of a `StoreDriver`: plugins, clock, and how workers are watched. */
export interface StoreDriverOptions {
  /** The capabilities beyond the kernel, in the order in which their hooks run: `everything()`. */
  readonly plugins: readonly Plugin[];
  /** Says which import has a plugin, an option, a setting, a command or a read: for the errors of what is missing. */
  readonly advise?: (name: string) => string | undefined;
  /**
   * For a store that drivers with other plugins may use: it records which plugins own records, and this driver refuses to
   * work where one of them is not among its own. Read in the first transaction (`first`), or in `each`: then another
   * driver's first use of a plugin is noticed at the next call.
   */
  readonly readOwners?: "first" | "each";
  readonly clock?: Clock;
  /** In [0, 1). Default `Math.random`; give a seeded one to repeat a run. */
  readonly random?: () => number;
  /** Makes what bounds an answer that leaves the process (R31). Absent: nothing does. */
  readonly reply?: () => ReplyRoom;
  /** Takes what shows a worker alive (a Web Lock). Absent: its lease alone does. */
  readonly register?: (worker: string) => Promise<Registration>;
  /** Which of these workers, of this liveness, are certainly gone. */
  readonly deadWorkers?: (
    workers: readonly { readonly worker: string; readonly liveness: Liveness }[],
  ) => Promise<ReadonlySet<string>>;
  /** Calls `died` as soon as one of these workers is gone. Each call replaces those meant before. */
  readonly onPeerExit?: (workers: readonly string[], died: () => void) => void;
  /** When workers may work here: see `Driver.onActiveChange`. Absent: always. */
  readonly onActiveChange?: (session: WorkerSession) => () => void;
  readonly connectivity?: Connectivity;
  /** Tells this store from others over which a queue is spread, from 0: the ids that it generates carry it. Default 0. */
  readonly storeNumber?: number;
}

/** The driver of everything that has a `Store`: each verb is one program in one transaction. */
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
  /** Where the last claims of the workers here lie, as long as they have a lease. */
  readonly #claimed = new Map<string, ClaimedStretch>();
  /** Queues whose tallies a read had to count. */
  readonly #toCount = new Set<string>();
  readonly plugins: Plugins;
  readonly #memory: TransactionContext["memory"] = new Map();
  #owners: TransactionContext["owners"];
  #horizon = 0;
  #latest = 0;
  /**
   * Present once the clock was set back, or a job was met that an earlier set-back stranded: what has been looked through
   * since for such jobs.
   */
  #sweep: Sweep | undefined;
  /** Absent: this driver is closed. */
  #closing: Set<() => void> | undefined = new Set();

  constructor(store: Store, options: StoreDriverOptions) {
    this.#store = store;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#sequence = new SequenceGenerator(this.#random, options.storeNumber);
    this.plugins = new Plugins(options.plugins, options.advise);
    this.#forgetOwners();
    this.#watch = new LivenessMonitor(() => this.#clock.monotonic());
    this.connectivity = options.connectivity;
    this.#peers = new PeerWatcher(this.#watch, {
      onPeerExit: options.onPeerExit,
      look: () => this.#look(),
    });
    this.#unwatch = store.watch((changes) => {
      this.#tell(changes);
      this.#peers.heed(changes);
    });
  }

  async enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    return jobs.length === 0 ? [] : this.run((current) => enqueue(current, jobs, request), undefined, "add");
  }

  /** The program of `enqueue` and what to call after its commit: for a store that runs it in its caller's own transaction. */
  protected enqueueing(jobs: readonly NewJob[]): {
    readonly start: () => Program<{ readonly result: readonly EnqueueReceipt[]; readonly changes: readonly Change[] }>;
    readonly tell: (changes: readonly Change[]) => void;
  } {
    return {
      start: () => runTransaction(this.#surroundings(), (current) => enqueue(current, jobs)),
      tell: (changes) => this.#tellAll(changes),
    };
  }

  async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    // A worker that leaves may have little time, and judges no other.
    const judge = this.#watch.judge(request.leave ? new Set() : await this.#deadWorkers());
    const { worker } = request;
    const stretch = this.#claimed.get(worker);
    const sweep = this.#sweep;
    const reply = await this.run((current) => exchange(current, request, judge, stretch, sweep), worker).catch(
      (error: unknown) => {
        // What the failed program had looked through is looked through again.
        sweep?.clear();
        throw error;
      },
    );
    const claimed = request.leave ? undefined : claimedStretch(reply.jobs);
    if (claimed) this.#claimed.set(worker, claimed);
    else this.#claimed.delete(worker);
    // A worker that died without leaving sends no other exchange. Those two have not looked who has a lease.
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

  /** Counts more than some thousand delayed jobs in several transactions: what changes meanwhile may be counted or not. */
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

  /** A command over many jobs takes several transactions, each of a bounded part. */
  async command(request: Command): Promise<CommandReply> {
    let affected = 0;
    for (let from: Step | undefined; ; ) {
      const { next, ...reply } = await this.run((current) => command(current, request, from));
      affected += reply.affected;
      if (!next) return { ...reply, affected };
      from = next;
      // Other workers' exchanges have their turn between two steps (R32).
      await this.#clock.nextTask();
    }
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

  /** Runs one program and, after its commit (R3), tells what it changed. */
  protected async run<T>(
    body: (current: Transaction) => Program<T>,
    by?: string,
    kind: ProgramKind = "change",
  ): Promise<T> {
    const counted = this.#toCount.size > 0 ? this.#countAlong(body) : body;
    const { result, changes: made } = await this.#perform(counted, kind);
    this.#tellAll(by === undefined ? made : made.map((change) => ({ ...change, by })));
    return result;
  }

  /** Runs a program that writes nothing (R33). Tallies that it had to count are written by the next one that writes. */
  async #read<T>(body: (current: Transaction) => Program<T>): Promise<T> {
    const { result, newlyCounted } = await this.#perform(body, "read");
    for (const queue of newlyCounted) this.#toCount.add(queue);
    return result;
  }

  async #perform<T>(body: (current: Transaction) => Program<T>, kind: ProgramKind): Promise<TransactionResult<T>> {
    const done = await this.#store
      .transact(() => runTransaction(this.#surroundings(), body), kind)
      .catch((error: unknown) => {
        // It may have been deleted, and be another one by now.
        this.#forgetOwners();
        throw error;
      });
    if (this.#options.readOwners === "first") this.#owners = done.owners;
    if (done.setBack) this.#sweep ??= new Map();
    return done;
  }

  #forgetOwners(): void {
    this.#owners = this.#options.readOwners && "unread";
  }

  /** The same program, which also writes the tallies that were asked for, if it writes anything. */
  #countAlong<T>(body: (current: Transaction) => Program<T>): (current: Transaction) => Program<T> {
    const toCount = this.#toCount;
    return function* (current) {
      const result = yield* body(current);
      if (current.changes.length === 0) return result;
      for (const queue of toCount) yield* tallies(current, queue);
      // If the program fails, the next call of `counts` counts again.
      toCount.clear();
      return result;
    };
  }

  #tellAll(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    this.#store.announce(changes);
    this.#tell(changes);
  }

  #surroundings(): TransactionContext {
    const now = this.#clock.now();
    if (!Number.isSafeInteger(now) || now < 0)
      throw new QuaysideError("internal", `The clock answered ${now}: it must give whole ms since epoch.`);
    if (now < this.#latest - SET_BACK_MS) {
      this.#sweep = new Map();
      // An idle worker waits for an instant that is far away by now.
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
      memory: this.#memory,
      owners: this.#owners,
      reply: this.#options.reply?.(),
    };
  }

  /**
   * The dead among the workers of the last look. Only those: a worker that came since may have taken its lock after we
   * asked who holds one, but one that had a lease before we asked held its lock by then.
   */
  async #deadWorkers(): Promise<ReadonlySet<string>> {
    const { deadWorkers } = this.#options;
    if (!deadWorkers) return new Set();
    if (!this.#watch.workers) await this.#look();
    const others = (this.#watch.workers ?? []).filter(({ liveness }) => liveness !== "time");
    return others.length > 0 ? deadWorkers(others) : new Set();
  }

  async #look(): Promise<void> {
    const watch = this.#watch;
    await this.#read(function* () {
      watch.look(yield* everyLease());
    });
  }

  #tell(changes: readonly Change[]): void {
    // What was done is done and committed: a listener's mistake must not look like the caller's.
    for (const change of changes) for (const listener of [...this.#listeners]) lent(() => listener(change));
  }
}
