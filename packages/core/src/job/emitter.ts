import { lent, reportUnheard } from "./report-error.ts";

/** The event that every emitter has: `error`, for errors with which no call rejects. */
interface Faulty {
  readonly error: { readonly error: unknown };
}

/**
 * Adds, removes and calls listeners of typed events. An error of a listener becomes an `error` event and does not
 * affect the other listeners.
 */
export class Emitter<Events extends Faulty> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Adds a listener. Returns a function that removes it. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Calls the listeners of an event. Returns whether the event has a listener. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): boolean {
    const listeners = this.#listeners.get(name);
    if (!listeners?.size) return false;
    const failed = (error: unknown) => (name === "error" ? reportUnheard(error) : this.fault(error));
    for (const listener of [...listeners]) lent(() => (listener as (event: Events[Name]) => unknown)(event), failed);
    return true;
  }

  /** Emits `error`. Without a listener, the error goes to `reportUnheard`. */
  fault(error: unknown): void {
    if (!this.emit("error", { error } as Events["error"])) reportUnheard(error);
  }
}
