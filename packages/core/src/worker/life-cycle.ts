import type { Duration } from "../job/duration.ts";
import type { WorkPlace } from "./worker-options.ts";

declare global {
  // As in TypeScript's `lib.esnext.disposable`, for apps that are compiled without it.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/** `Symbol.asyncDispose`, by which `await using` closes a value; a symbol without effect on runtimes that lack it. */
export const asyncDispose: typeof Symbol.asyncDispose = Symbol.asyncDispose ?? Symbol("asyncDispose");

/** Options of `stop` and `close`. */
export interface StopOptions {
  /** Longest wait for running handlers, before they are aborted and their jobs released. Default: 30 s. */
  readonly timeout?: Duration | undefined;
}

/** A queue, worker or manager that can be closed. */
export interface Closes {
  readonly places: readonly WorkPlace[];
  stop(options?: StopOptions): Promise<void>;
}

/** Stops a queue, worker or manager, then closes its drivers. */
export async function close(life: Closes, options?: StopOptions): Promise<void> {
  await life.stop(options);
  await Promise.all([...new Set(life.places.map(({ driver }) => driver))].map((driver) => driver.close()));
}

/** The part of the life of a worker or manager that follows from `start` and `stop`. */
export abstract class LifeCycle implements Closes {
  abstract readonly places: readonly WorkPlace[];
  abstract start(): Promise<void>;
  abstract stop(options?: StopOptions): Promise<void>;

  /** Does the same as `start`. */
  run(): Promise<void> {
    return this.start();
  }

  /**
   * Stops, then closes the driver, also for other queues of the driver. Every later call is refused with `closed`. Called
   * inside a handler, it only stops, as `stop` does.
   */
  close(options?: StopOptions): Promise<void> {
    return close(this, options);
  }

  /** Closes at the end of a block: `await using worker = new QueueWorker(queue)`. */
  [asyncDispose](): Promise<void> {
    return this.close();
  }
}
