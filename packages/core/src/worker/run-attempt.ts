import type { Clock } from "../driver/clock.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { toMs } from "../job/duration.ts";
import { type ErrorCode, isA, LeaseLostError, QuaysideError, thrownIn, toStoredError } from "../job/errors.ts";
import type { ChildOutcome, HandlerContext, JobRequest, PublishRequest } from "../job/handler.ts";
import { type Json, toJsonText, utf8Bytes } from "../job/json.ts";
import { LIMITS } from "../job/limits.ts";
import type { JobRecord } from "../job/record.ts";
import { retryDelay } from "../job/retry.ts";
import type { ClaimedJob, Settlement } from "../store/verbs.ts";
import { handlerScope } from "./handler-scope.ts";
import type { Network } from "./network.ts";
import { failJob, Release, releaseJob } from "./release.ts";
import { decideRetry, type RetryPolicy } from "./retry-decision.ts";
import type { Settled } from "./worker-events.ts";

/** Runs a job's handlers: gets the job as stored, answers the result. */
export type Run<Ctx extends object = object> = (job: JobRecord, ctx: HandlerContext & Ctx) => unknown;

/** Adds jobs for a handler, seen from the job that it runs. */
export interface Producer {
  enqueue(request: JobRequest, from: JobRecord): Promise<string>;
  publish(request: PublishRequest, from: JobRecord): Promise<readonly string[]>;
}

/** What an attempt tells its worker. */
export interface AttemptListener {
  /** It has ended, or its time to end is over: the worker sends this. At most once, and not after `lost`. */
  settled(settled: Settled): void;
  /** Its handler has come back: the slot is free. Exactly once. */
  returned(attempt: Attempt): void;
  progressed(attempt: Attempt, value: Json): void;
  logged(attempt: Attempt, line: string): void;
  /** Its handler has not come back within the grace after its signal was aborted. Once. */
  stuck(attempt: Attempt, durationMs: number): void;
  /** Something went wrong beside the job. */
  fault(error: unknown): void;
}

export interface AttemptEnd {
  readonly error?: unknown;
  readonly result?: unknown;
}

type Interrupt = "timeout" | "cancelled" | "stopping" | "lost";

interface PolicyOf {
  readonly policy?: ((job: JobRecord) => RetryPolicy | undefined) | undefined;
}

/** What the attempts of a worker share. */
export interface AttemptOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly worker: {
    /** What the user gave to be merged into `ctx`. */
    readonly ctx?: object | undefined;
    /** What `ctx.enqueue` and `ctx.publish` add with. */
    readonly producer?: Producer | undefined;
  };
  /** What is said of the errors of a job: asked once it has met one. */
  readonly queueOf?: (job: JobRecord) => PolicyOf | undefined;
  readonly graceMs?: number;
  /** For jobs that require it. */
  readonly network?: Network | undefined;
}

/**
 * One run of a job's handler. Whatever cuts it short (timeout, cancel, stop) aborts its signal and gives it a grace to
 * come back; after that its settlement is sent without it, while its slot stays taken until it really returns (R12).
 */
export class Attempt {
  readonly token: string;
  readonly job: JobRecord;
  readonly startedAt: number;
  readonly #listener: AttemptListener;
  readonly #options: AttemptOptions;
  readonly #children: readonly ChildOutcome[] | undefined;
  #controller: AbortController | undefined;
  #interrupt: Interrupt | undefined;
  #reason: QuaysideError | undefined;
  #abortedBy: QuaysideError | undefined;
  #settled = false;
  #begunAt = 0;
  #stopTimeout = nothing;
  #stopGrace = nothing;

  constructor({ token, job, children }: ClaimedJob, listener: AttemptListener, options: AttemptOptions) {
    this.token = token;
    this.job = job;
    this.#children = children;
    this.startedAt = options.clock.now();
    this.#listener = listener;
    this.#options = options;
  }

