import { QuaysideError } from "../job/errors.ts";
import { definitionOf, type JobDefinition, validatePayload } from "../job/job-map.ts";
import type { JobRecord } from "../job/record.ts";
import type { Handler, HandlerContext } from "../worker/handler-context.ts";

/** The handlers of a queue by job name, and how a job runs through them. */
export class Handlers {
  readonly #definitions: Record<string, JobDefinition> | undefined;
  readonly #byName = new Map<string, Set<Handler>>();

  constructor(definitions: Record<string, JobDefinition> | undefined) {
    this.#definitions = definitions;
  }

  /** Returns the function that takes it out again. @throws {QuaysideError} `unknown_job` when the job map lacks the name. */
  add(name: string, handler: Handler): () => void {
    definitionOf(this.#definitions, name);
    const handlers = this.#byName.get(name) ?? new Set();
    this.#byName.set(name, handlers);
    handlers.add(handler);
    return () => {
      handlers.delete(handler);
      if (handlers.size === 0) this.#byName.delete(name);
    };
  }

  names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** One after the other; the first that throws fails the attempt; the result is the first one's. */
  async run(job: JobRecord, ctx: HandlerContext): Promise<unknown> {
    const handlers = [...(this.#byName.get(job.name) ?? [])];
    if (handlers.length === 0)
      throw new QuaysideError("unknown_job", `No handler is registered for job ${JSON.stringify(job.name)}.`, {
        job: job.name,
      });
    const payload = await validatePayload(job.name, this.#definitions?.[job.name], job.payload);
    let result: unknown;
    for (const [index, handler] of handlers.entries()) {
      const returned = await handler(payload, ctx);
      if (index === 0) result = returned;
    }
    return result;
  }
}
