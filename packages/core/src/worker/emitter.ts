import { reportUnheard } from "../job/report.ts";

/** Every emitter can tell of an error that is nobody's answer. */
interface Faulty {
  readonly error: { readonly error: unknown };
}

/** Typed events. A listener that throws harms neither the emitter nor the other listeners: its error becomes an `error` event. */
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
      try {
        (listener as (event: Events[Name]) => void)(event);
      } catch (error) {
        if (name === "error") reportUnheard(error);
        else this.fault(error);
      }
    }
  }

  /** Emits `error`; an error that no listener hears is shown as an uncaught one is. */
  fault(error: unknown): void {
    if (this.#listeners.get("error")?.size) this.emit("error", { error } as Events["error"]);
    else reportUnheard(error);
  }
}
