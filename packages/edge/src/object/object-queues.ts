import { type Clock, type JobMap, QuaysideError, Queue, type QueueOptions, systemClock } from "@quayside/core";
import { awaitsVerdict, type EnqueueReceipt, type NewJob, Plugins, storedQueues } from "@quayside/core/engine";
import { dispatching } from "../dispatch/dispatch.ts";
import { objectRpc } from "../rpc/object-rpc.ts";
import type { QueueRpc } from "../rpc/queue-rpc.ts";
import { shardOfName } from "../shards/names.ts";
import { SqlStore } from "../sql/sql-store.ts";
import { AlarmFailures } from "./alarm-failures.ts";
import { DeclaredSettings } from "./declared-settings.ts";
import { DefinedQueues } from "./defined-queues.ts";
import { DurableAlarm } from "./durable-alarm.ts";
import type { DurableQueueOptions, Usage } from "./durable-queue.ts";
import { ObjectDriver } from "./object-driver.ts";
import { objectPlugins } from "./object-plugins.ts";
import { ObjectWorker } from "./object-worker.ts";
import { report, unobserved } from "./report-errors.ts";
import { type AlarmHandler, UserAlarm, wishedAt } from "./user-alarm.ts";
import { Transactions } from "./user-transactions.ts";

/** Longest time of one alarm, in ms; Cloudflare's limit is 15 minutes. Longer jobs continue in the next alarm. */
const ALARM_BUDGET_MS = 14 * 60_000;

/** Options for an object whose class is the user's own: how to create the `Queue` with a name. */
export interface GuestOptions {
  readonly makeQueue: (name: string, queues: ObjectQueues, options: QueueOptions<Record<string, unknown>>) => Queue;
}

/** The queues of a Durable Object. Its constructor blocks calls until the alarm has been read. */
export class ObjectQueues {
  readonly driver: ObjectDriver;
  readonly rpc: QueueRpc;
  /** The user's own alarm, if the object's class is the user's own. */
  readonly userAlarm: UserAlarm | undefined;
  readonly worker: ObjectWorker | undefined;
  readonly #ctx: DurableObjectState;
  readonly #clock: Clock;
  readonly #report: (error: unknown) => void;
  readonly #sql: SqlStore;
  readonly #transactions: Transactions;
  readonly #failures: AlarmFailures;
  readonly #alarm: DurableAlarm | undefined;
  readonly #makeQueue: (name: string) => Queue;
  readonly #settings: DeclaredSettings;
  #begun: Promise<void> | undefined;
  #able = false;
  #ringing = false;
  #cancelStandIn: () => void = () => {};
  readonly #handles = new Map<string, Queue>();

