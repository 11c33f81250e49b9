import type { JobDefinition } from "../job/job-map.ts";
import { JobRegistry, type Scoped } from "./job-registry.ts";

/**
 * The jobs of all queues of a manager: those of the job map, and definitions registered one by one. A definition for a
 * queue takes precedence in that queue; other queues use it if they have none of their own.
 */
export class ManagerRegistry extends JobRegistry {
  readonly #definitions = new Map<string, readonly Scoped<JobDefinition>[]>();

  /**
   * Registers a definition. It replaces a definition of the same name and queue. Returns a function that removes it.
   */
  define(name: string, definition: JobDefinition): () => void {
    const entry = { queue: definition.queue, value: definition };
    const others = (this.#definitions.get(name) ?? []).filter(({ queue }) => queue !== definition.queue);
    this.#definitions.set(name, [...others, entry]);
    return () => {
      const left = (this.#definitions.get(name) ?? []).filter((other) => other !== entry);
      if (left.length > 0) this.#definitions.set(name, left);
      else this.#definitions.delete(name);
    };
  }

  /** Removes all definitions registered for a name. */
  undefine(name: string): boolean {
    return this.#definitions.delete(name);
  }

  has(name: string): boolean {
    return this.#definitions.has(name) || super.definition(name) !== undefined;
  }

  override definition(name: string, queue?: string): JobDefinition | undefined {
    const scoped = this.#definitions.get(name);
    const mapped = super.definition(name);
    return scoped ? (nearest(scoped, queue) ?? mapped ?? scoped[0]?.value) : mapped;
  }

  override check(name: string): void {
    if (!this.#definitions.has(name)) super.check(name);
  }

  protected override known(): Set<string> {
    return new Set([...super.known(), ...this.#definitions.keys()]);
  }

  /** Returns the queues and connections that definitions with a handler name. */
  places(): readonly { readonly queue: string | undefined; readonly connection: string | undefined }[] {
    return [...this.mapped, ...[...this.#definitions.values()].flat().map(({ value }) => value)]
      .filter(({ handler }) => handler !== undefined)
      .map(({ queue, connection }) => ({ queue, connection }));
  }
}

/** Returns the value for the queue; if there is none, the value for every queue. */
function nearest<T>(scoped: readonly Scoped<T>[], queue: string | undefined): T | undefined {
  const of = (wanted: string | undefined) => scoped.find((entry) => entry.queue === wanted)?.value;
  return of(queue) ?? of(undefined);
}
