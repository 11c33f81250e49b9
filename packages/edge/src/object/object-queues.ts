import { type Clock, type JobMap, QuaysideError, Queue, type QueueOptions, systemClock } from "@quayside/core";
import { awaitsVerdict, type EnqueueReceipt, type NewJob, Plugins, storedQueues } from "@quayside/core/engine";
import { dispatching } from "../dispatch/dispatch.ts";
import { ObjectRpc } from "../rpc/object-rpc.ts";
import { shardOfName } from "../shards/names.ts";
import { SqlStore } from "../sql/sql-store.ts";
import { AlarmFailures } from "./alarm-failures.ts";
import { DurableAlarm } from "./durable-alarm.ts";
import type { DurableQueueOptions, Usage } from "./durable-queue.ts";
import { ObjectDriver } from "./object-driver.ts";
import { objectPlugins } from "./object-plugins.ts";
import { ObjectWorker } from "./object-worker.ts";
import { type AlarmHandler, UserAlarm, wishedAt } from "./user-alarm.ts";
import { Transactions } from "./user-transactions.ts";

/** An alarm may run for 15 minutes (Cloudflare's limit); what is still at work then is handed to the next one. */
const ALARM_BUDGET_MS = 14 * 60_000;

/** What is left to say where the class is not the queue's own. */
export interface GuestOptions {
  /** Makes the handle of a queue. */
  readonly makeQueue: (name: string, queues: ObjectQueues, options: QueueOptions<Record<string, unknown>>) => Queue;
}

/**
 * All that a Durable Object has of queues: their store, alarm, driver and worker. Make it in the object's constructor: no
 * call gets in before the alarm is known.
 */
export class ObjectQueues {
  readonly driver: ObjectDriver;
  readonly rpc: ObjectRpc;
  /** The alarm of the object's user, where the class is not the queue's own. */
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
  #begun: Promise<void> | undefined;
  #able = false;
  #ringing = false;
  #cancelStandIn: () => void = () => {};
  readonly #handles = new Map<string, Queue>();

