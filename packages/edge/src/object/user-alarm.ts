import { type Clock, QuaysideError } from "@quayside/core";
import { getCell, kind, type Program, putCells, removeCells } from "@quayside/core/engine";
import { LAST_ALARM } from "./durable-alarm.ts";
import type { Transactions } from "./user-transactions.ts";

/**
 * Number of times that a failed alarm handler is called again: six, first after 2 s, then doubled, as Cloudflare does.
 */
const RETRIES = 6;
const FIRST_RETRY_MS = 2_000;

/** The argument of an alarm handler, as Cloudflare passes it. */
export interface AlarmInfo {
  readonly isRetry: boolean;
  readonly retryCount: number;
  /** The time for which the alarm or its retry was set, in ms since epoch. */
  readonly scheduledTime: number;
}

/** A handler of the user's alarm. */
export type AlarmHandler = (info: AlarmInfo) => unknown;

/** The alarm that the object's own code has set, as stored. */
export interface AlarmWish {
  /** Time of the alarm, in ms since epoch. */
  readonly at: number;
  /** Distinguishes this alarm from one that replaced it. */
  readonly tag: string;
  /** Number of times that its handler has failed. */
  readonly failures: number;
}

/** The kind of the record of the user's alarm. There is one record, with an empty name. */
const ALARM = kind<AlarmWish>("alarm");

/** Returns the time of the user's alarm, or undefined if none is set. */
export function* wishedAt(): Program<number | undefined> {
  return (yield* getCell(ALARM, ""))?.at;
}

export interface UserAlarmOptions {
  readonly clock: Clock;
  /** Runs a program synchronously, and sets the object's alarm if the records that it writes need it. */
  readonly run: <T>(start: () => Program<T>) => T;
  /**
   * Checks that an alarm can be set.
   *
   * @throws {QuaysideError} if the object's class has no `alarm()`.
   */
  readonly check: () => void;
  /** Resolves when all written records are on disk. */
  readonly sync: () => Promise<void>;
  /** Transactions of the object's own code. */
  readonly transactions: Transactions;
  readonly report: (error: unknown) => void;
}

/**
 * The user's own alarm in an object with queues. Stored as a record; the platform's one alarm is set to the earliest
 * time that the user or a job needs. The handler runs at least once: before each call, the next retry is stored on
 * disk, and the record is deleted when the handler has returned or after six failed retries.
 */
export class UserAlarm {
  readonly #options: UserAlarmOptions;
  /** Tag of the alarm whose handler runs now; undefined if none does. */
  #running: string | undefined;
  #look: () => void = () => {};

  constructor(options: UserAlarmOptions) {
    this.#options = options;
  }

  /** Returns the time of the alarm; null if none is set, or while its handler runs and has not set it again. */
  get(): number | null {
    const wish = this.#wish();
    return wish && wish.tag !== this.#running ? wish.at : null;
  }

  /** The time of the alarm; `Infinity` if none is set, or if it cannot be read. */
  get at(): number {
    try {
      return this.get() ?? Number.POSITIVE_INFINITY;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }

  set(at: number | Date): void {
    const instant = typeof at === "number" ? at : at instanceof Date ? at.getTime() : Number.NaN;
    if (!Number.isFinite(instant) || instant < 0 || instant > LAST_ALARM)
      throw new QuaysideError(
        "invalid_option",
        `An alarm is set for ms since epoch or a valid Date, before 2190, got ${typeof at === "number" || at instanceof Date ? at : `a ${typeof at}`}.`,
        { option: "at" },
      );
    this.#options.check();
    this.#put({ at: Math.floor(instant), tag: crypto.randomUUID(), failures: 0 });
    this.#options.transactions.afterCommit(() => this.#look());
  }

  delete(): void {
    this.#options.run(() => removeCells(ALARM, [""]));
  }

  /**
   * Calls `handler` if the alarm is due, at most once. Resolves when the handler has returned or `over` has settled,
   * with whether the handler was called.
   */
  async ring(handler: AlarmHandler | undefined, over: Promise<unknown>): Promise<boolean> {
    const { clock, report, sync, transactions } = this.#options;
    const wish = this.#wish();
    if (!wish || wish.at > clock.now()) return false;
    const { failures, tag } = wish;
    if (failures > RETRIES) {
      this.#replace(tag, undefined);
      report(
        new QuaysideError(
          "interrupted",
          `The object ended ${failures} times while its alarm handler ran; the handler is not called again for this alarm.`,
        ),
      );
      return false;
    }
    this.#running = tag;
    try {
      this.#replace(tag, this.#again(wish));
      await sync();
      const info = { isRetry: failures > 0, retryCount: failures, scheduledTime: wish.at };
      await Promise.race([call(handler, info), over.then(tooLong)]);
      await transactions.ended();
      this.#replace(tag, undefined);
    } catch (error) {
      report(error);
      await transactions.ended();
      this.#replace(tag, failures < RETRIES ? this.#again(wish) : undefined);
    } finally {
      this.#running = undefined;
    }
    return true;
  }

  /** Returns a promise that resolves when the user's alarm is due, and a function that cancels the wait. */
  awaitDue(): { readonly due: Promise<void>; readonly cancel: () => void } {
    const { clock } = this.#options;
    let cancelTimer: () => void = () => {};
    const due = new Promise<void>((resolve) => {
      this.#look = () => {
        cancelTimer();
        const wish = this.#wish();
        if (!wish) return;
        if (wish.at <= clock.now()) resolve();
        else cancelTimer = clock.after(wish.at - clock.now(), this.#look);
      };
      this.#look();
    });
    const cancel = () => {
      cancelTimer();
      this.#look = () => {};
    };
    return { due, cancel };
  }

  /** Returns the alarm with the time of its next retry. Stored before the handler is called, in case it fails. */
  #again(wish: AlarmWish): AlarmWish {
    const { failures } = wish;
    return { ...wish, at: this.#options.clock.now() + FIRST_RETRY_MS * 2 ** failures, failures: failures + 1 };
  }

  /** Replaces or deletes the stored alarm, unless the handler has set or deleted it itself. */
  #replace(tag: string, by: AlarmWish | undefined): void {
    this.#options.run(function* () {
      if ((yield* getCell(ALARM, ""))?.tag !== tag) return;
      if (by) yield* putCells(ALARM, [["", by]]);
      else yield* removeCells(ALARM, [""]);
    });
  }

  #wish(): AlarmWish | undefined {
    return this.#options.run(() => getCell(ALARM, ""));
  }

  #put(wish: AlarmWish): void {
    this.#options.run(() => putCells(ALARM, [["", wish]]));
  }
}

async function call(handler: AlarmHandler | undefined, info: AlarmInfo): Promise<void> {
  if (!handler)
    throw new QuaysideError(
      "invalid_option",
      "An alarm was set with setAlarm(), but alarm() was given no function to call for it.",
      { option: "alarm" },
    );
  await handler(info);
}

function tooLong(): never {
  throw new QuaysideError("timeout", "The alarm handler did not return within 14 minutes.");
}
