import type { Handler, HandlerContext, Middleware } from "../job/handler.ts";
import { type JobDefinition, validatePayload, validateResult } from "../job/job-map.ts";
import type { JobRecord } from "../job/record.ts";
import { compose } from "../worker/middleware.ts";
import { Release } from "../worker/release.ts";
import type { RetryPolicy } from "../worker/retry-decision.ts";
import { isMissingKey, isSealed, type PayloadCipher, refuseSealed } from "./encryption.ts";
import { type JobRegistry, noHandler } from "./job-registry.ts";

/** A job that this worker has no key for waits so long before it is looked at again, here or by a worker that has it. */
const MISSING_KEY_DELAY_MS = 60_000;

export interface JobRunnerOptions {
  readonly registry: JobRegistry;
  /** Of the manager; runs outermost. */
  readonly middleware: readonly Middleware[];
  readonly cipher: PayloadCipher | undefined;
}

/** How a job runs: decrypted, through its middleware, checked, by its handlers, its result checked. */
export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #byQueue = new Map<string, Middleware[]>();

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  /** Middleware of one queue. Returns the function that takes it out again. */
  use(queue: string, middleware: Middleware): () => void {
    this.#byQueue.set(queue, [...(this.#byQueue.get(queue) ?? []), middleware]);
    return () => {
      this.#byQueue.set(
        queue,
        (this.#byQueue.get(queue) ?? []).filter((other) => other !== middleware),
      );
    };
  }

  async run(stored: JobRecord, ctx: HandlerContext): Promise<unknown> {
    const definition = this.#definitionOf(stored);
    const opened = this.#open(stored);
    const job = opened instanceof Promise ? await opened : opened;
    const context = job === stored ? ctx : { ...ctx, job };
    const steps = this.#stepsAround(job, definition);
    const result = await (steps
      ? compose(steps, (inner: HandlerContext) => this.#handle(job, definition, inner))(context)
      : this.#handle(job, definition, context));
    return validateResult(job.name, definition, result);
  }

  /** Undefined where there is none, as mostly: every attempt asks. */
  #stepsAround(job: JobRecord, definition: JobDefinition | undefined): readonly Middleware[] | undefined {
    const { middleware } = this.#options;
    const ofQueue = this.#byQueue.get(job.queue);
    if (middleware.length === 0 && !ofQueue && !definition?.middleware) return undefined;
    return [...middleware, ...(ofQueue ?? []), ...(definition?.middleware ?? [])];
  }

  policy(job: JobRecord): RetryPolicy | undefined {
    const definition = this.#definitionOf(job);
    if (!definition) return undefined;
    const { backoff } = definition;
    return {
      retryIf: definition.retryIf && ((error, attempt) => definition.retryIf?.(error, attempt) ?? true),
      backoff: typeof backoff === "function" ? backoff : undefined,
    };
  }

  async failed(job: JobRecord, error: unknown): Promise<void> {
    const definition = this.#definitionOf(job);
    if (definition?.onFailed) await definition.onFailed(await this.readable(job), error);
  }

  /** The job with its payload decrypted, as far as there is a key. */
  async readable<Payload>(job: JobRecord<Payload>): Promise<JobRecord<Payload>> {
    const { cipher } = this.#options;
    if (!cipher) return job;
    try {
      const payload = (await cipher.open(job)) as Payload;
      return payload === job.payload ? job : { ...job, payload };
    } catch {
      return job;
    }
  }

  /** One after the other; the first that throws fails the attempt; the result is the first one's. */
  async #handle(job: JobRecord, definition: JobDefinition | undefined, ctx: HandlerContext): Promise<unknown> {
    const handlers = this.#options.registry.handlers(job.name, job.queue);
    if (handlers.length === 0) throw noHandler(job.name);
    const checked = validatePayload(job.name, definition, job.payload);
    const payload = checked instanceof Promise ? await checked : checked;
    const [first, ...others] = handlers as readonly [Handler, ...Handler[]];
    const result = await first(payload, ctx);
    for (const handler of others) await handler(payload, ctx);
    return result;
  }

  #open(job: JobRecord): JobRecord | Promise<JobRecord> {
    const { cipher } = this.#options;
    return cipher || isSealed(job.payload) ? this.#decrypt(job, cipher) : job;
  }

  async #decrypt(job: JobRecord, cipher: PayloadCipher | undefined): Promise<JobRecord> {
    try {
      const payload = cipher ? await cipher.open(job) : refuseSealed(job);
      return payload === job.payload ? job : { ...job, payload };
    } catch (error) {
      throw isMissingKey(error) ? new Release(MISSING_KEY_DELAY_MS, error) : error;
    }
  }

  #definitionOf(job: JobRecord): JobDefinition | undefined {
    return this.#options.registry.definition(job.name, job.queue);
  }
}
