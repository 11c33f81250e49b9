import type { Clock } from "../engine/clock.ts";
import type { ClaimedJob, Settlement } from "../engine/verbs.ts";
import { DEFAULTS } from "../job/defaults.ts";
import { toMs } from "../job/duration.ts";
import { isA, LeaseLostError, QuaysideError, thrownIn, toStoredError } from "../job/errors.ts";
import type { ChildOutcome, HandlerContext } from "../job/handler.ts";
import { handlerScope } from "../job/handler-scope.ts";
import type { JobRecord } from "../job/job-record.ts";
import { type Json, toBoundedJson } from "../job/json.ts";
import { failJob, Release, releaseJob } from "../job/release-job.ts";
import { decideRetry, retryDelay } from "../job/retry.ts";
import type { Network } from "./network-requirement.ts";
import type { AttemptEnd, AttemptListener, Producer, Run, Settled, WorkerQueue } from "./options-and-events.ts";

/** Options that the attempts of a worker share. */
export interface AttemptOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** The user's part of `ctx`. */
  readonly ctx?: object | undefined;
  /** Adds the jobs of `ctx.enqueue` and `ctx.publish`. */
  readonly producer?: Producer | undefined;
  /** For jobs that require it. */
  readonly network?: Network | undefined;
  readonly queueOf?: (job: JobRecord) => Pick<WorkerQueue, "policy" | "ctx" | "producer"> | undefined;
}

/**
 * One run of a job's handler. An interruption (timeout, cancel, stop) aborts its signal and gives it a grace to return.
 * After the grace its settlement is sent without it, and its slot stays taken until it returns (R12).
 */
export class Attempt {
  readonly token: string;
  readonly job: JobRecord;
  readonly startedAt: number;
  readonly #listener: AttemptListener;
  readonly #options: AttemptOptions;
  readonly #children: readonly ChildOutcome[] | undefined;
  #controller: AbortController | undefined;
  /** The reason of the interruption, if there was one. */
  #interruption: QuaysideError | undefined;
  #settled = false;
  /** By the monotonic clock. */
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

