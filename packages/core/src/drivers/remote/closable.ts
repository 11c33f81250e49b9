import { type Registration, timeLiveness } from "../../engine/driver.ts";
import { QuaysideError } from "../../job/errors.ts";

/** Records that a remote driver is closed, and calls the listeners of `watch`. Shared by all remote drivers. */
export class Closable {
  readonly #listeners = new Set<() => void>();
  #closed = false;

  /**
   * Throws once the driver is closed.
   *
   * @throws {QuaysideError} `closed`.
   */
  check(): void {
    if (this.#closed) throw new QuaysideError("closed", "This driver is closed.");
  }

  /** Refuses every further call. Call `tell` when all parts of the driver are closed, to call the listeners. */
  close(): void {
    this.#closed = true;
  }

  tell(): void {
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Calls `closed` when the driver is closed. Returns a function that removes the listener and calls `stop`. */
  watch(closed: (() => void) | undefined, stop: () => void): () => void {
    if (!closed) return stop;
    this.#listeners.add(closed);
    return () => {
      stop();
      this.#listeners.delete(closed);
    };
  }

  /** Registers a worker of a remote driver, whose lease alone shows that it is alive. */
  async register(): Promise<Registration> {
    this.check();
    return timeLiveness();
  }
}
