import { type Clock, QuaysideError } from "@quayside/core";
import {
  attentionAt,
  attentionOf,
  type Change,
  COLLECTIONS,
  isOperation,
  type Operation,
  type Plugins,
  type Program,
  type Store,
} from "@quayside/core/engine";
import type { SqlStore } from "../sql/sql-store.ts";

/**
 * Delay of the alarm after a job is due, in ms. The object starts the job itself when it is due; the alarm is for the
 * case that the object was evicted. One alarm covers all jobs of this time, because each `setAlarm` bills a row.
 */
const GUARD_MS = 10_000;

/** Time after which an alarm counts as lost, in ms. While an object is moved, alarms may be a minute late. */
const LOST_AFTER_MS = 90_000;

/** The latest time for which Cloudflare accepts an alarm, in ms since epoch: the end of 2189. */
export const LAST_ALARM = Date.UTC(2190, 0, 1) - 1;

type AlarmStorage = Pick<DurableObjectStorage, "getAlarm" | "setAlarm" | "transaction">;

export interface DurableAlarmOptions {
  readonly clock: Clock;
  readonly plugins: Plugins;
  /** Returns whether the object itself works its jobs, so that it must be awake when they are due. */
  readonly works: () => boolean;
  /** Returns the time of the user's own alarm: see `UserAlarm`. */
  readonly wish?: (() => Program<number | undefined>) | undefined;
}

/**
 * A store that sets the object's alarm in the same transaction as the jobs that need it, so that no job is stored
 * without an alarm that wakes the object. Sets the alarm only if it is needed earlier than it is set: an alarm without
 * work costs less than setting it repeatedly.
 *
 * @example
 * const store = new DurableAlarm(new SqlStore(ctx.storage), ctx.storage, { clock: systemClock, works: () => true });
 * await store.start();
 */
export class DurableAlarm implements Store {
  readonly #store: SqlStore;
  readonly #storage: AlarmStorage;
  readonly #options: DurableAlarmOptions;
  #armedAt: number | undefined;
  /** The time for which the alarm that has fired last was set. */
  #rangAt: number | undefined;
  #ringing = false;
  #alarmsSet = 0;
  #undone = 0;
  /** Whether the object's class has no `alarm()`, so that setting an alarm fails. */
  #impossible = false;

  constructor(store: SqlStore, storage: AlarmStorage, options: DurableAlarmOptions) {
    this.#store = store;
    this.#storage = storage;
    this.#options = options;
  }

  /** Reads the current alarm, and sets it if it is missing. Called once, in the object's constructor. */
  async start(): Promise<void> {
    await this.heal();
    this.rearm();
  }

  /** Checks whether the object's class has `alarm()`. The object receives no events before it returns. */
  async probe(): Promise<void> {
    this.#impossible = await isImpossible(this.#storage);
  }

