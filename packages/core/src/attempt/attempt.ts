import type { Clock } from "../engine/clock.ts";
import type { AttemptReport, ClaimedJob, Settlement } from "../engine/verbs.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { toMs } from "../job/duration.ts";
import type { Emitter } from "../job/emitter.ts";
import { isA, LeaseLostError, QuaysideError } from "../job/errors.ts";
import type { ChildOutcome, HandlerContext } from "../job/handler.ts";
import { handlerScope } from "../job/handler-scope.ts";
import type { JobRecord } from "../job/job-record.ts";
import { toBoundedJson } from "../job/json.ts";
import { plainDecisionOf, Release } from "../job/release-job.ts";
import { decideRetry, type RetryPolicy, retryDelay } from "../job/retry.ts";
import { thrownIn, toStoredError } from "../job/stored-error.ts";
import { makeContext, type Producer } from "./handler-context.ts";
import type { Network } from "./network-requirement.ts";
import type { WorkerEvents } from "./worker-events.ts";

/** Runs a job's handlers: takes the stored job, returns the result. */
export type Run<Ctx extends object = object> = (job: JobRecord, ctx: HandlerContext & Ctx) => unknown;

/** An ended attempt, and the settlement that reports its outcome to the store. */
export interface Settled {
  readonly attempt: Attempt;
  readonly settlement: Settlement;
  readonly end: AttemptEnd;
  readonly durationMs: number;
}

/** How an attempt ended: the handler's result, or the error that it threw or that interrupted it. */
export interface AttemptEnd {
  readonly error?: unknown;
  readonly result?: unknown;
}

/** The methods of a worker that its attempts call. */
export interface AttemptListener {
  /**
   * Called with the settlement to send when an attempt has ended, or its grace period is over. Called at most once, and
   * not after `lose`.
   */
  settled(settled: Settled): void;
  /** Called exactly once, when the attempt's handler has returned, so that its slot is free. */
  returned(attempt: Attempt): void;
  /** Called with progress or log lines to store with the job. */
  reported(attempt: Attempt, report: Partial<AttemptReport>): void;
}

/** The part of a queue that an attempt uses: fields for `ctx`, a producer, a retry policy. */
export interface AttemptQueue {
  /** Merged into the `ctx` of the queue's handlers. Fields of the worker's `ctx` take precedence. */
  readonly ctx?: object | undefined;
  /** Adds the jobs of `ctx.enqueue`, `ctx.publish` and `ctx.addFlow`, if the worker has no producer of its own. */
  readonly producer?: Producer | undefined;
  /** Returns the functions of a job's definition that decide about retries. */
  readonly policy?: ((job: JobRecord) => RetryPolicy | undefined) | undefined;
}

/** Options shared by the attempts of a worker. */
export interface AttemptOptions {
  readonly clock: Clock;
  /** Receives `progress`, `log` and `stuck` events, and `error` for errors outside the job. */
  readonly events: Emitter<WorkerEvents>;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  /** Fields that the user adds to `ctx`. */
  readonly ctx?: object | undefined;
  /** Adds the jobs of `ctx.enqueue`, `ctx.publish` and `ctx.addFlow`. */
  readonly producer?: Producer | undefined;
  /** Handles failures of jobs that require the network (`requires`). Absent: such jobs fail as others do. */
  readonly network?: Network | undefined;
}

/**
 * One run of a job's handler. An interruption (timeout, cancel, stop) aborts its signal and starts a grace period.
 * After it, the attempt is settled without the handler's result, and its slot stays taken until the handler returns
 * (R12).
 */
export class Attempt {
  readonly token: string;
  readonly job: JobRecord;
  readonly startedAt: number;
  readonly #listener: AttemptListener;
  readonly #options: AttemptOptions;
  readonly #queue: AttemptQueue;
  readonly #children: readonly ChildOutcome[] | undefined;
  #controller: AbortController | undefined;
  /** The error that interrupted the attempt, such as a timeout; undefined if none did. */
  #interruption: QuaysideError | undefined;
  #settled = false;
  /** Start of the attempt, by the monotonic clock. */
  #begunAt = 0;
  #stopTimeout = nothing;
  #stopGrace = nothing;

