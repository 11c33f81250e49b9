/**
 * The one door to time and timers. Pass `createManualClock()` from `@quayside/testing` to move it by hand.
 */
export interface Clock {
  /** Ms since epoch. May jump, back too. */
  now(): number;
  /** Ms that only ever go forward, from any origin. */
  monotonic(): number;
  /** Calls `run` once after `ms` (at least 0); returns the function that prevents it. */
  after(ms: number, run: () => void): () => void;
  /** Resolves in a later task of the event loop, so that timers, I/O and other tasks have their turn before. */
  nextTask(): Promise<void>;
}

/** Longest delay of `setTimeout`: 2^31 − 1 ms; a longer one fires at once (HTML standard). */
const LONGEST_TIMER_MS = 2_147_483_647;

/** Ways to another task of the event loop that not every platform has. */
interface TaskGlobals {
  /** Node. */
  readonly setImmediate?: (run: () => void) => unknown;
  /** Browsers: pages and workers. */
  readonly document?: unknown;
  readonly importScripts?: unknown;
  readonly MessageChannel?: new () => { readonly port1: TaskPort; readonly port2: TaskPort };
}

interface TaskPort {
  onmessage: (() => void) | null;
  postMessage(message: unknown): void;
  close(): void;
}

/** Read once: a test's fake timers, installed later, must not keep workers from going on. */
const { setImmediate, document, importScripts, MessageChannel } = globalThis as unknown as TaskGlobals;

/** Takes the fastest way to another task: a timer of 0 ms takes 4 ms in browsers and 1 ms in Node. */
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

/** One thing to do later: arming it again replaces what it was armed for. */
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