  /**
   * Refuses an add for which the object could not be woken (R3b).
   *
   * @param at the time at which the object must be woken.
   * @throws {QuaysideError} `invalid_option` if the object's class has no `alarm()`, or `at` is after 2189.
   */
  check(at = 0): void {
    if (this.#impossible)
      throw new QuaysideError(
        "invalid_option",
        "The Durable Object's class has no alarm() method, so nothing would wake it for its jobs. Add one that calls alarm() of the queue.",
        { option: "alarm" },
      );
    if (at > LAST_ALARM)
      throw new QuaysideError(
        "invalid_option",
        `A Durable Object cannot be woken after 2189: ${new Date(Math.min(at, 8.64e15)).toISOString()} is too late.`,
        { option: "startAt" },
      );
  }

  async transact<T>(start: () => Program<T>): Promise<T> {
    return this.run(start);
  }

  /** Runs a program synchronously: see `SqlStore.run`. */
  run<T>(start: () => Program<T>): T {
    return this.#run((arm, now) => guarded(start(), now, this.#options.plugins, arm));
  }

  /**
   * Sets the alarm to the time at which the stored jobs need it. `soon`: as early as possible. `late`: may also move
   * the alarm to a later time, if the jobs that needed it have ended. Never removes an alarm.
   *
   * @returns with `late`: whether a job is due, so that the alarm was not moved.
   */
  rearm(how?: "soon" | "late"): boolean {
    return this.#run((arm) => arm(how)) === true;
  }

  /** Number of alarms set so far. Each bills a written row. */
  get alarmsSet(): number {
    return this.#alarmsSet;
  }

  /**
   * Sets the alarm again if its time is not the expected one, or is long past: Cloudflare guarantees alarms, but has
   * lost some in practice. Reading the alarm takes a few microseconds and is not billed.
   */
  async heal(): Promise<void> {
    if (this.#ringing) return;
    const { clock } = this.#options;
    const remembered = this.#armedAt;
    const sets = this.#alarmsSet;
    const armedAt = (await this.#storage.getAlarm()) ?? undefined;
    // Writes during the read have made its result obsolete.
    if (this.#ringing || sets !== this.#alarmsSet || remembered !== this.#armedAt) return;
    const lost = armedAt !== undefined && clock.now() > armedAt + LOST_AFTER_MS;
    if (!lost && armedAt === remembered) return;
    this.#armedAt = lost ? undefined : armedAt;
    this.rearm(lost ? "soon" : undefined);
  }

  /** Records that the alarm has fired. Returns a function to call when all due work is done. */
  ring(): () => void {
    this.#rangAt = this.#armedAt;
    this.#armedAt = undefined;
    this.#ringing = true;
    return () => {
      this.#ringing = false;
    };
  }

  announce(changes: readonly Change[]): void {
    this.#store.announce(changes);
  }

  watch(listener: (changes: readonly Change[]) => void): () => void {
    return this.#store.watch(listener);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #run<T>(start: (arm: Arm, now: number) => Program<T>): T {
    // Read before the program reads the clock, so that jobs which the program considers delayed get an alarm.
    const now = this.#options.clock.now();
    let armed: number | undefined;
    const result = this.#store.run(() => {
      this.#forgetUndone();
      armed = this.#armedAt;
      return start((need) => this.#arm(now, need, (instant) => (armed = instant)), now);
    });
    // After the commit (R3) and synchronously, so that no other program runs with the old value.
    if (armed !== this.#armedAt) this.#alarmsSet++;
    this.#armedAt = armed;
    return result;
  }

  /**
   * Discards the cached time of the alarm after a rollback, which also restored the previous alarm. The next program
   * reads the store.
   */
  #forgetUndone(): void {
    const { undone } = this.#store;
    if (undone === this.#undone) return;
    this.#undone = undone;
    this.#armedAt = undefined;
  }

  *#arm(now: number, need: Need, set: (instant: number) => void): Program<true | undefined> {
    // Due jobs have an alarm already, and no job that was written is due before it.
    if (typeof need === "number") {
      if (!this.#options.works()) return undefined;
      if (this.#armedAt !== undefined && this.#armedAt <= Math.min(need, now + GUARD_MS)) return undefined;
    }
    // `check` refuses adds; jobs stored earlier must not make other writes fail.
    if (this.#impossible) return undefined;
    let instant = need === "soon" ? now + 1 : yield* this.#needed(now, need === "late");
    if (instant === undefined) return undefined;
    // A job that became due since the last check keeps its alarm.
    if (need === "late" && instant <= now) return true;
    // An alarm for the same time as the running one could count as fired.
    if (instant === this.#rangAt) instant++;
    instant = Math.min(instant, LAST_ALARM);
    const armedAt = this.#armedAt ?? Number.POSITIVE_INFINITY;
    if (need === "late" ? armedAt === instant : armedAt <= instant) return undefined;
    // Not awaited: it belongs to the open transaction and rolls back with it.
    void this.#storage.setAlarm(instant);
    set(instant);
    return undefined;
  }

  *#needed(now: number, late: boolean): Program<number | undefined> {
    const { works, wish } = this.#options;
    const job = works() ? yield* attentionAt(now, this.#options.plugins) : undefined;
    const asked = wish && (yield* wish());
    if (late && [job, asked].some((at) => at !== undefined && at <= now)) return now;
    const instants: number[] = [];
    if (job !== undefined) instants.push(job > now ? job : now + GUARD_MS);
    // Due work is already being done while the alarm handler runs, so it needs only the guard.
    if (asked !== undefined) instants.push(asked > now ? asked : now + (this.#ringing ? GUARD_MS : 1));
    return instants.length > 0 ? Math.min(...instants) : undefined;
  }
}

/**
 * Returns whether the object's class has no `alarm()`. Sets an alarm in a transaction and rolls back, which costs
 * nothing. Outside of a transaction, `setAlarm` would reject only after the add has returned.
 */
async function isImpossible(storage: AlarmStorage): Promise<boolean> {
  return storage.transaction(async (txn) => {
    txn.rollback();
    try {
      await txn.setAlarm(LAST_ALARM);
      return false;
    } catch (error) {
      return String(error).includes("must have an alarm() handler");
    }
  });
}

/**
 * The time at which an alarm is needed, in ms since epoch. `soon`, `late`: see `rearm`. Undefined: must be read from
 * the store.
 */
type Need = "soon" | "late" | number | undefined;
type Arm = (need: Need) => Program<true | undefined>;

/**
 * Runs a program. If it has written durable records, calls `arm` with the earliest time at which they need an alarm.
 */
function* guarded<T>(program: Program<T>, now: number, plugins: Plugins, arm: Arm): Program<T> {
  let wrote = false;
  let next: number | undefined = Number.POSITIVE_INFINITY;
  let step = program.next();
  while (!step.done) {
    for (const operation of isOperation(step.value) ? [step.value] : step.value) {
      if (!writes(operation)) continue;
      wrote = true;
      const at = attentionOf(operation, now, plugins);
      next = at === undefined || next === undefined ? undefined : Math.min(next, at);
    }
    step = program.next(yield step.value);
  }
  if (wrote) yield* arm(next);
  return step.value;
}

const writes = ({ op, collection }: Operation): boolean =>
  op !== "get" && op !== "scan" && !COLLECTIONS[collection].derived;