  constructor(
    { token, job, children }: ClaimedJob,
    queue: AttemptQueue,
    listener: AttemptListener,
    options: AttemptOptions,
  ) {
    this.token = token;
    this.job = job;
    this.#queue = queue;
    this.#children = children;
    this.startedAt = options.clock.now();
    this.#listener = listener;
    this.#options = options;
  }

  /**
   * The signal of `ctx`. Created when first read, because most handlers do not read it and creating it was the slowest
   * part of an attempt in workerd (2 µs).
   */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#interruption) this.#controller.abort(this.#interruption);
    return this.#controller.signal;
  }

  /** Whether the attempt is settled or lost, so that the worker no longer renews its lease. */
  get over(): boolean {
    return this.#settled;
  }

  /**
   * Runs the handler. Not an asynchronous function, which would allocate 200 bytes more per job.
   *
   * @param scope the attempt that the handler's code counts as part of. A job that runs immediately inside another
   * job's handler passes that job's attempt, which waits for it.
   */
  start(run: Run, scope: object = this): void {
    if (this.job.timeoutMs !== undefined) this.#limit(this.job.timeoutMs);
    try {
      // Uses the built-in `then`, because a `then` of the handler's own result may throw or call back twice.
      Promise.prototype.then.call(
        Promise.resolve(
          handlerScope.run(
            scope,
            run,
            this.job,
            makeContext(this, this.#children, this.#queue, this.#listener, this.#options),
          ),
        ),
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

  /** Interrupts the attempt and releases its job at once, without a grace period. */
  abortNow(): void {
    this.stop();
    this.#end({ error: this.#interruption });
  }

  /** Ends the attempt without a settlement, because another worker may run the job. */
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
      this.#options.events.emit("stuck", { job: this.job, durationMs: this.#durationMs });
    });
    this.#abort(reason);
  }

  #abort(reason: QuaysideError): void {
    this.#interruption ??= reason;
    this.#controller?.abort(reason);
  }

  #finish(returned: AttemptEnd): void {
    const reason = this.#interruption;
    const decision = plainDecisionOf(this.job);
    const end = decision ? { error: decision } : returned;
    try {
      // After an interruption, the handler's error is ignored. Its result counts only if the worker was stopping.
      this.#end(reason && ("error" in end || reason.code !== "closed") ? { error: reason } : end);
    } finally {
      this.#stopTimeout();
      this.#stopGrace();
      this.#listener.returned(this);
    }
  }

  /** Settles the attempt, once. An error while it is settled fails the attempt, which counts (R28). */
  #end(end: AttemptEnd): void {
    if (this.#settled) return;
    const { token, job } = this;
    let settled: Pick<Settled, "settlement" | "end">;
    try {
      settled = "error" in end ? this.#thrown(end.error) : this.#returned(end);
    } catch (cause) {
      this.#options.events.fault(cause);
      const retryMs = retryDelay(job, this.#options.random());
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
      if (error.fault !== undefined) this.#options.events.fault(error.fault);
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

  /**
   * Returns the ms until the next attempt; undefined if the job has failed for good. If the policy throws, or the error
   * cannot be read, the job is retried as without a policy.
   */
  #retryMs(error: unknown, timedOut: boolean): number | undefined {
    const { random, clock, events } = this.#options;
    const { job } = this;
    const failed = { job, error, timedOut, now: clock.now(), random: random() };
    const tries = [() => decideRetry(failed, this.#queue.policy?.(job)), () => decideRetry(failed, undefined)];
    for (const decide of tries) {
      try {
        return decide();
      } catch (cause) {
        events.fault(cause);
      }
    }
    return decideRetry({ ...failed, error: undefined }, undefined);
  }

  get #durationMs(): number {
    return this.#options.clock.now() - this.startedAt;
  }
}

const failure = (token: string, error: unknown, retryMs: number | undefined): Settlement => ({
  token,
  outcome: "failed",
  error: toStoredError(error),
  ...(retryMs !== undefined && { retryMs }),
});

/** Does nothing. Shared by attempts without a timer, in place of a function that stops it. */
const nothing = (): void => {};
