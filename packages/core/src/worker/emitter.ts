import { reportUnheard } from "../job/report.ts";

/** Every emitter can tell of an error that is nobody's answer. */
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

  emit<Name extends keyof Events>(name: Name, event: Events[Name]): void {
    const listeners = this.#listeners.get(name);
    if (!listeners?.size) return;
    for (const listener of [...listeners]) {
      const failed = (error: unknown) => (name === "error" ? reportUnheard(error) : this.fault(error));
      try {
        const answer = (listener as (event: Events[Name]) => unknown)(event);
        // An asynchronous listener that rejects is one that throws.
        if (answer instanceof Promise) answer.catch(failed);
      } catch (error) {
        failed(error);
      }
    }
  }

  /** Emits `error`; an error that no listener hears is shown as an uncaught one is. */
  fault(error: unknown): void {
    if (this.#listeners.get("error")?.size) this.emit("error", { error } as Events["error"]);
    else reportUnheard(error);
  }
}
