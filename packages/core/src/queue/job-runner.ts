import { isA, SEALED, SealedError, type StoredError, toStoredError } from "../job/errors.ts";
import type { ChildOutcome, Handler, HandlerContext, Middleware } from "../job/handler.ts";
import { type JobDefinition, resultDrops, validatePayload, validateResult } from "../job/job-map.ts";
import type { Json } from "../job/json.ts";
import { LIMITS } from "../job/limits.ts";
import type { JobRecord } from "../job/record.ts";
import { cutText, describe } from "../job/text.ts";
import { compose } from "../worker/middleware.ts";
import { Release } from "../worker/release.ts";
import type { RetryPolicy } from "../worker/retry-decision.ts";
import { type Run, toBoundedJson } from "../worker/run-attempt.ts";
import { type Bound, isMissingKey, isSealed, type PayloadCipher, unseal } from "./encryption.ts";
import { type JobRegistry, noHandler } from "./job-registry.ts";

/** A job that this worker has no key for waits at least and at most so long before it is looked at again, by any worker. */
const MISSING_KEY_MS = [60_000, 3_600_000] as const;

/** Bytes of a result or progress whose envelope is within `LIMITS.resultBytes`: it is a third longer. */
const SEALED_BYTES = 95 * 1024;

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
  run(
    job: JobRecord,
    ctx: HandlerContext,
    handle: Run = (open, inner) => this.#runOpen(open, this.#definitionOf(open), inner),
  ): unknown {
    return job.sealed ||
      (this.#options.cipher && (isSealed(job.payload) || ctx.children().some(({ sealed }) => sealed)))
      ? this.#runSealed(job, ctx, handle)
      : handle(job, ctx);
  }

  async #runSealed(stored: JobRecord, ctx: HandlerContext, handle: Run): Promise<unknown> {
    const { cipher } = this.#options;
    const { queue, name, id, availableAt, addedAt } = stored;
    const [least, most] = MISSING_KEY_MS;
    const payload = await this.payload(stored).catch((error) => {
      // As long again as it has waited, by the clock of its store.
      throw isMissingKey(error) ? new Release(Math.min(Math.max(least, availableAt - addedAt), most), error) : error;
    });
    const outcomes = await Promise.all(ctx.children().map((child) => this.#outcome(child)));
    const children = () => outcomes;
    if (!cipher || payload === stored.payload) return handle(stored, { ...ctx, signal: ctx.signal, children });

    const seal = (field: Field, text: string) => cipher.seal(text, { queue, name, id, field });
    let told: Promise<unknown> = Promise.resolve();
    const job = { ...(await this.readable(stored)), payload };
    const inner: HandlerContext = {
      ...ctx,
      signal: ctx.signal,
      job,
      children,
      progress(value) {
        const text = toBoundedJson(value, "progress", "invalid_option", SEALED_BYTES);
        told = told.then(async () => ctx.progress(await seal("progress", text)));
      },
      log(line) {
        const text = JSON.stringify(cutText(describe(line), LIMITS.logLineBytes / 2));
        told = told.then(async () => ctx.log(JSON.stringify(await seal("log", text))));
      },
    };
    try {
      const result = await handle(job, inner);
      await told;
      return result === undefined
        ? undefined
        : await seal("result", toBoundedJson(result, "result", "invalid_result", SEALED_BYTES));
    } catch (error) {
      await told;
      if (isA(Release, error)) throw error;
      throw new SealedError(error, await seal("error", JSON.stringify(toStoredError(error))));
    }
  }

  #runOpen(job: JobRecord, definition: JobDefinition | undefined, ctx: HandlerContext): unknown {
    const steps = this.#stepsAround(job, definition);
    if (!steps && !definition?.output) return this.#handle(job, definition, ctx);
    return compose(steps ?? [], (inner) => this.#handle(job, definition, inner))(ctx).then((result) =>
      validateResult(job.name, definition, result, resultDrops.get(job)),
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

  /** The payload in the clear. @throws {QuaysideError} `missing_key`, `decryption_failed`. */
  async payload(job: Pick<JobRecord, "queue" | "name" | "id" | "payload" | "sealed">): Promise<unknown> {
    const { cipher } = this.#options;
    const { payload, sealed } = job;
    if (sealed) return unseal(cipher, payload, job);
    // The first edition did not flag its jobs. What does not decrypt is a payload that only looks like an envelope.
    return cipher && isSealed(payload) ? unseal(cipher, payload, job).catch(() => payload) : payload;
  }

  /** The job with all decrypted for which there is a key. What is there in place of an envelope is left out. */
  async readable<Payload>(job: JobRecord<Payload>): Promise<JobRecord<Payload>> {
    const { cipher } = this.#options;
    if (!cipher) return job;
    // Also of a job that is not sealed: one that it replaced may have left its log.
    const clear = async (field: Field, value: unknown) =>
      isSealed(value) ? this.#open(job, field, value).catch(() => value) : job.sealed ? undefined : value;
    const readable = {
      ...job,
      payload: await this.payload(job).catch(() => (isSealed(job.payload) ? job.payload : undefined)),
      logs: await Promise.all(
        job.logs.map((line) => clear("log", parsed(line)).then((text) => (typeof text === "string" ? text : line))),
      ),
      ...(job.error && { error: await this.#error(job, job.error) }),
    } as Writable<JobRecord<Payload>>;
    for (const field of ["result", "progress"] as const)
      if (job[field] !== undefined) readable[field] = (await clear(field, job[field])) as Json;
    return readable;
  }

  /** As `readable`, for who relies on the result. @throws {QuaysideError} `missing_key`, `decryption_failed`. */
  async ended(job: JobRecord): Promise<JobRecord> {
    if (job.sealed && job.result !== undefined) await this.#open(job, "result", job.result);
    return this.readable(job);
  }

  async #outcome(child: ChildOutcome): Promise<ChildOutcome> {
    const { result, error, sealed } = child;
    if (!this.#options.cipher || !sealed) return child;
    return {
      ...child,
      ...(result !== undefined && { result: (await this.#open(child, "result", result)) as Json }),
      ...(error && { error: await this.#error(child, error) }),
    };
  }

  /** The engine's own errors are not encrypted: a timeout, an interruption. */
  async #error(job: Bound, error: StoredError): Promise<StoredError> {
    const sealed = error.details?.[SEALED];
    return sealed ? (this.#open(job, "error", sealed).catch(() => error) as Promise<StoredError>) : error;
  }

  #open({ queue, name, id }: Bound, field: Field, value: unknown): Promise<unknown> {
    return unseal(this.#options.cipher, value, { queue, name, id, field });
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

type Field = Bound["field"] & {};
type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** A line of a log as the envelope that it may be. */
function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return line;
  }
}
