import {
  attentionAt,
  type Change,
  type Clock,
  COLLECTIONS,
  isOperation,
  type Program,
  type Step,
  type Store,
} from "@quayside/core";
import type { SqlStore } from "./sql-store.ts";

/**
 * How long after a job falls due the alarm rings for it. The object begins at once by itself: the alarm is for when it
 * dies before, and one then covers all the jobs of these seconds (each `setAlarm` is a billed row).
 */
const GUARD_MS = 10_000;

/** An alarm that is this late is taken for lost: while an object is moved, one may be up to a minute late. */
const LOST_AFTER_MS = 90_000;

/**
 * A store that keeps the object's alarm in step with what it holds: every program that writes ends by arming it, in the
 * same transaction, so a job is never stored without what will wake the object for it. It is armed only for something
 * earlier than what it is armed for: an alarm that rings in vain costs less than one that is set again and again.
 *
 * @example
 * const store = new DurableAlarm(new SqlStore(ctx.storage), ctx.storage, systemClock);
 * await store.start();
 */
export class DurableAlarm implements Store {
  readonly #store: SqlStore;
  readonly #storage: Pick<DurableObjectStorage, "getAlarm" | "setAlarm">;
  readonly #clock: Clock;
  #armedAt: number | undefined;
  /** What the alarm that is being dealt with was armed for. */
  #rangAt: number | undefined;
  #ringing = false;
  #alarmsSet = 0;

  constructor(store: SqlStore, storage: Pick<DurableObjectStorage, "getAlarm" | "setAlarm">, clock: Clock) {
    this.#store = store;
    this.#storage = storage;
    this.#clock = clock;
  }

  /** Learns what is armed, and arms what should be and is not. Once, in the object's constructor. */
  async start(): Promise<void> {
    this.#armedAt = (await this.#storage.getAlarm()) ?? undefined;
    this.rearm();
  }

  async transact<T>(start: () => Program<T>): Promise<T> {
    return this.#run((arm) => guarded(start(), arm));
  }

  /** Arms for what the store holds now. `soon`: whatever it holds, as soon as possible. */
  rearm(soon = false): void {
    this.#run((arm) => arm(soon));
  }

  /** How often an alarm was set, each a row written. */
  get alarmsSet(): number {
    return this.#alarmsSet;
  }

  /** Arms anew when the alarm should have rung long ago: alarms are said to be sure, and have been seen missing. */
  heal(): void {
    if (this.#ringing || this.#armedAt === undefined || this.#clock.now() <= this.#armedAt + LOST_AFTER_MS) return;
    this.#armedAt = undefined;
    this.rearm(true);
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

  #run<T>(start: (arm: Arm) => Program<T>): T {
    // Read before the program reads it: what the program takes for future is then future here too, and gets its alarm.
    const now = this.#clock.now();
    let armed = this.#armedAt;
    const result = this.#store.run(() => start((soon) => this.#arm(now, soon, (instant) => (armed = instant))));
    // After the commit (R3) and in its own turn, so that no other program has run on the older memory.
    if (armed !== this.#armedAt) this.#alarmsSet++;
    this.#armedAt = armed;
    return result;
  }

  *#arm(now: number, soon: boolean, set: (instant: number) => void): Program<void> {
    const needed = soon ? now + 1 : yield* attentionAt(now);
    if (needed === undefined) return;
    let instant = needed > now ? needed : now + GUARD_MS;
    // Set for the very instant of the ring that is going on, it could count as rung.
    if (instant === this.#rangAt) instant++;
    if (this.#armedAt !== undefined && this.#armedAt <= instant) return;
    // Not awaited: it belongs to the transaction that is open, and is undone with it.
    void this.#storage.setAlarm(instant);
    set(instant);
  }
}

type Arm = (soon: boolean) => Program<void>;

/** The program, and if it wrote anything that lasts, the arming of the alarm. */
function* guarded<T>(program: Program<T>, arm: Arm): Program<T> {
  let wrote = false;
  let step = program.next();
  while (!step.done) {
    wrote ||= writes(step.value);
    step = program.next(yield step.value);
  }
  if (wrote) yield* arm(false);
  return step.value;
}

const writes = (step: Step): boolean =>
  (isOperation(step) ? [step] : step).some(
    ({ op, collection }) => op !== "get" && op !== "scan" && !COLLECTIONS[collection].derived,
  );