  /**
   * Made when it is first asked for, for most handlers never ask: in workerd, where it is a native object, it was the
   * dearest part of an attempt, 2 µs and more.
   */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#abortedBy) this.#controller.abort(this.#abortedBy);
    return this.#controller.signal;
  }

  /** Settled or lost: the worker has nothing more to renew for it. */
  get over(): boolean {
    return this.#settled;
  }

  /**
   * Runs the handler. Not an asynchronous function: that would allocate 200 bytes more per job.
   *
   * @param scope what `handlerScope` names while the handler runs: another attempt where that one waits for this.
   */
  start(run: Run, scope: object = this): void {
    if (this.job.timeoutMs !== undefined) this.#limit(this.job.timeoutMs);
    try {
      // The built-in `then`, for what a handler returns may have one of its own that throws or is called twice.
      Promise.prototype.then.call(
        Promise.resolve(handlerScope.run(scope, run, this.job, this.#context())),
        (result) => this.#finish({ result }),
        (error) => this.#finish({ error }),
      );
    } catch (error) {
      void Promise.resolve().then(() => this.#finish({ error }));
    }
  }

  #limit(timeoutMs: number): void {
    const { clock } = this.#options;
    this.#begunAt = clock.monotonic();
    const message = `Job ${this.job.id} ran longer than its timeout of ${timeoutMs} ms.`;
    this.#stopTimeout = clock.after(timeoutMs, () =>
      this.#cutShort("timeout", new QuaysideError("timeout", message, { timeoutMs })),
    );
  }

  #finish(end: AttemptEnd): void {
    try {
      this.#returned(end);
    } catch (cause) {
      this.#giveUp(cause, end);
    } finally {
      this.#stopTimeout();
      this.#stopGrace();
      this.#listener.returned(this);
    }
  }

  /** The last resort (R28): how the attempt ended could not be worked out, so it failed, and counts. */
  #giveUp(cause: unknown, end: AttemptEnd): void {
    const { job, token } = this;
    this.#listener.fault(cause);
    const retryMs = retryDelay(job, job.attempts, undefined, this.#options.random());
    const error = toStoredError(cause);
    this.#settle({ token, outcome: "failed", error, ...(retryMs !== undefined && { retryMs }) }, end);
  }

  cancel(): void {
    this.#cutShort(
      "cancelled",
      new QuaysideError("cancelled", `Job ${this.job.id} was cancelled.`, { id: this.job.id }),
    );
  }

  /** Its worker is stopping and has waited long enough. */
  stop(): void {
    this.#cutShort("stopping", new QuaysideError("closed", "The worker is stopping."));
  }

  /** As `stop`, and its job goes back at once: its handler is not waited for. */
  letGo(): void {
    this.stop();
    this.#endInterrupted();
  }

  /** Another worker may be running the job: nothing that this attempt says counts any more. */
  lose(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#interrupt = "lost";
    this.#abort(new LeaseLostError(this.job.id));
  }

  #cutShort(interrupt: Interrupt, reason: QuaysideError): void {
    if (this.#settled || this.#interrupt) return;
    this.#interrupt = interrupt;
    this.#reason = reason;
    this.#stopGrace = this.#options.clock.after(this.#options.graceMs ?? DEFAULTS.graceMs, () => {
      this.#endInterrupted();
      this.#listener.stuck(this, this.#durationMs);
    });
    this.#abort(reason);
  }

  #abort(reason: QuaysideError): void {
    this.#abortedBy ??= reason;
    this.#controller?.abort(reason);
  }

  #returned(end: AttemptEnd): void {
    if ("error" in end) {
      // A handler that stops because it was told to says nothing of its own.
      if (this.#interrupt) this.#endInterrupted();
      else this.#settle(this.#afterThrow(end.error), { error: thrownIn(end.error) });
    } else if (this.#interrupt === "timeout" || this.#interrupt === "cancelled") {
      this.#endInterrupted();
    } else this.#complete(end);
  }

  #complete(end: AttemptEnd): void {
    const { token } = this;
    const { result } = end;
    try {
      const text = result === undefined ? undefined : toBoundedJson(result, "result", "invalid_result");
      this.#settle(
        text === undefined ? { token, outcome: "completed" } : { token, outcome: "completed", result: text },
        end,
      );
    } catch (error) {
      this.#settle(this.#afterThrow(error), { error });
    }
  }

  #afterThrow(error: unknown): Settlement {
    if (isA(Release, error)) {
      if (error.fault !== undefined) this.#listener.fault(error.fault);
      return { token: this.token, outcome: "released", delayMs: toMs(error.delayMs, "release") };
    }
    return this.#failed(error);
  }

  #failed(error: unknown): Settlement {
    const retryMs = this.#retryMs(error);
    return {
      token: this.token,
      outcome: "failed",
      error: toStoredError(error),
      ...(retryMs !== undefined && { retryMs }),
    };
  }

  /** A policy that throws must not cost the job its attempts: it is then as if there were none; nor may an odd error. */
  #retryMs(error: unknown): number | undefined {
    const { queueOf, random, clock } = this.#options;
    const timedOut = this.#interrupt === "timeout";
    const failed = { job: this.job, error: thrownIn(error), timedOut, now: clock.now(), random: random() };
    const tries = [
      () => decideRetry(failed, queueOf?.(this.job)?.policy?.(this.job)),
      () => decideRetry(failed, undefined),
    ];
    for (const decide of tries) {
      try {
        return decide();
      } catch (cause) {
        this.#listener.fault(cause);
      }
    }
    return decideRetry({ ...failed, error: undefined }, undefined);
  }

  #endInterrupted(): void {
    const end = { error: this.#reason };
    try {
      this.#settle(this.#afterInterrupt(), end);
    } catch (cause) {
      this.#giveUp(cause, end);
    }
  }

  #afterInterrupt(): Settlement {
    switch (this.#interrupt) {
      case "timeout": {
        const { network } = this.#options;
        const delayMs = this.job.requires === "network" ? network?.timedOut(this.job, this.#begunAt) : undefined;
        if (delayMs !== undefined) return { token: this.token, outcome: "released", delayMs };
        return this.#failed(this.#reason);
      }
      case "cancelled":
        return { token: this.token, outcome: "cancelled" };
      default:
        return { token: this.token, outcome: "released", delayMs: 0 };
    }
  }

  #settle(settlement: Settlement, end: AttemptEnd): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#listener.settled({ attempt: this, settlement, end, durationMs: this.#durationMs, refused: false });
  }

  get #durationMs(): number {
    return this.#options.clock.now() - this.startedAt;
  }

  #context(): HandlerContext {
    const { job } = this;
    const extra: object = this.#options.worker.ctx ?? {};
    // Functions that are assigned, not methods or arrows of a literal: bundlers that keep names (wrangler does) define the
    // name of each of those anew whenever it is made.
    const context: Writable<HandlerContext> = new Context(this);
    context.progress = (value) => {
      const copy = JSON.parse(toBoundedJson(value, "progress", "invalid_option")) as Json;
      if (!this.#settled) this.#listener.progressed(this, copy);
    };
    context.log = (line) => {
      if (!this.#settled) this.#listener.logged(this, line);
    };
    context.children = () => this.#children ?? [];
    context.enqueue = (request) => this.#producer().enqueue(request, job);
    context.publish = (request) => this.#producer().publish(request, job);
    const all = context as unknown as Record<string, unknown>;
    for (const name in extra) {
      if (name !== "signal" && !Object.hasOwn(all, name)) all[name] = extra[name as keyof typeof extra];
    }
    return context;
  }

  #producer(): Producer {
    const { producer } = this.#options.worker;
    if (producer) return producer;
    throw new QuaysideError(
      "invalid_option",
      "This worker cannot add jobs: it has no producer. That of a Queue or QueueManager has one.",
      { option: "producer" },
    );
  }
}

