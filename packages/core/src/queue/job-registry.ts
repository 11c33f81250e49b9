import { QuaysideError } from "../job/errors.ts";
import type { Handler } from "../job/handler.ts";
import type { JobDefinition } from "../job/job-map.ts";

/** A value that applies to one queue, or to every queue. */
export interface Scoped<T> {
  /** The queue to which the value applies. Absent: every queue. */
  readonly queue: string | undefined;
  readonly value: T;
}

/** The jobs of a queue by name: definitions from the job map, and handlers. */
export class JobRegistry {
  readonly #map: Record<string, JobDefinition> | undefined;
  readonly #handlers = new Map<string, readonly Scoped<Handler>[]>();

  /**
   * Creates a registry.
   *
   * @param map a job map made by `defineJobs`. If set, job names that it lacks are refused unless a definition is
   * registered.
   */
  constructor(map?: Record<string, JobDefinition>) {
    this.#map = map;
  }

  definition(name: string, _queue?: string): JobDefinition | undefined {
    return this.#map && Object.hasOwn(this.#map, name) ? this.#map[name] : undefined;
  }

  /**
   * Checks that jobs of this name may be added.
   *
   * @throws {QuaysideError} `unknown_job` if there is a job map without this name.
   */
  check(name: string): void {
    const map = this.#map;
    if (!map || Object.hasOwn(map, name)) return;
    const known = Object.keys(map).join(", ");
    const message = `There is no job ${JSON.stringify(name)} in the job map. Known are ${known}.`;
    throw new QuaysideError("unknown_job", message, { job: name });
  }

  /**
   * Adds a handler. Returns a function that removes it. @throws {QuaysideError} `unknown_job` if the job map lacks the
   * name.
   */
  addHandler(name: string, handler: Handler, queue?: string): () => void {
    this.check(name);
    const entry = { queue, value: handler };
    this.#handlers.set(name, [...(this.#handlers.get(name) ?? []), entry]);
    return () => {
      this.#handlers.set(name, this.#handlers.get(name)?.filter((other) => other !== entry) ?? []);
    };
  }

  /** Returns the handlers of a job in a queue: that of its definition, then the registered ones, in order. */
  handlers(name: string, queue: string): readonly Handler[] {
    const definition = this.definition(name, queue);
    const own: Handler[] = definition?.handler ? [(payload, ctx) => definition.handler?.(payload, ctx)] : [];
    const registered = this.#handlers.get(name)?.filter((entry) => (entry.queue ?? queue) === queue) ?? [];
    return [...own, ...registered.map(({ value }) => value)];
  }

  /** Returns the names of jobs that have a handler for this queue. */
  names(queue: string): readonly string[] {
    return [...this.known()].filter((name) => this.handlers(name, queue).length > 0);
  }

  /** Returns the names of the job map that this queue's worker has no handler for. */
  unhandled(queue: string): readonly string[] {
    return Object.keys(this.#map ?? {}).filter(
      (name) => (this.definition(name, queue)?.queue ?? queue) === queue && this.handlers(name, queue).length === 0,
    );
  }

  /** Returns the names of all definitions and handlers. */
  protected known(): Set<string> {
    return new Set([...Object.keys(this.#map ?? {}), ...this.#handlers.keys()]);
  }

  /** The definitions of the job map. */
  protected get mapped(): readonly JobDefinition[] {
    return Object.values(this.#map ?? {});
  }
}