  /** @param guest present: the object is its user's own, with transactions and an alarm of theirs. */
  constructor(
    ctx: DurableObjectState,
    env: unknown,
    options: DurableQueueOptions<JobMap, never>,
    guest?: GuestOptions,
  ) {
    const { storage } = ctx;
    const { handlers, dispatch, jobs } = options;
    const works = handlers !== undefined || dispatch !== undefined;
    const clock = options.clock?.(ctx) ?? systemClock;
    const plugins = objectPlugins(options.cron);
    this.#ctx = ctx;
    this.#clock = clock;
    this.#report = (error) => report(options.onError, error);
    this.#transactions = Transactions.of(storage);
    this.#failures = new AlarmFailures(storage);
    // What runs for jobs that are gone is told so.
    this.#transactions.onDeleted = () => this.worker?.wake();
    this.#sql = new SqlStore(storage, { nested: guest !== undefined, transactions: this.#transactions });
    this.#sql.onDamaged(this.#report);
    this.#sql.onUnobserved(() => this.#report(unobserved()));
    // Without handlers there is nothing to wake for: the workers are elsewhere, and each has a clock of its own.
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
      shard: guest ? 0 : shardOfName(ctx.id.name),
      plugins,
    });
    this.rpc = new ObjectRpc({ driver: this.driver, clock, enter: (queues) => this.enter(queues) });
    const queueOptions = { clock, ctx: { env }, ...(jobs && { jobs }) } as QueueOptions<Record<string, unknown>>;
    this.#makeQueue = (name) =>
      guest ? guest.makeQueue(name, this, queueOptions) : new Queue(name, this.driver, queueOptions);
    if (works)
      this.worker = new ObjectWorker({
        driver: this.driver,
        clock,
        handlers: handlers ?? {},
        makeQueue: this.#makeQueue,
        verdictMs: () => this.#verdictMs(),
        ctx: { env },
        concurrency: options.concurrency,
        prefetch: options.prefetch,
        lease: options.lease,
        dispatch: dispatch && dispatching({ dispatch, env: env as never, jobs, handlers, report: this.#report }),
        report: this.#report,
      });
    this.#able = this.worker?.able === true;
    // What the object's own code does to a queue starts its worker, as a call from outside does.
    this.driver.watch(({ queue, kind }) => {
      if ((kind === "ready" || kind === "settings") && this.worker?.works(queue) === false) void this.enter([queue]);
    });
    // Beside the other and not within it: there it would wait for itself in an object that exists already.
    if (guest) void this.#alarm?.probe().catch(this.#report);
    void ctx.blockConcurrencyWhile(() => this.#begin().catch(this.#report));
  }

  /** A queue of this object, the same handle each time. */
  queue(name: string): Queue {
    const known = this.worker?.queue(name) ?? this.#handles.get(name);
    if (known) return known;
    const queue = this.#makeQueue(name);
    this.#handles.set(name, queue);
    return queue;
  }

  /** A handler was added: what waited for one is looked at. */
  handle(): void {
    this.worker?.wake();
    if (this.#able || !this.worker?.able) return;
    this.#able = true;
    // Without any handler the alarm was not armed for jobs.
    this.#begin()
      .then(() => this.#alarm?.rearm())
      .catch(this.#report);
  }

  /** Stores jobs at once: see `ObjectDriver.enqueueNow`. */
  enqueueNow(jobs: readonly NewJob[]): readonly EnqueueReceipt[] {
    const queues = jobs.map(({ queue }) => queue);
    const receipts = this.driver.enqueueNow(jobs);
    this.worker?.add(queues);
    this.#transactions.afterCommit(() => void this.enter(queues));
    return receipts;
  }

  /** What every call does first: the worker runs and knows these queues, and an alarm that was lost is set again. */
  async enter(queues: readonly string[] = []): Promise<void> {
    const transactions = this.#transactions;
    // The caller's own, which waits for this call: what it does starts nothing before it is committed.
    if (transactions.open) return transactions.afterCommit(() => void this.enter(queues));
    try {
      await this.#begin();
      await this.#alarm?.heal();
      this.worker?.add(queues);
      await this.worker?.start();
    } catch (error) {
      // The call itself may well succeed, and the alarm starts the worker another time.
      this.#report(error);
    }
  }

  /**
   * @throws {QuaysideError} `conflict` while a transaction of the object's own code is open that can wait for this call: the
   * call would wait for its end.
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
   * The guarantee behind the work that each call starts by itself: runs what is due. Never throws: Cloudflare repeats a
   * failed alarm six times and then drops it for good.
   *
   * @param handler the user's, for an alarm of theirs.
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
      // First the guard for what comes now: should the object die below, the next alarm is set.
      alarm.rearm();
      this.#ringing = true;
      if (await this.#failures.any()) this.driver.expectFailure();
      const again = await this.#ring(handler, over);
      done();
      // What still runs goes on by itself, in this object and under its lease; the next alarm, at once, waits for it again.
      alarm.rearm(again ? "soon" : "late");
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

  /** Answers whether the next alarm is to ring at once: what runs goes on, or the user's own alarm is due (again). */
  async #ring(handler: AlarmHandler | undefined, over: Promise<false>): Promise<boolean> {
    const { userAlarm } = this;
    const drained = this.#drain(over);
    // Its error is thrown below, unless an earlier one is.
    drained.catch(() => {});
    if (!userAlarm) return (await drained) === false;
    const called = await userAlarm.ring(handler, over);
    const next = userAlarm.awaitDue();
    try {
      // Jobs may have fallen due while the handler ran.
      const idle = called ? drained.then(() => this.#drain(over)) : drained;
      idle.catch(() => {});
      return await Promise.race([idle.then((end) => end === false), next.due.then(() => true)]);
    } finally {
      next.cancel();
    }
  }

  /** While an alarm rings no other does: a timer stands in for it. */
  #standIn(nextWakeMs: number | undefined): void {
    this.#cancelStandIn();
    this.#cancelStandIn =
      this.#ringing && nextWakeMs ? this.#clock.after(nextWakeMs, () => this.worker?.wake()) : () => {};
  }

  /** Learns what the object holds. Where that cannot be read, each call and each alarm tries again, and says why not. */
  #begin(): Promise<void> {
    this.#begun ??= this.#learn().catch((error: unknown) => {
      this.#begun = undefined;
      throw error;
    });
    return this.#begun;
  }

  async #learn(): Promise<void> {
    this.worker?.add(this.#sql.run(storedQueues));
    await this.#alarm?.start();
  }

  async #drain(over: Promise<false>): Promise<boolean | undefined> {
    await this.worker?.start();
    return this.worker?.drain(over);
  }

  /** Later, and not at once: what failed now would fail again. The user's own alarm rings when it is due all the same. */
  async #tryAgain(): Promise<void> {
    try {
      const delayMs = await this.#failures.add();
      const now = this.#clock.now();
      const wishedAt = this.#wishedAt();
      // A wish that is due already was not reached either: without the delay the alarm would ring every millisecond.
      await this.#ctx.storage.setAlarm(wishedAt > now ? Math.min(now + delayMs, wishedAt) : now + delayMs);
    } catch (error) {
      this.#report(error);
    }
  }

  /** When the user's own alarm is due; never, where that cannot be read. */
  #wishedAt(): number {
    try {
      return this.userAlarm?.get() ?? Number.POSITIVE_INFINITY;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  async #verdictMs(): Promise<number | undefined> {
    return this.#sql.run(() => awaitsVerdict(this.#clock.now())) ? this.driver.nextWake([]) : undefined;
  }
}

const unobserved = () =>
  new QuaysideError(
    "conflict",
    "What a queue had stored was undone or deleted by a call that Quayside could not observe; a job that is gone may have run. Call transaction(), transactionSync() and deleteAll() on ctx.storage: a function that was taken from it before embedQueue() is not observed.",
  );

/** A report that fails must not turn into what it reports. */
function report(onError: ((error: unknown) => void) | undefined, error: unknown): void {
  try {
    if (onError) onError(error);
    else console.error(error);
  } catch (fault) {
    console.error(fault, error);
  }
}
