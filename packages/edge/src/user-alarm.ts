import {
  type AlarmWish,
  type Clock,
  getCell,
  kind,
  type Program,
  putCells,
  QuaysideError,
  removeCells,
} from "@quayside/core";

/** As Cloudflare repeats an alarm whose handler throws: six times, after 2 s, then twice that, and so on. */
const RETRIES = 6;
const FIRST_RETRY_MS = 2_000;

/** What an alarm's handler is told, as Cloudflare tells it. */
export interface AlarmInfo {
  readonly isRetry: boolean;
  readonly retryCount: number;
  /** The instant it was set for, or set to be tried again at: ms since epoch. */
  readonly scheduledTime: number;
}

export type AlarmHandler = (info: AlarmInfo) => unknown;

const ALARM = kind("alarm");

/** When the user's alarm is to ring; undefined when there is none. */
export function* wishedAt(): Program<number | undefined> {
  return (yield* getCell(ALARM, ""))?.at;
}

export interface UserAlarmOptions {
  readonly clock: Clock;
  /** Runs a program at once, and arms the object's alarm for what it wrote. */
  readonly run: <T>(start: () => Program<T>) => T;
  readonly report: (error: unknown) => void;
}

/**
 * The alarm that an object's user would have if there were no queue in it. It is a record of its own: the one alarm that
 * the platform gives to an object is armed for whatever comes first. At least once: the record goes when its handler has
 * returned, and stays, for a later instant, when it threw.
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
    const instant = typeof at === "number" ? at : at.getTime();
    if (!Number.isFinite(instant) || instant < 0)
      throw new QuaysideError("invalid_option", `An alarm is set for ms since epoch or a valid Date, got ${at}.`, {
        option: "at",
      });
    this.#put({ at: Math.floor(instant), tag: crypto.randomUUID(), failures: 0 });
    this.#looked();
  }

  delete(): void {
    this.#options.run(() => removeCells(ALARM, [""]));
    this.#looked();
  }

  /** Calls `handler` for what falls due, until `over` has settled and nothing is due. */
  async ring(handler: AlarmHandler | undefined, over: Promise<unknown>): Promise<void> {
    const { clock } = this.#options;
    let ending = false;
    const end = () => {
      ending = true;
      this.#look();
    };
    void over.then(end, end);
    for (;;) {
      const looked = new Promise<void>((resolve) => {
        this.#look = resolve;
      });
      const wish = this.#wish();
      if (wish && wish.at <= clock.now()) await this.#call(wish, handler);
      else if (ending) return;
      else {
        const cancel = wish && clock.after(wish.at - clock.now(), this.#look);
        await looked;
        cancel?.();
      }
    }
  }

  async #call(wish: AlarmWish, handler: AlarmHandler | undefined): Promise<void> {
    const { failures, at } = wish;
    this.#running = wish.tag;
    try {
      if (!handler)
        throw new QuaysideError(
          "invalid_option",
          "An alarm was set with setAlarm(), but alarm() was given no function to call for it.",
          { option: "alarm" },
        );
      await handler({ isRetry: failures > 0, retryCount: failures, scheduledTime: at });
      this.#replace(wish, undefined);
    } catch (error) {
      this.#options.report(error);
      const again = { ...wish, at: this.#options.clock.now() + FIRST_RETRY_MS * 2 ** failures, failures: failures + 1 };
      this.#replace(wish, failures < RETRIES ? again : undefined);
    } finally {
      this.#running = undefined;
    }
  }

  /** Unless the handler has set or deleted the alarm itself: that is then what holds, as it is on the platform. */
  #replace(wish: AlarmWish, by: AlarmWish | undefined): void {
    this.#options.run(function* () {
      if ((yield* getCell(ALARM, ""))?.tag !== wish.tag) return;
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

  /** In a turn of its own: the transaction in which it changed may yet be undone. */
  #looked(): void {
    queueMicrotask(() => this.#look());
  }
}
