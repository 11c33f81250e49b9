import { type Clock, systemClock } from "@quayside/core";
import { lent } from "@quayside/core/engine";
import { shareStructure } from "./structural-sharing.ts";

/** The state of a live value: loading, read, or failed. After a failed read, it has the error and the last value. */
export type LiveState<T> =
  | { readonly status: "loading"; readonly value?: undefined; readonly error?: undefined }
  | { readonly status: "ready"; readonly value: T; readonly error?: undefined }
  | { readonly status: "failed"; readonly value?: T | undefined; readonly error: unknown };

/**
 * A value, such as a queue's counts, that is read again after changes of the queue in any tab or worker. It is only
 * read while it has subscribers.
 *
 * Implements Svelte's store contract (`$counts` works); `subscribe` and `getSnapshot` are the arguments of React's
 * `useSyncExternalStore`.
 */
export interface Live<T> {
  /**
   * Calls the listener with the state immediately and after each change. Returns a function that ends the subscription.
   * Without subscribers, nothing is read, watched or timed.
   */
  readonly subscribe: (listener: (state: LiveState<T>) => void) => () => void;
  /**
   * Returns the current state: the same object until the state changes. Parts of the value that did not change keep
   * their identity.
   */
  readonly getSnapshot: () => LiveState<T>;
  /** Reads the value again, for example for a button beside an error. Does nothing without subscribers. */
  readonly refresh: () => void;
}

/** Options of a live value. */
export interface LiveOptions {
  /** The clock, for tests. Default: the system clock. */
  readonly clock?: Clock | undefined;
}

/** The source of a live value. */
export interface LiveSource<T> {
  read(): Promise<T>;
  /** Calls the listener when the result of `read` may have changed. */
  watch(listener: () => void): () => void;
  /** Returns the time at which `value` changes without a write, or undefined. */
  changesAt(value: T): number | undefined | Promise<number | undefined>;
}

/** Shortest pause between two reads, in ms, because a busy worker makes hundreds of changes per second. */
const REST_MS = 50;

/**
 * Shortest wait before a read at the time given by `changesAt`, in ms, because the storage's clock may be behind this
 * one.
 */
const LEAST_WAIT_MS = 250;

const LOADING = { status: "loading" } as const;

/** Returns the state before the first read. On a server, where nothing is read, it stays the state. */
export const loading = (): LiveState<never> => LOADING;

/** A live value of a source. Runs one read at a time; changes during a read cause one more read after it. */
export class LiveStore<T> implements Live<T> {
  readonly #source: LiveSource<T>;
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #state: LiveState<T> = LOADING;
  #reading = false;
  /** Whether the value may have changed since the last read began. */
  #wanted = false;
  #restsUntil = Number.NEGATIVE_INFINITY;
  #stopWatching: (() => void) | undefined;
  #stopReturn: (() => void) | undefined;
  /**
   * Whether a call of `watch` of the source runs now. Prevents a loop if a listener calls `refresh` while an error is
   * reported.
   */
  #opening = false;
  #stopTimer: () => void = () => {};

  constructor(source: LiveSource<T>, { clock = systemClock }: LiveOptions) {
    this.#source = source;
    this.#clock = clock;
  }

  // Bound functions, because they are passed on without their object.
  readonly getSnapshot = (): LiveState<T> => this.#state;

  readonly subscribe = (listener: (state: LiveState<T>) => void): (() => void) => {
    // A function per call, so that the same listener may subscribe twice.
    const own = () => listener(this.#state);
    const leave = () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#close();
    };
    this.#listeners.add(own);
    this.#open();
    try {
      own();
    } catch (error) {
      // The caller gets no function with which to unsubscribe.
      leave();
      throw error;
    }
    return leave;
  };

  readonly refresh = (): void => {
    if (!this.#stopWatching) this.#open();
    else if (!this.#wanted) {
      this.#wanted = true;
      this.#schedule();
    }
  };

  /**
   * Starts watching while there are listeners. If the source cannot be watched, the next listener, `refresh` or return
   * to the page tries again.
   */
  #open(): void {
    if (this.#stopWatching || this.#opening || this.#listeners.size === 0) return;
    this.#opening = true;
    this.#stopReturn ??= onReturn(this.refresh);
    try {
      this.#stopWatching = this.#source.watch(this.refresh);
    } catch (error) {
      this.#tell(this.#failed(error));
      return;
    } finally {
      this.#opening = false;
    }
    this.refresh();
  }

  #close(): void {
    const stop = this.#stopWatching;
    this.#stopWatching = undefined;
    this.#stopTimer();
    this.#wanted = false;
    this.#stopReturn?.();
    this.#stopReturn = undefined;
    stop?.();
  }

  #failed(error: unknown): LiveState<T> {
    const { value } = this.#state;
    return { status: "failed", ...(value !== undefined && { value }), error };
  }

  /** Schedules a read in a later task, so that several changes in one task cause one read. */
  #schedule(): void {
    this.#stopTimer();
    const ms = this.#restsUntil - this.#clock.monotonic();
    if (ms > 0) this.#stopTimer = this.#clock.after(ms, () => void this.#read());
    else queueMicrotask(() => void this.#read());
  }

  async #read(): Promise<void> {
    if (!this.#wanted || this.#reading) return;
    this.#wanted = false;
    this.#reading = true;
    let changesAt: number | undefined;
    let next: LiveState<T>;
    try {
      const value = await this.#source.read();
      changesAt = await this.#source.changesAt(value);
      next = { status: "ready", value };
    } catch (error) {
      next = this.#failed(error);
    }
    this.#reading = false;
    this.#restsUntil = this.#clock.monotonic() + REST_MS;
    if (!this.#stopWatching) return;
    if (this.#wanted) this.#schedule();
    else if (changesAt !== undefined) this.#awaitChange(changesAt);
    this.#tell(next);
  }

  #awaitChange(instant: number): void {
    const ms = Math.max(LEAST_WAIT_MS, instant - this.#clock.now());
    this.#stopTimer = this.#clock.after(ms, this.refresh);
  }

  #tell(next: LiveState<T>): void {
    const state = shareStructure(this.#state, next);
    if (state === this.#state) return;
    this.#state = state;
    // An error of one listener does not affect the others.
    for (const listener of [...this.#listeners]) lent(listener);
  }
}

/** Calls the listener when a page leaves the back/forward cache or a frozen state, in which it missed changes. */
function onReturn(listener: () => void): () => void {
  if (typeof document === "undefined") return () => {};
  const look = () => {
    if (document.visibilityState === "visible") listener();
  };
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pageshow", look);
  return () => {
    document.removeEventListener("visibilitychange", look);
    window.removeEventListener("pageshow", look);
  };
}
