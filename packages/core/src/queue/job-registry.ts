import { QuaysideError } from "../job/errors.ts";
import type { Handler } from "../job/handler.ts";
import { definitionOf, type JobDefinition } from "../job/job-map.ts";

interface Scoped<T> {
  /** Absent: of every queue. */
  readonly queue: string | undefined;
  readonly value: T;
}

/**
 * The jobs by name: definitions from a job map or registered one by one, and handlers. A definition
 * registered for a queue goes before others in that queue, and serves the rest where they have none of their own.
 */
export class JobRegistry {
  readonly #map: Record<string, JobDefinition> | undefined;
  readonly #definitions = new Map<string, Scoped<JobDefinition>[]>();
  readonly #handlers = new Map<string, Scoped<Handler>[]>();
  /** Handlers by queue and name as they were last looked up: asked for every attempt, and seldom other than before. */
  readonly #found = new Map<string, Map<string, readonly Handler[]>>();

  /** @param map a job map of run time: names that are neither in it nor registered are then refused. */
  constructor(map?: Record<string, JobDefinition>) {
    this.#map = map;
  }

  /** Returns the function that takes it out again. A second one for the same name and queue takes the first one's place. */
  define(name: string, definition: JobDefinition): () => void {
    const entry = { queue: definition.queue, value: definition };
    const others = (this.#definitions.get(name) ?? []).filter(({ queue }) => queue !== definition.queue);
    this.#definitions.set(name, [...others, entry]);
    this.#found.clear();
    return () => this.#remove(this.#definitions, name, entry);
  }

  /** Removes all definitions registered for a name. */
  undefine(name: string): boolean {
    this.#found.clear();
    return this.#definitions.delete(name);
  }

  has(name: string): boolean {
    return this.#definitions.has(name) || (this.#map !== undefined && Object.hasOwn(this.#map, name));
  }

  definition(name: string, queue?: string): JobDefinition | undefined {
    const scoped = this.#definitions.get(name);
    const mapped = this.#map && Object.hasOwn(this.#map, name) ? this.#map[name] : undefined;
    return scoped ? (nearest(scoped, queue) ?? mapped ?? scoped[0]?.value) : mapped;
  }

  /** @throws {QuaysideError} `unknown_job` when there is a job map and the name is not known. */
  check(name: string): void {
    if (!this.#definitions.has(name)) definitionOf(this.#map, name);
  }

  /** Returns the function that takes it out again. @throws {QuaysideError} `unknown_job` when the job map lacks the name. */
  addHandler(name: string, handler: Handler, queue?: string): () => void {
    this.check(name);
    const entry = { queue, value: handler };
    this.#handlers.set(name, [...(this.#handlers.get(name) ?? []), entry]);
    this.#found.clear();
    return () => this.#remove(this.#handlers, name, entry);
  }

  /** The definition's own, then those registered, in order. */
  handlers(name: string, queue: string): readonly Handler[] {
    const known = this.#found.get(queue)?.get(name);
    if (known) return known;
    const found = this.#find(name, queue);
    this.#found.set(queue, (this.#found.get(queue) ?? new Map()).set(name, found));
    return found;
  }

  #find(name: string, queue: string): readonly Handler[] {
    const definition = this.definition(name, queue);
    const own: Handler[] = definition?.handler ? [(payload, ctx) => definition.handler?.(payload, ctx)] : [];
    const registered = (this.#handlers.get(name) ?? []).filter(
      (entry) => entry.queue === undefined || entry.queue === queue,
    );
    return [...own, ...registered.map(({ value }) => value)];
  }

  /** Names that jobs of this queue may have here. */
  names(queue: string): readonly string[] {
    const known = new Set([...Object.keys(this.#map ?? {}), ...this.#definitions.keys(), ...this.#handlers.keys()]);
    return [...known].filter((name) => this.handlers(name, queue).length > 0);
  }

  /** Queues that registered definitions name, with the connection they name. */
  places(): readonly { readonly queue: string | undefined; readonly connection: string | undefined }[] {
    const mapped = Object.values(this.#map ?? {}).map((value) => ({ queue: value.queue, value }));
    return [...mapped, ...[...this.#definitions.values()].flat()]
      .filter(({ value }) => value.handler !== undefined)
      .map(({ value }) => ({ queue: value.queue, connection: value.connection }));
  }

  #remove<T>(entries: Map<string, T[]>, name: string, entry: T): void {
    const left = (entries.get(name) ?? []).filter((other) => other !== entry);
    if (left.length > 0) entries.set(name, left);
    else entries.delete(name);
    this.#found.clear();
  }
}

/** That of the queue, else that of every queue. */
function nearest<T>(scoped: readonly Scoped<T>[], queue: string | undefined): T | undefined {
  let general: T | undefined;
  for (const entry of scoped) {
    if (entry.queue === queue) return entry.value;
    if (entry.queue === undefined) general = entry.value;
  }
  return general;
}

/** Thrown where a job is to run and nothing here can run it. */
export const noHandler = (name: string): QuaysideError =>
  new QuaysideError("unknown_job", `No handler is registered for job ${JSON.stringify(name)}.`, { job: name });