  /** Creates the queues of an object. `guest`: set if the object's class is the user's own. */
  constructor(
    ctx: DurableObjectState,
    env: unknown,
    options: DurableQueueOptions<JobMap, never>,
    guest?: GuestOptions,
  ) {
    const { storage } = ctx;
    const { handlers, dispatch } = options;
    const shard = guest ? 0 : shardOfName(ctx.id.name);
    const works = handlers !== undefined || dispatch !== undefined;
    const clock = options.clock?.(ctx) ?? systemClock;
    const plugins = objectPlugins(options.cron);
    this.#ctx = ctx;
    this.#clock = clock;
    this.#report = (error) => report(options.onError, error);
    this.#transactions = Transactions.of(storage);
    this.#failures = new AlarmFailures(storage);
    // Aborts handlers whose jobs were deleted.
    this.#transactions.onDeleted = () => this.worker?.wake();
    this.#sql = new SqlStore(storage, { nested: guest !== undefined, transactions: this.#transactions });
    this.#sql.onDamaged(this.#report);
    this.#sql.onUnobserved(() => this.#report(unobserved()));
    // An object without handlers needs no alarm: its workers are elsewhere and have timers.
    if (works || guest)
      this.#alarm = new DurableAlarm(this.#sql, storage, {
        clock,
        plugins: new Plugins(plugins),
        works: () => dispatch !== undefined || this.worker?.able === true,
        ...(guest && { wish: wishedAt }),
      });
    const alarm = this.#alarm;
    if (guest && alarm)
      this.userAlarm = new UserAlarm({
        clock,
        run: (start) => alarm.run(start),
        check: () => alarm.check(),
        sync: () => storage.sync(),
        transactions: this.#transactions,
        report: this.#report,
      });
    this.driver = new ObjectDriver(this.#alarm ?? this.#sql, {
      clock,
      transactions: this.#transactions,
      check: (at) => works && this.#alarm?.check(at),
      claimed: (nextWakeMs) => this.#standIn(nextWakeMs),
      sync: () => storage.sync(),
      shard,
      plugins,
    });
    this.rpc = objectRpc({ driver: this.driver, clock, enter: (queues) => this.enter(queues) });
    const defined = new DefinedQueues(options);
    this.#settings = new DeclaredSettings({ driver: this.driver, options, shard, queue: (name) => this.queue(name) });
    this.#makeQueue = (name) => {
      const shared = { clock, ctx: { env }, ...defined.optionsOf(name) };
      return guest ? guest.makeQueue(name, this, shared) : new Queue(name, this.driver, shared);
    };
    if (works)
      this.worker = new ObjectWorker({
        driver: this.driver,
        clock,
        handlersOf: (name) => defined.handlersOf(name),
        makeQueue: this.#makeQueue,
        verdictMs: () => this.#verdictMs(),
        ctx: { env },
        concurrency: options.concurrency,
        prefetch: options.prefetch,
        lease: options.lease,
        dispatch: dispatch && dispatching({ dispatch, env: env as never, handlers, defined, report: this.#report }),
        report: this.#report,
      });
    this.#able = this.worker?.able === true;
    // A change by the object's own code starts the worker, as a call from outside does.
    this.driver.watch(({ queue, kind }) => {
      if ((kind === "ready" || kind === "settings") && this.worker?.works(queue) === false) void this.enter([queue]);
    });
    // Not inside `#begin`, where the probe would wait for itself if the object exists already.
    if (guest) void this.#alarm?.probe().catch(this.#report);
    void ctx.blockConcurrencyWhile(() => this.#begin().catch(this.#report));
  }

  /** Returns a queue of this object: for the same name, the same `Queue`. */
  queue(name: string): Queue {
    const known = this.worker?.queue(name) ?? this.#handles.get(name);
    if (known) return known;
    const queue = this.#makeQueue(name);
    this.#handles.set(name, queue);
    return queue;
  }

  /** Starts jobs that waited because they had no handler. Called when a handler was added. */
  handle(): void {
    this.worker?.wake();
    if (this.#able || !this.worker?.able) return;
    this.#able = true;
    // Without any handler, no alarm was set for jobs.
    this.#begin()
      .then(() => this.#alarm?.rearm())
      .catch(this.#report);
  }

  /** Adds jobs synchronously, inside the caller's open transaction, if any: see `ObjectDriver.enqueueNow`. */
  enqueueNow(jobs: readonly NewJob[]): readonly EnqueueReceipt[] {
    const queues = jobs.map(({ queue }) => queue);
    const receipts = this.driver.enqueueNow(jobs);
    this.worker?.add(queues);
    this.#transactions.afterCommit(() => void this.enter(queues));
    return receipts;
  }

  /** Called before every call: starts the worker on these queues, and restores a lost alarm. */
  async enter(queues: readonly string[] = []): Promise<void> {
    const transactions = this.#transactions;
    // Waiting here would deadlock with the caller's transaction; its jobs start after the commit.
    if (transactions.open) return transactions.afterCommit(() => void this.enter(queues));
    try {
      await this.#begin();
      await this.#alarm?.heal();
      await this.#add(queues);
      await this.worker?.start();
    } catch (error) {
      // The call itself can still succeed, and the alarm starts the worker later.
      this.#report(error);
    }
  }

  /**
   * Throws inside an asynchronous transaction of the object's code, for whose end the call would wait.
   *
   * @throws {QuaysideError} `conflict`.
   */
  refuseInTransaction(call: string): void {
    if (this.#transactions.waiting)
      throw new QuaysideError(
        "conflict",
        `${call} was called inside a transaction of the object; its jobs run once that is committed. Call it afterwards.`,
      );
  }

  usage(): Usage {
    const { rowsRead, rowsWritten } = this.#sql;
    return { rowsRead, rowsWritten, alarmsSet: this.#alarm?.alarmsSet ?? 0 };
  }

  /**
   * Runs due jobs, in case no call has started them. Never throws: Cloudflare drops an alarm that fails six times.
   *
   * @param handler the user's alarm handler.
   */
  async alarm(handler?: AlarmHandler): Promise<void> {
    const alarm = this.#alarm;
    if (!alarm) return;
    const done = alarm.ring();
    let cancelLimit: () => void = () => {};
    const over = new Promise<false>((resolve) => {
      cancelLimit = this.#clock.after(ALARM_BUDGET_MS, () => resolve(false));
    });
    try {
      this.refuseInTransaction("alarm()");
      await this.#begin();
      // Sets the next alarm first, in case the object dies meanwhile.
      alarm.rearm();
      this.#ringing = true;
      if (await this.#failures.any()) this.driver.expectFailure();
      await this.driver.sweep();
      const again = await this.#ring(handler, over);
      done();
      // Running jobs continue under their lease; an immediate next alarm waits for them.
      // A job that fell due meanwhile starts now: its alarm is the guard.
      if (alarm.rearm(again ? "soon" : "late")) this.worker?.wake();
      await this.#failures.clear();
    } catch (error) {
      this.#report(error);
      await this.#tryAgain();
    } finally {
      this.#ringing = false;
      this.#standIn(undefined);
      cancelLimit();
      done();
    }
  }

  /** Runs due jobs and the user's alarm. Returns whether the next alarm must fire at once, because work is left. */
  async #ring(handler: AlarmHandler | undefined, over: Promise<false>): Promise<boolean> {
    const { userAlarm } = this;
    const drained = this.#drain(over);
    // Its error is thrown below, unless an earlier one was.
    drained.catch(() => {});
    if (!userAlarm) return (await drained) === false;
    const called = await userAlarm.ring(handler, over);
    const next = userAlarm.awaitDue();
    try {
      // Jobs may have become due while the handler ran.
      const idle = called ? drained.then(() => this.#drain(over)) : drained;
      idle.catch(() => {});
      return await Promise.race([idle.then((end) => end === false), next.due.then(() => true)]);
    } finally {
      next.cancel();
    }
  }

  /** Sets a timer for the next job while the alarm handler runs, because no other alarm fires meanwhile. */
  #standIn(nextWakeMs: number | undefined): void {
    this.#cancelStandIn();
    this.#cancelStandIn =
      this.#ringing && nextWakeMs ? this.#clock.after(nextWakeMs, () => this.worker?.wake()) : () => {};
  }

  /** Reads the object's queues and alarm once. After a failure, each call tries again and reports the error. */
  #begin(): Promise<void> {
    this.#begun ??= this.#learn().catch((error: unknown) => {
      this.#begun = undefined;
      throw error;
    });
    return this.#begun;
  }

  async #learn(): Promise<void> {
    await this.#add(this.#sql.run(storedQueues));
    await this.#alarm?.start();
  }

  async #add(queues: Iterable<string>): Promise<void> {
    await this.#settings.store(queues).catch(this.#report);
    this.worker?.add(queues);
  }

  async #drain(over: Promise<false>): Promise<boolean | undefined> {
    await this.worker?.start();
    return this.worker?.drain(over);
  }

  /** Sets an alarm for another try after a failure. The user's own alarm still fires when it is due. */
  async #tryAgain(): Promise<void> {
    try {
      const delayMs = await this.#failures.add();
      const now = this.#clock.now();
      const { at: wishedAt = Number.POSITIVE_INFINITY } = this.userAlarm ?? {};
      // A due user's alarm has failed, too: without the delay it would fire every millisecond.
      await this.#ctx.storage.setAlarm(wishedAt > now ? Math.min(now + delayMs, wishedAt) : now + delayMs);
    } catch (error) {
      this.#report(error);
    }
  }

  async #verdictMs(): Promise<number | undefined> {
    return this.#sql.run(() => awaitsVerdict(this.#clock.now())) ? this.driver.nextWake([]) : undefined;
  }
}
