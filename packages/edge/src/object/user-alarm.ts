import { type Clock, QuaysideError } from "@quayside/core";
import { getCell, kind, type Program, putCells, removeCells } from "@quayside/core/engine";
import { LAST_ALARM } from "./durable-alarm.ts";
import type { Transactions } from "./user-transactions.ts";

/** As Cloudflare repeats an alarm whose handler throws: six times, after 2 s, then twice that, and so on. */
const RETRIES = 6;
const FIRST_RETRY_MS = 2_000;

/** The argument of an alarm's handler, as Cloudflare passes it. */
export interface AlarmInfo {
  readonly isRetry: boolean;
  readonly retryCount: number;
  /** The instant it was set for, or set to be tried again at: ms since epoch. */
  readonly scheduledTime: number;
}

/** Handles an alarm that the object's own code asked for. */
export type AlarmHandler = (info: AlarmInfo) => unknown;

/** An alarm that the object's own code asked for. */
export interface AlarmWish {
  /** Ms since epoch. */
  readonly at: number;
  /** Tells this wish from one that took its place. */
  readonly tag: string;
  /** How often its handler has failed. */
  readonly failures: number;
}

/** One, without a name. */
const ALARM = kind<AlarmWish>("alarm");

/** When the user's alarm is to ring; undefined when there is none. */
export function* wishedAt(): Program<number | undefined> {
  return (yield* getCell(ALARM, ""))?.at;
}

export interface UserAlarmOptions {
  readonly clock: Clock;
  /** Runs a program at once, and arms the object's alarm for what it wrote. */
  readonly run: <T>(start: () => Program<T>) => T;
  /** @throws {QuaysideError} where no alarm can be set. */
  readonly check: () => void;
  /** Resolves when all that was written is on disk. */
  readonly sync: () => Promise<void>;
  /** Those of the object's own code. */
  readonly transactions: Transactions;
  readonly report: (error: unknown) => void;
}

/**
 * The alarm that an object's user would have if there were no queue in it. It is a record of its own: the one alarm that
 * the platform gives to an object is armed for whatever comes first. At least once: each try is counted, and the next one
 * placed, on disk before the handler is called; the record goes when the handler has returned. After six retries that
 * threw, or that ended with their object, it goes, too.
 */
export class UserAlarm {
  readonly #options: UserAlarmOptions;
  /** Tag of the wish whose handler runs. */
  #running: string | undefined;
  #look: () => void = () => {};

  constructor(options: UserAlarmOptions) {
    this.#options = options;
  }

  /** As the platform's own: null when none is set, or it is ringing and was not set again. */
  get(): number | null {
    const wish = this.#wish();
    return wish && wish.tag !== this.#running ? wish.at : null;
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
   * Calls `handler` if the alarm is due: once, however often it sets it to now. Resolves when it has returned, or `over`
   * has settled. Answers whether it was called.
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

  /** Resolves when it is due, until `cancel` is called. */
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

  /** The next try of it, where this one does not come to its end. */
  #again(wish: AlarmWish): AlarmWish {
    const { failures } = wish;
    return { ...wish, at: this.#options.clock.now() + FIRST_RETRY_MS * 2 ** failures, failures: failures + 1 };
  }

  /** Unless the handler has set or deleted the alarm itself: that is then what holds, as it is on the platform. */
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
