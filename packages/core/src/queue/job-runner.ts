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

  /**
   * Answers the result or a promise of it, throws or rejects. A plain job's is its handler's own: an asynchronous function
   * in between takes some 700 bytes, and there were two.
   */
  run(job: JobRecord, ctx: HandlerContext): unknown {
    const definition = this.#definitionOf(job);
    const { cipher } = this.#options;
    return cipher || isSealed(job.payload)
      ? this.#runSealed(job, definition, ctx, cipher)
      : this.#runOpen(job, definition, ctx);
  }

  async #runSealed(
    stored: JobRecord,
    definition: JobDefinition | undefined,
    ctx: HandlerContext,
    cipher: PayloadCipher | undefined,
  ): Promise<unknown> {
    const job = await this.#decrypt(stored, cipher);
    return this.#runOpen(job, definition, job === stored ? ctx : { ...ctx, signal: ctx.signal, job });
  }

  #runOpen(job: JobRecord, definition: JobDefinition | undefined, ctx: HandlerContext): unknown {
    const steps = this.#stepsAround(job, definition);
    if (!steps && !definition?.output) return this.#handle(job, definition, ctx);
    return compose(steps ?? [], (inner) => this.#handle(job, definition, inner))(ctx).then((result) =>
      validateResult(job.name, definition, result),
    );
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
  #handle(job: JobRecord, definition: JobDefinition | undefined, ctx: HandlerContext): unknown {
    const handlers = this.#options.registry.handlers(job.name, job.queue);
    const first = handlers[0];
    if (!first) throw noHandler(job.name);
    const payload = validatePayload(job.name, definition, job.payload);
    return handlers.length === 1 && !(payload instanceof Promise)
      ? first(payload, ctx)
      : this.#handleInTurn(handlers, payload, ctx);
  }

  async #handleInTurn(handlers: readonly Handler[], checked: unknown, ctx: HandlerContext): Promise<unknown> {
    const payload = await checked;
    const [first, ...others] = handlers as readonly [Handler, ...Handler[]];
    const result = await first(payload, ctx);
    for (const handler of others) await handler(payload, ctx);
    return result;
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