/**
 * JSON text of a result or a report of progress.
 *
 * @throws {QuaysideError} with `code` for what JSON cannot hold; `result_too_large` for what is longer than may be stored.
 */
export function toBoundedJson(
  value: unknown,
  what: "result" | "progress",
  code: ErrorCode,
  limit: number = LIMITS.resultBytes,
): string {
  const text = toJsonText(value, what, code);
  const bytes = utf8Bytes(text, limit);
  if (bytes <= limit) return text;
  const message = `The ${what} is ${bytes} bytes of JSON; at most ${limit} are kept. Store it elsewhere, and return where it is.`;
  throw new QuaysideError("result_too_large", message, { bytes, limit });
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

const ATTEMPT: unique symbol = Symbol("quayside.attempt");

/** What a handler gets; its attempt adds the functions. All is its own but the signal, which is made when it is read. */
class Context implements Pick<HandlerContext, "signal"> {
  declare readonly [ATTEMPT]: Attempt;
  declare readonly job: JobRecord;
  declare readonly id: string;
  declare readonly name: string;
  declare readonly queue: string;
  declare readonly attempt: number;
  declare readonly maxAttempts: number;
  readonly release = releaseJob;
  readonly fail = failJob;
  declare progress: HandlerContext["progress"];
  declare log: HandlerContext["log"];
  declare children: HandlerContext["children"];
  declare enqueue: HandlerContext["enqueue"];
  declare publish: HandlerContext["publish"];

  constructor(attempt: Attempt) {
    const { job } = attempt;
    this[ATTEMPT] = attempt;
    this.job = job;
    this.id = job.id;
    this.name = job.name;
    this.queue = job.queue;
    this.attempt = job.attempts;
    this.maxAttempts = job.maxAttempts;
  }

  get signal(): AbortSignal {
    return this[ATTEMPT].signal;
  }
}

/** One for all: each attempt would make its own, and most have no timer to stop. */
const nothing = (): void => {};
