import { hasCode, QuaysideError } from "../job/errors.ts";
import type { Handler, HandlerContext, Middleware } from "../job/handler.ts";
import { type JobDefinition, validatePayload, validateResult } from "../job/job-map.ts";
import type { JobRecord } from "../job/job-record.ts";
import { Release } from "../job/release-job.ts";
import type { RetryPolicy } from "../job/retry.ts";
import type { Run } from "../worker/options-and-events.ts";
import type { Encryption } from "./encryption.ts";
import { type JobRegistry, noHandler } from "./job-registry.ts";

export interface JobRunnerOptions {
  readonly registry: JobRegistry;
  /** Of the manager; runs outermost. */
  readonly middleware: readonly Middleware[];
  readonly encryption: Encryption | undefined;
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
  run(
    job: JobRecord,
    ctx: HandlerContext,
    handle: Run = (open, inner) => this.#runOpen(open, this.#definitionOf(open), inner),
  ): unknown {
    const { encryption } = this.#options;
    if (encryption?.concerns(job, ctx)) return encryption.run(job, ctx, handle);
    if (job.sealed) throw waitForKey(job, missingKey("The job is encrypted"));
    return handle(job, ctx);
  }

  #runOpen(job: JobRecord, definition: JobDefinition | undefined, ctx: HandlerContext): unknown {
    const steps = this.#stepsAround(job, definition);
    if (!steps && !definition?.output) return this.#handle(job, definition, ctx);
    return compose(steps ?? [], (inner) => this.#handle(job, definition, inner))(ctx).then((result) => {
      const check = () => validateResult(job.name, definition, result);
      const first = (definition?.handler ?? this.#options.registry.handlers(job.name, job.queue)[0]) as
        | Handler
        | undefined;
      return first?.keepResult ? first.keepResult(check, ctx) : check();
    });
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

  /** The payload in the clear. @throws {QuaysideError} `missing_key`, `decryption_failed`. */
  async payload(job: Pick<JobRecord, "queue" | "name" | "id" | "payload" | "sealed">): Promise<unknown> {
    const { encryption } = this.#options;
    if (!encryption && job.sealed) throw missingKey("The job is encrypted");
    return encryption ? encryption.payload(job) : job.payload;
  }

  /** The job with all decrypted for which there is a key. */
  async readable<Payload>(job: JobRecord<Payload>): Promise<JobRecord<Payload>> {
    return this.#options.encryption?.readable(job) ?? job;
  }

  /** As `readable`, for who relies on the result. @throws {QuaysideError} `missing_key`, `decryption_failed`. */
  async ended(job: JobRecord): Promise<JobRecord> {
    const { encryption } = this.#options;
    if (!encryption && job.sealed && job.result !== undefined) throw missingKey("The result is encrypted");
    return encryption ? encryption.ended(job) : job;
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

  #definitionOf(job: JobRecord): JobDefinition | undefined {
    return this.#options.registry.definition(job.name, job.queue);
  }
}

/**
 * Makes one function of many middleware, the first outermost, around `inner`. As in Koa, `next` may be called once.
 *
 * @see https://github.com/koajs/compose
 */
function compose(
  middleware: readonly Middleware[],
  inner: (ctx: HandlerContext) => unknown,
): (ctx: HandlerContext) => Promise<unknown> {
  return async (ctx) => {
    let reached = -1;
    const from = async (index: number): Promise<unknown> => {
      if (index <= reached) throw new Error("A middleware called next() more than once.");
      reached = index;
      const step = middleware[index];
      return step ? step(ctx, () => from(index + 1)) : inner(ctx);
    };
    return from(0);
  };
}

/** The shortest and the longest wait of a job whose key this worker lacks, until a worker claims it again. */
const MISSING_KEY_MS = [60_000, 3_600_000] as const;

/** @param id of the key; absent: there are no keys at all. */
export const missingKey = (what: string, id?: string): QuaysideError =>
  new QuaysideError(
    "missing_key",
    id === undefined
      ? `${what}, but there are no keys: give the queue or manager an encryption, as aesGcm({ keys, current }).`
      : `${what} key ${JSON.stringify(id)}, which is not among encryption.keys here.`,
    id === undefined ? {} : { key: id },
  );

/** Returns the error to throw for a job that was not decrypted: where the key is missing, the job is given back. */
export function waitForKey({ availableAt, addedAt }: JobRecord, error: unknown): unknown {
  const [least, most] = MISSING_KEY_MS;
  // As long again as it has waited, by the clock of its store.
  return hasCode(error, "missing_key")
    ? new Release(Math.min(Math.max(least, availableAt - addedAt), most), error)
    : error;
}
