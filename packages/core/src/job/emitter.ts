import { lent, reportUnheard } from "./report-error.ts";

/** Events of every emitter: an error that no call rejects with. */
interface Faulty {
  readonly error: { readonly error: unknown };
}

/** Typed events. A listener that throws or rejects harms neither the emitter nor the other listeners: its error becomes an `error` event. */
export class Emitter<Events extends Faulty> {
  readonly #listeners = new Map<keyof Events, Set<(event: never) => void>>();

  /** Returns the function that stops it. */
  on<Name extends keyof Events>(name: Name, listener: (event: Events[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Answers whether there was a listener. */
  emit<Name extends keyof Events>(name: Name, event: Events[Name]): boolean {
    const listeners = this.#listeners.get(name);
    if (!listeners?.size) return false;
    const failed = (error: unknown) => (name === "error" ? reportUnheard(error) : this.fault(error));
    for (const listener of [...listeners]) lent(() => (listener as (event: Events[Name]) => unknown)(event), failed);
    return true;
  }

  /** Emits `error`; without a listener the error is reported: see `reportUnheard`. */
  fault(error: unknown): void {
    if (!this.emit("error", { error } as Events["error"])) reportUnheard(error);
  }
}
