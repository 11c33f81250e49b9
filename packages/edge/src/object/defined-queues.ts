import { type JobMap, QuaysideError, type QueueDefinition, type QueueOptions } from "@quayside/core";
import { Layout } from "../shards/layout.ts";
import { checkSplittable } from "../shards/names.ts";

/** Options that list defined queues. */
interface WithQueues {
  readonly queues?: readonly QueueDefinition[] | undefined;
  readonly jobs?: JobMap | undefined;
  readonly handlers?: object | undefined;
  readonly middleware?: readonly unknown[] | undefined;
}

/**
 * Checks the queues in the options of an object's class or of the API, and returns the options.
 *
 * @throws {QuaysideError} `invalid_option`; `unknown_job` for a handler that none of the queues has a job for.
 */
export function checkQueues<Options extends WithQueues>(options: Options): Options {
  const { queues, handlers = {} } = options;
  if (queues === undefined) return options;
  if (options.jobs !== undefined) throw refused("jobs", "belongs to the definition of each queue (defineQueue)");
  const names = queues.map(({ name }) => name);
  if (new Set(names).size < names.length) throw refused("queues", "must have each queue once");
  for (const { name, shards } of queues) {
    if (shards === undefined) continue;
    checkSplittable(name);
    new Layout(shards);
  }
  const jobs = jobsOfAll(queues);
  for (const name in handlers)
    if (jobs !== undefined && !Object.hasOwn(jobs, name))
      throw new QuaysideError("unknown_job", `There is no job ${JSON.stringify(name)} in ${names.join(", ")}.`, {
        job: name,
      });
  return options;
}

/**
 * Returns the jobs of several queues in one map; undefined if a queue takes any job.
 *
 * @throws {QuaysideError} `invalid_option` if two queues define one name differently.
 */
export function jobsOfAll(queues: readonly QueueDefinition[]): Readonly<Record<string, object>> | undefined {
  const all: Record<string, object> = Object.create(null);
  for (const { name, jobs } of queues) {
    for (const [job, definition] of Object.entries(jobs ?? {})) {
      if (all[job] !== undefined && all[job] !== definition)
        throw refused("queues", `must define job ${JSON.stringify(job)} once: ${name} and another queue define it`);
      all[job] = definition;
    }
  }
  return queues.some(({ jobs }) => jobs === undefined) ? undefined : all;
}

/** The jobs and handlers of each queue of an object: by its definition, or those of all queues without one. */
export class DefinedQueues {
  readonly #options: WithQueues;

  constructor(options: WithQueues) {
    this.#options = options;
  }

  /** Returns the job map of a queue; undefined if it takes any job. */
  jobsOf(name: string): JobMap | undefined {
    const { queues, jobs } = this.#options;
    const defined = queues?.find((queue) => queue.name === name);
    return defined ? defined.jobs : jobs;
  }

  /** Returns the options of a `Queue` of this name. */
  optionsOf(name: string): QueueOptions<Record<string, unknown>> {
    const { middleware } = this.#options;
    return { middleware, jobs: this.jobsOf(name) } as QueueOptions<Record<string, unknown>>;
  }

  /** Returns the handlers of a queue's jobs, by job name. */
  handlersOf(name: string): Readonly<Record<string, (payload: never, ctx: never) => unknown>> {
    const { queues, handlers = {} } = this.#options;
    const jobs = queues && this.jobsOf(name);
    return Object.fromEntries(Object.entries(handlers).filter(([job]) => !jobs || Object.hasOwn(jobs, job)));
  }
}

const refused = (option: string, why: string) => new QuaysideError("invalid_option", `${option} ${why}.`, { option });