  /** Made when it is first read: most handlers do not read it, and in workerd it was the slowest part of an attempt (2 µs). */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#interruption) this.#controller.abort(this.#interruption);
    return this.#controller.signal;
  }

  /** Settled or lost: the worker no longer renews its lease on the job. */
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
      // The built-in `then`: the `then` of what a handler returns may throw, or call back twice.
      Promise.prototype.then.call(
        Promise.resolve(handlerScope.run(scope, run, this.job, this.#context())),
        (result) => this.#finish({ result }),
        (error) => this.#finish({ error }),
      );
    } catch (error) {
      void Promise.resolve().then(() => this.#finish({ error }));
    }
  }

  cancel(): void {
    const { id } = this.job;
    this.#interrupt(new QuaysideError("cancelled", `Job ${id} was cancelled.`, { id }));
  }

  /** Interrupts the attempt because its worker is stopping. */
  stop(): void {
    this.#interrupt(new QuaysideError("closed", "The worker is stopping."));
  }

  /** Interrupts the attempt and gives its job back at once, without a grace. */
  abortNow(): void {
    this.stop();
    this.#end({ error: this.#interruption });
  }

  /** Ends the attempt without a settlement: another worker may be running the job. */
  lose(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#abort(new LeaseLostError(this.job.id));
  }

  #limit(timeoutMs: number): void {
    const { clock } = this.#options;
    this.#begunAt = clock.monotonic();
    const message = `Job ${this.job.id} ran longer than its timeout of ${timeoutMs} ms.`;
    this.#stopTimeout = clock.after(timeoutMs, () =>
      this.#interrupt(new QuaysideError("timeout", message, { timeoutMs })),
    );
  }

  #interrupt(reason: QuaysideError): void {
    if (this.#settled || this.#interruption) return;
    this.#stopGrace = this.#options.clock.after(DEFAULTS.graceMs, () => {
      this.#end({ error: reason });
      this.#listener.stuck(this, this.#durationMs);
    });
    this.#abort(reason);
  }

  #abort(reason: QuaysideError): void {
    this.#interruption ??= reason;
    this.#controller?.abort(reason);
  }

  #finish(end: AttemptEnd): void {
    const reason = this.#interruption;
    try {
      // Interrupted, the handler's error says nothing of its own. Its result counts only when it was the worker that stopped.
      this.#end(reason && ("error" in end || reason.code !== "closed") ? { error: reason } : end);
    } finally {
      this.#stopTimeout();
      this.#stopGrace();
      this.#listener.returned(this);
    }
  }

  /** Settles the attempt, once. An error in here is itself the end of an attempt that failed, and counts (R28). */
  #end(end: AttemptEnd): void {
    if (this.#settled) return;
    const { token, job } = this;
    let settled: Pick<Settled, "settlement" | "end">;
    try {
      settled = "error" in end ? this.#thrown(end.error) : this.#returned(end);
    } catch (cause) {
      this.#listener.fault(cause);
      const retryMs = retryDelay(job, job.attempts, undefined, this.#options.random());
      settled = { settlement: failure(token, cause, retryMs), end };
    }
    this.#settled = true;
    this.#listener.settled({ attempt: this, ...settled, durationMs: this.#durationMs });
  }

  #returned(end: AttemptEnd): Pick<Settled, "settlement" | "end"> {
    const { token } = this;
    if (end.result === undefined) return { settlement: { token, outcome: "completed" }, end };
    let result: string;
    try {
      result = toBoundedJson(end.result, "result", "invalid_result");
    } catch (error) {
      return this.#thrown(error);
    }
    return { settlement: { token, outcome: "completed", result }, end };
  }

  #thrown(error: unknown): Pick<Settled, "settlement" | "end"> {
    const { token, job } = this;
    const end = { error: thrownIn(error) };
    const released = (delayMs: number) => ({ settlement: { token, outcome: "released", delayMs } as const, end });
    if (isA(Release, error)) {
      if (error.fault !== undefined) this.#listener.fault(error.fault);
      return released(toMs(error.delayMs, "release"));
    }
    const interrupted = error === this.#interruption ? this.#interruption?.code : undefined;
    if (interrupted === "closed") return released(0);
    if (interrupted === "cancelled") return { settlement: { token, outcome: "cancelled" }, end };
    const { network } = this.#options;
    const timedOut = interrupted === "timeout";
    const offlineMs = timedOut && job.requires === "network" ? network?.timedOut(job, this.#begunAt) : undefined;
    if (offlineMs !== undefined) return released(offlineMs);
    return { settlement: failure(token, error, this.#retryMs(end.error, timedOut)), end };
  }

  /** A policy that throws costs the job no attempt: it is then as if there were none. So is an error that cannot be read. */
  #retryMs(error: unknown, timedOut: boolean): number | undefined {
    const { queueOf, random, clock } = this.#options;
    const { job } = this;
    const failed = { job, error, timedOut, now: clock.now(), random: random() };
    const tries = [() => decideRetry(failed, queueOf?.(job)?.policy?.(job)), () => decideRetry(failed, undefined)];
    for (const decide of tries) {
      try {
        return decide();
      } catch (cause) {
        this.#listener.fault(cause);
      }
    }
    return decideRetry({ ...failed, error: undefined }, undefined);
  }

  get #durationMs(): number {
    return this.#options.clock.now() - this.startedAt;
  }

  #context(): HandlerContext {
    const { job } = this;
    // Functions that are assigned, not methods or arrows of a literal: bundlers that keep names (wrangler does) define the
    // name of each of those whenever it is made.
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
    const add = (extra: object | undefined) => {
      for (const name in extra)
        if (name !== "signal" && !Object.hasOwn(all, name)) all[name] = extra[name as keyof typeof extra];
    };
    add(this.#options.ctx);
    add(this.#options.queueOf?.(job)?.ctx);
    return context;
  }

  #producer(): Producer {
    const { producer = this.#options.queueOf?.(this.job)?.producer } = this.#options;
    if (producer) return producer;
    throw new QuaysideError(
      "invalid_option",
      "This worker cannot add jobs: it has no producer. A QueueWorker has one.",
      { option: "producer" },
    );
  }
}

const failure = (token: string, error: unknown, retryMs: number | undefined): Settlement => ({
  token,
  outcome: "failed",
  error: toStoredError(error),
  ...(retryMs !== undefined && { retryMs }),
});

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** The context of a handler; its attempt adds the functions. All are own properties but the signal, made when it is read. */
class Context implements Pick<HandlerContext, "signal"> {
  readonly #attempt: Attempt;
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
    this.#attempt = attempt;
    this.job = job;
    this.id = job.id;
    this.name = job.name;
    this.queue = job.queue;
    this.attempt = job.attempts;
    this.maxAttempts = job.maxAttempts;
  }

  get signal(): AbortSignal {
    return this.#attempt.signal;
  }
}

/** Shared: most attempts have no timer to stop, and need no function of their own. */
const nothing = (): void => {};
