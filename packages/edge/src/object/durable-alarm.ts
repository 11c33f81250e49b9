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
 * How long after a job falls due the alarm rings for it. The object begins at once by itself: the alarm is for when it
 * dies before, and one then covers all the jobs of these seconds (each `setAlarm` is a billed row).
 */
const GUARD_MS = 10_000;

/** An alarm that is this late is taken for lost: while an object is moved, one may be up to a minute late. */
const LOST_AFTER_MS = 90_000;

/** The last instant that Cloudflare takes for an alarm: it refuses dates after 2189. */
export const LAST_ALARM = Date.UTC(2190, 0, 1) - 1;

type AlarmStorage = Pick<DurableObjectStorage, "getAlarm" | "setAlarm" | "transaction">;

export interface DurableAlarmOptions {
  readonly clock: Clock;
  readonly plugins: Plugins;
  /** Whether the object works its jobs, so that they need it awake: asked each time. */
  readonly works: () => boolean;
  /** Returns the instant of the user's own alarm: see `UserAlarm`. */
  readonly wish?: () => Program<number | undefined>;
}

/**
 * A store that keeps the object's alarm in step with what it holds: every program that writes ends by arming it, in the
 * same transaction, so a job is never stored without what will wake the object for it. It is armed only for something
 * earlier than what it is armed for: an alarm that rings in vain costs less than one that is set again and again.
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
  /** The instant for which the alarm that runs now was set. */
  #rangAt: number | undefined;
  #ringing = false;
  #alarmsSet = 0;
  #undone = 0;
  /** The object's class has no `alarm()`: setting one is refused. */
  #impossible = false;

  constructor(store: SqlStore, storage: AlarmStorage, options: DurableAlarmOptions) {
    this.#store = store;
    this.#storage = storage;
    this.#options = options;
  }

  /** Learns what is armed, and arms what should be and is not. Once, in the object's constructor. */
  async start(): Promise<void> {
    await this.heal();
    this.rearm();
  }

  /** Finds out whether the object's class has `alarm()`. No event reaches the object before it has. */
  async probe(): Promise<void> {
    this.#impossible = await isImpossible(this.#storage);
  }

  /**
   * Refuses what would be stored without anything to wake the object for it (R3b).
   *
   * @param at the instant for which it would be needed.
   * @throws {QuaysideError} `invalid_option` when the object's class has no `alarm()`, or the instant is after 2189.
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

  /** `transact`, at once: see `SqlStore.run`. */
  run<T>(start: () => Program<T>): T {
    return this.#run((arm, now) => guarded(start(), now, this.#options.plugins, arm));
  }

  /**
   * Arms for what the store holds now. `soon`: whatever it holds, as soon as possible. `late`: no earlier either, when it
   * is armed as a guard for jobs that have ended since. Where nothing is needed, or a job is due, an alarm that is set stays.
   */
  rearm(how?: "soon" | "late"): void {
    this.#run((arm) => arm(how));
  }

  /** How often an alarm was set, each a row written. */
  get alarmsSet(): number {
    return this.#alarmsSet;
  }

  /**
   * Sets the alarm again when its instant is not the expected one or is long past: alarms are guaranteed, but have been
   * missing in practice. Reading the alarm takes a few microseconds and is not billed.
   */
  async heal(): Promise<void> {
    if (this.#ringing) return;
    const { clock } = this.#options;
    const remembered = this.#armedAt;
    const sets = this.#alarmsSet;
    const armedAt = (await this.#storage.getAlarm()) ?? undefined;
    // What was read is older than what happened meanwhile.
    if (this.#ringing || sets !== this.#alarmsSet || remembered !== this.#armedAt) return;
    const lost = armedAt !== undefined && clock.now() > armedAt + LOST_AFTER_MS;
    if (!lost && armedAt === remembered) return;
    this.#armedAt = lost ? undefined : armedAt;
    this.rearm(lost ? "soon" : undefined);
  }

  /** The alarm has gone off: nothing is armed any more. Call what it returns when all is done. */
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
    // Read before the program reads it: what the program takes for future is then future here too, and gets its alarm.
    const now = this.#options.clock.now();
    let armed: number | undefined;
    const result = this.#store.run(() => {
      this.#forgetUndone();
      armed = this.#armedAt;
      return start((need) => this.#arm(now, need, (instant) => (armed = instant)), now);
    });
    // After the commit (R3) and in its own turn, so that no other program has run on the older memory.
    if (armed !== this.#armedAt) this.#alarmsSet++;
    this.#armedAt = armed;
    return result;
  }

  /**
   * Discards the cached instant when a program was undone: its alarm was undone with it, so the next program reads all.
   */
  #forgetUndone(): void {
    const { undone } = this.#store;
    if (undone === this.#undone) return;
    this.#undone = undone;
    this.#armedAt = undefined;
  }

  *#arm(now: number, need: Need, set: (instant: number) => void): Program<void> {
    // What is due by now is guarded already, and nothing that was written falls due before that guard rings: no need to look.
    if (typeof need === "number") {
      if (!this.#options.works()) return;
      if (this.#armedAt !== undefined && this.#armedAt <= Math.min(need, now + GUARD_MS)) return;
    }
    // `check` refuses adds; jobs that were stored before must not make other writes fail.
    if (this.#impossible) return;
    let instant = need === "soon" ? now + 1 : yield* this.#needed(now, need === "late");
    if (instant === undefined) return;
    // Set for the very instant of the ring that is going on, it could count as rung.
    if (instant === this.#rangAt) instant++;
    instant = Math.min(instant, LAST_ALARM);
    const armedAt = this.#armedAt ?? Number.POSITIVE_INFINITY;
    if (need === "late" ? armedAt === instant : armedAt <= instant) return;
    // Not awaited: it belongs to the transaction that is open, and is undone with it.
    void this.#storage.setAlarm(instant);
    set(instant);
  }

  *#needed(now: number, late: boolean): Program<number | undefined> {
    const { works, wish } = this.#options;
    const job = works() ? yield* attentionAt(now, this.#options.plugins) : undefined;
    const asked = wish && (yield* wish());
    // A job that fell due since the last look keeps its alarm.
    if (late && [job, asked].some((at) => at !== undefined && at <= now)) return undefined;
    const instants: number[] = [];
    if (job !== undefined) instants.push(job > now ? job : now + GUARD_MS);
    // What is due while the alarm rings is being seen to: it needs a guard alone.
    if (asked !== undefined) instants.push(asked > now ? asked : now + (this.#ringing ? GUARD_MS : 1));
    return instants.length > 0 ? Math.min(...instants) : undefined;
  }
}

/**
 * Whether the class lacks `alarm()`. Nothing answers that at once, and `setAlarm` rejects later than an add returns. In a
 * transaction that is rolled back it sets nothing and costs nothing, and is refused for one reason or the other.
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

/** The first instant at which the alarm is needed; undefined: read the store to find it. See `rearm`. */
type Need = "soon" | "late" | number | undefined;
type Arm = (need: Need) => Program<void>;

/** The program, and if it wrote anything that lasts, the arming of the alarm. */
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
