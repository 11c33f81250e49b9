import { type Registration, timeLiveness } from "../../engine/driver.ts";
import { QuaysideError } from "../../job/errors.ts";

/** Records whether a remote driver is closed, and notifies the listeners of `watch`. Shared by all remote drivers. */
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

  /**
   * Marks the driver as closed, so that every further call is refused. Call `tell` when all parts of the driver are
   * closed.
   */
  close(): void {
    this.#closed = true;
  }

  tell(): void {
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /**
   * Registers `closed`, which is called when the driver is closed. Returns a function that removes it and calls `stop`.
   */
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
