/** Time and timers. Tests pass `createManualClock()` from `@quayside/testing`. */
export interface Clock {
  /** Returns the ms since epoch. May jump in both directions. */
  now(): number;
  /** Returns ms from any origin that never decrease. */
  monotonic(): number;
  /** Calls `run` once after `ms` (at least 0). Returns a function that cancels the call. */
  after(ms: number, run: () => void): () => void;
  /** Resolves in a later task of the event loop, so that timers, I/O and other tasks run before. */
  nextTask(): Promise<void>;
}

/** Longest delay of `setTimeout`, in ms (2^31 − 1). A longer one fires at once (HTML standard). */
const LONGEST_TIMER_MS = 2_147_483_647;

/** Globals that start a task of the event loop, on the platforms that have them. */
interface TaskGlobals {
  /** Exists only on Node. */
  readonly setImmediate?: (run: () => void) => unknown;
  /** Exists only in browsers. */
  readonly document?: unknown;
  readonly importScripts?: unknown;
  readonly MessageChannel?: new () => { readonly port1: TaskPort; readonly port2: TaskPort };
}

interface TaskPort {
  onmessage: (() => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

/**
 * Functions of the platform that start a task. Read when the module loads, so that a test's fake timers do not affect
 * workers.
 */
const { setImmediate, document, importScripts, MessageChannel } = globalThis as unknown as TaskGlobals;

/** Resolves in a later task as fast as the platform allows: a timer of 0 ms takes 4 ms in browsers and 1 ms on Node. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    if (setImmediate) setImmediate(resolve);
    else if (MessageChannel && (document ?? importScripts)) {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(undefined);
    } else setTimeout(resolve, 0);
  });
}

/** The clock of the platform. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run) {
    let timer: ReturnType<typeof setTimeout>;
    const arm = (left: number) => {
      const step = Math.min(left, LONGEST_TIMER_MS);
      timer = setTimeout(() => (left > step ? arm(left - step) : run()), step);
    };
    arm(Math.max(0, ms));
    return () => clearTimeout(timer);
  },
  nextTask,
};

/** A timer that calls one function. Starting it again replaces the earlier start. */
export class Timer {
  readonly #clock: Clock;
  #stop: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get armed(): boolean {
    return this.#stop !== undefined;
  }

  arm(ms: number, run: () => void): void {
    this.disarm();
    this.#stop = this.#clock.after(ms, () => {
      this.#stop = undefined;
      run();
    });
  }

  disarm(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}
