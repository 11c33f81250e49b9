import { QuaysideError } from "../job/errors.ts";
import type { Handler } from "../job/handler.ts";
import type { JobDefinition } from "../job/job-map.ts";

/** A value of one queue, or of every queue. */
export interface Scoped<T> {
  /** Absent: of every queue. */
  readonly queue: string | undefined;
  readonly value: T;
}

/** The jobs of a queue by name: definitions from its job map, and handlers. */
export class JobRegistry {
  readonly #map: Record<string, JobDefinition> | undefined;
  readonly #handlers = new Map<string, readonly Scoped<Handler>[]>();

  /** @param map a job map of run time: names that are neither in it nor registered are then refused. */
  constructor(map?: Record<string, JobDefinition>) {
    this.#map = map;
  }

  definition(name: string, _queue?: string): JobDefinition | undefined {
    return this.#map && Object.hasOwn(this.#map, name) ? this.#map[name] : undefined;
  }

  /** @throws {QuaysideError} `unknown_job` when there is a job map that lacks the name. */
  check(name: string): void {
    const map = this.#map;
    if (!map || Object.hasOwn(map, name)) return;
    const known = Object.keys(map).join(", ");
    const message = `There is no job ${JSON.stringify(name)} in the job map. Known are ${known}.`;
    throw new QuaysideError("unknown_job", message, { job: name });
  }

  /** Returns the function that removes it. @throws {QuaysideError} `unknown_job` when the job map lacks the name. */
  addHandler(name: string, handler: Handler, queue?: string): () => void {
    this.check(name);
    const entry = { queue, value: handler };
    this.#handlers.set(name, [...(this.#handlers.get(name) ?? []), entry]);
    return () => {
      this.#handlers.set(name, this.#handlers.get(name)?.filter((other) => other !== entry) ?? []);
    };
  }

  /** Returns the handler of the definition, then those registered, in order. */
  handlers(name: string, queue: string): readonly Handler[] {
    const definition = this.definition(name, queue);
    const own: Handler[] = definition?.handler ? [(payload, ctx) => definition.handler?.(payload, ctx)] : [];
    const registered = this.#handlers.get(name)?.filter((entry) => (entry.queue ?? queue) === queue) ?? [];
    return [...own, ...registered.map(({ value }) => value)];
  }

  /** Returns the names that jobs of this queue may have here. */
  names(queue: string): readonly string[] {
    return [...this.known()].filter((name) => this.handlers(name, queue).length > 0);
  }

  /** All names of definitions and handlers. */
  protected known(): Set<string> {
    return new Set([...Object.keys(this.#map ?? {}), ...this.#handlers.keys()]);
  }

  /** The definitions of the job map. */
  protected get mapped(): readonly JobDefinition[] {
    return Object.values(this.#map ?? {});
  }
}
