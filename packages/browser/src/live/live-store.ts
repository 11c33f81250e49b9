import { type Clock, systemClock } from "@quayside/core";
import { lent } from "@quayside/core/engine";
import { shareStructure } from "./structural-sharing.ts";

/** The state of a value that is read again after changes. A failure keeps the last value, which may be shown as old. */
export type LiveState<T> =
  | { readonly status: "loading"; readonly value?: undefined; readonly error?: undefined }
  | { readonly status: "ready"; readonly value: T; readonly error?: undefined }
  | { readonly status: "failed"; readonly value?: T; readonly error: unknown };

/**
 * A value that is read again after changes to a queue, whichever tab or worker made them. It is read only while it has
 * a subscriber.
 *
 * It is a readable store by the contract of Svelte (`$counts` works), and its `subscribe` and `getSnapshot` are what
 * React's `useSyncExternalStore` takes.
 */
export interface Live<T> {
  /**
   * Calls back with the state at once and after each change of it. Returns a function that ends the subscription.
   * Without subscribers nothing is read, watched or timed.
   */
  readonly subscribe: (listener: (state: LiveState<T>) => void) => () => void;
  /**
   * Returns the state: the same object until something in it changes. Parts that did not change keep their identity.
   */
  readonly getSnapshot: () => LiveState<T>;
  /** Reads again, as after a change: for a button beside an error. Does nothing without a subscriber. */
  readonly refresh: () => void;
}

/** Options of a live value. */
export interface LiveOptions {
  /** For tests: a clock that is moved by hand. */
  readonly clock?: Clock | undefined;
}

/** Where a live value comes from. */
export interface LiveSource<T> {
  read(): Promise<T>;
  /** Calls back when what `read` answers may have changed. */
  watch(listener: () => void): () => void;
  /** The instant at which `value` changes by time alone. */
  changesAt(value: T): number | undefined | Promise<number | undefined>;
}

/**
 * Least time between the end of a read and the next, in ms: a worker at full speed makes hundreds of changes per
 * second.
 */
const REST_MS = 50;

/** Least time, in ms, before a read for a change by time: the clock of the storage may be behind this one. */
const LEAST_WAIT_MS = 250;

const LOADING = { status: "loading" } as const;

/** Before the first read, and on a server, which reads nothing. */
export const loading = (): LiveState<never> => LOADING;

/** Reads from its source, one read at a time. Any number of changes during a read cause one more. */
export class LiveStore<T> implements Live<T> {
  readonly #source: LiveSource<T>;
  readonly #clock: Clock;
  readonly #listeners = new Set<() => void>();
  #state: LiveState<T> = LOADING;
  #reading = false;
  /** Something may have changed since the last read began. */
  #wanted = false;
  #restsUntil = Number.NEGATIVE_INFINITY;
  #stopWatching: (() => void) | undefined;
  #stopReturn: (() => void) | undefined;
  /** A listener may call `refresh` while a failure is reported; that call must not open the value again, or it would loop. */
  #opening = false;
  #stopTimer: () => void = () => {};

  constructor(source: LiveSource<T>, { clock = systemClock }: LiveOptions) {
    this.#source = source;
    this.#clock = clock;
  }

  // Bound, as all three are: they are passed on by themselves.
  readonly getSnapshot = (): LiveState<T> => this.#state;

  readonly subscribe = (listener: (state: LiveState<T>) => void): (() => void) => {
    // Its own function for each call, so that the same listener may subscribe twice.
    const own = () => listener(this.#state);
    const leave = () => {
      if (this.#listeners.delete(own) && this.#listeners.size === 0) this.#close();
    };
    this.#listeners.add(own);
    this.#open();
    try {
      own();
    } catch (error) {
      // The caller gets no function with which to stop it.
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
   * Begins to watch while there are listeners. A source that cannot be watched has failed; the next listener, `refresh`
   * or return to the page tries again.
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

  /** Not at once: all that happens in this turn, a first listener that leaves and comes again too, is one read. */
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
    // One listener's mistake is not the others'.
    for (const listener of [...this.#listeners]) lent(listener);
  }
}

/** Calls back when a page was frozen or in the back/forward cache: it received no change meanwhile. */
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
