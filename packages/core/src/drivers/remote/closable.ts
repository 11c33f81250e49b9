import { type Registration, timeLiveness } from "../../engine/driver.ts";
import { QuaysideError } from "../../job/errors.ts";

/** Whether a driver is closed, and the functions to call when it is: what `watch`, `register` and `close` of every client share. */
export class Closable {
  readonly #listeners = new Set<() => void>();
  #closed = false;

  /** @throws {QuaysideError} `closed` once the driver is closed. */
  check(): void {
    if (this.#closed) throw new QuaysideError("closed", "This driver is closed.");
  }

  /** Refuses every call from now on. Tell the listeners, with `tell`, when all parts of the driver are closed. */
  close(): void {
    this.#closed = true;
  }

  tell(): void {
    for (const listener of this.#listeners) listener();
    this.#listeners.clear();
  }

  /** Calls `closed`, where there is one, when the driver is closed. Returns the function that stops it, and `stop`. */
  watch(closed: (() => void) | undefined, stop: () => void): () => void {
    if (!closed) return stop;
    this.#listeners.add(closed);
    return () => {
      stop();
      this.#listeners.delete(closed);
    };
  }

  /** How a worker of a remote driver shows that it is alive: by the time of its lease alone. */
  async register(): Promise<Registration> {
    this.check();
    return timeLiveness();
  }
}
