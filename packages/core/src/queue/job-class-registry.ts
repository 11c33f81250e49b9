import { QuaysideError } from "../job/errors.ts";
import { checkDefinition } from "../job/job-map.ts";
import {
  bind,
  type Dispatcher,
  definitionOfClass,
  instantiate,
  type JobClass,
  type JobInstance,
  nameOfClass,
  unbind,
} from "./job-class.ts";
import type { ManagerRegistry } from "./manager-registry.ts";

/** The job classes of a manager, by `jobName`. */
export class ClassRegistry {
  readonly #registry: ManagerRegistry;
  readonly #dispatcher: Dispatcher;
  readonly #classes = new Map<string, JobClass>();

  constructor(registry: ManagerRegistry, dispatcher: Dispatcher) {
    this.#registry = registry;
    this.#dispatcher = dispatcher;
  }

  /**
   * Registers a class.
   *
   * @throws {QuaysideError} `invalid_option` if the class has no `jobName`; `conflict` if another class has it.
   */
  register(jobClass: JobClass): void {
    const name = nameOfClass(jobClass);
    const other = this.#classes.get(name);
    if (other === jobClass) return;
    if (other) {
      throw new QuaysideError("conflict", `Two job classes have the jobName ${JSON.stringify(name)}.`, { job: name });
    }
    const definition = definitionOfClass(jobClass);
    checkDefinition(name, definition);
    this.#registry.define(name, definition);
    this.#classes.set(name, jobClass);
    bind(jobClass, this.#dispatcher);
  }

  /** Removes the class with this `jobName`. Returns false if there is none. */
  unregister(name: string): boolean {
    const jobClass = this.#classes.get(name);
    if (!jobClass) return false;
    this.#classes.delete(name);
    this.#registry.undefine(name);
    unbind(jobClass, this.#dispatcher);
    return true;
  }

  has(name: string): boolean {
    return this.#classes.has(name);
  }

  get(name: string): JobClass | undefined {
    return this.#classes.get(name);
  }

  all(): ReadonlyMap<string, JobClass> {
    return this.#classes;
  }

  /**
   * Creates an instance of the class with this `jobName`.
   *
   * @throws {QuaysideError} `unknown_job` if there is none.
   */
  make(name: string, payload: unknown): JobInstance {
    const jobClass = this.#classes.get(name);
    if (jobClass) return instantiate(jobClass, payload);
    throw new QuaysideError("unknown_job", `No job class has the jobName ${JSON.stringify(name)}.`, { job: name });
  }
}
