import { pluginsOf } from "../drivers/check-driver.ts";
import { type Duration, toMs } from "../job/duration.ts";
import { QuaysideError, refused } from "../job/errors.ts";
import type { HandlerContext } from "../job/handler.ts";
import type { HandledPayloadOf, JobMap, JobName, ReturnedOf, UntypedJobs } from "../job/job-types.ts";
import * as LIMITS from "../job/limits.ts";
import { fields, integer } from "../job/option-checks.ts";

/** Options of `queue.onBatch`. */
export interface BatchOptions {
  /** Maximum number of jobs per call, and the number of due jobs that are handled at once: integer from 1 to 10,000. */
  readonly size: number;
  /**
   * Time for which jobs wait in the store for more, from when the oldest is due: up to 7 days. Default: 0, so that a
   * call gets the jobs that are due by then.
   */
  readonly wait?: Duration | undefined;
}

/** A job of a batch. Without an outcome of its own, it has that of the call. */
export interface BatchJob<Jobs extends JobMap = UntypedJobs, Name extends JobName<Jobs> = JobName<Jobs>> {
  readonly id: string;
  readonly payload: HandledPayloadOf<Jobs, Name>;
  /** Number of this attempt of the job, from 1. */
  readonly attempt: number;
  /** Aborted when this job should stop: cancelled, timed out, lease lost, worker stopping. */
  readonly signal: AbortSignal;
  /** Completes this job with a result (JSON), also if the call throws. The last of several outcomes counts. */
  complete(result?: ReturnedOf<Jobs, Name>): void;
  /** Fails this attempt as if the job's handler had thrown: the job is retried by its own options. */
  fail(error: unknown): void;
}

/** The `ctx` of a batch handler, with the fields of the queue's `ctx`. `signal` aborts when every job should stop. */
export type BatchContext<Jobs extends JobMap = UntypedJobs> = Pick<
  HandlerContext<unknown, Jobs>,
  "name" | "queue" | "signal" | "addJob" | "addFlow" | "enqueue" | "publish"
>;

/** Handles up to `size` jobs in one call. Returns: they are completed. Throws: each fails, and is retried by its options. */
export type BatchHandler<
  Jobs extends JobMap = UntypedJobs,
  Name extends JobName<Jobs> = JobName<Jobs>,
  Ctx extends object = object,
> = (jobs: readonly BatchJob<Jobs, Name>[], ctx: BatchContext<Jobs> & Ctx) => void | PromiseLike<void>;

/** Collects the jobs of one name that start together, and calls the batch handler with them. */
export class Batch {
  readonly size: number;
  readonly waitMs: number;
  /** Number of calls since construction. */
  calls = 0;
  readonly #handle: BatchHandler;
  /** Claimed jobs that are still being decrypted or checked: by id, their positions in the claim. */
  readonly #coming = new Map<string, number>();
  #started = 0;
  #members: Member[] = [];

  constructor(options: BatchOptions, handle: BatchHandler) {
    const { size, wait = 0 } = fields(options, "options", ["size", "wait"]);
    this.size = integer(size, 1, LIMITS.claim, "size");
    this.waitMs = integer(toMs(wait, "wait"), 0, LIMITS.batchWaitMs, "wait");
    this.#handle = handle;
  }

  /** Runs one job of a claim; the call of the batch handler waits until all of them have joined or ended. */
  start(id: string, run: () => unknown): unknown {
    this.#coming.set(id, ++this.#started);
    const ended = () => {
      if (this.#coming.delete(id)) this.#callNext();
    };
    const running = (async () => run())();
    running.then(ended, ended);
    return running;
  }

  /** The handler of each single job. Resolves with the outcome of the job when the call has ended. */
  readonly join = (payload: unknown, ctx: HandlerContext): Promise<unknown> => {
    const member = new Member(payload, ctx, this.#coming.get(ctx.id) ?? ++this.#started);
    this.#members.push(member);
    this.#coming.delete(ctx.id);
    // Later, so that the jobs that start in the same turn are in the same call.
    void Promise.resolve().then(() => this.#callNext());
    return member.ended;
  };

  #callNext(): void {
    this.#members.sort((a, b) => a.position - b.position);
    while (this.#coming.size === 0 && this.#members[0]) void this.#call(this.#members.splice(0, this.size));
  }

  async #call(members: readonly Member[]): Promise<void> {
    this.calls++;
    const controller = new AbortController();
    let running = members.length;
    for (const { signal } of members) {
      const stop = () => {
        if (--running === 0) controller.abort(signal.reason);
      };
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop);
    }
    let failure: Outcome | undefined;
    try {
      await this.#handle(members.map(toJob), { ...(members[0] as Member).shared, signal: controller.signal });
    } catch (error) {
      failure = { error };
    }
    for (const member of members) member.end(failure ?? {});
  }
}

interface Outcome {
  readonly error?: unknown;
  readonly result?: unknown;
}

/** A job of a call. */
class Member {
  readonly ended: Promise<unknown>;
  readonly payload: unknown;
  readonly signal: AbortSignal;
  readonly #ctx: HandlerContext;
  #outcome: Outcome | undefined;
  #settle: ((outcome: Outcome) => void) | undefined;

  readonly position: number;

  constructor(payload: unknown, ctx: HandlerContext, position: number) {
    this.position = position;
    this.payload = payload;
    this.signal = ctx.signal;
    this.#ctx = ctx;
    this.ended = new Promise((resolve, reject) => {
      this.#settle = (outcome) => ("error" in outcome ? reject(outcome.error) : resolve(outcome.result));
    });
  }

  /** The fields of `ctx` that do not concern a single job. */
  get shared(): Omit<BatchContext, "signal"> {
    const shared: Record<string, unknown> = {};
    for (const name in this.#ctx)
      if (!OF_ONE_JOB.includes(name)) shared[name] = this.#ctx[name as keyof HandlerContext];
    return shared as unknown as BatchContext;
  }

  toJob(): BatchJob {
    const { id, attempt } = this.#ctx;
    return {
      id,
      payload: this.payload,
      attempt,
      signal: this.signal,
      complete: (result) => this.#decide({ result }),
      fail: (error) => this.#decide({ error }),
    };
  }

  /** Ends the job with its own outcome, else with that of the call. */
  end(outcome: Outcome): void {
    this.#settle?.(this.#outcome ?? outcome);
    this.#settle = undefined;
  }

  #decide(outcome: Outcome): void {
    const { id } = this.#ctx;
    if (!this.#settle)
      throw new QuaysideError("conflict", `The batch of job ${id} has ended: its outcome is fixed.`, { id });
    this.#outcome = outcome;
  }
}

/** Refuses a driver in this process that lacks the plugin of batches. */
export function checkBatches(driver: object): void {
  const names = pluginsOf(driver)?.all.map(({ name }) => name);
  if (names && !names.includes("batches")) throw refused("driver", "must have all plugins, for batches", names);
}

const toJob = (member: Member): BatchJob => member.toJob();

/** The fields of a handler's `ctx` that concern a single job. */
const OF_ONE_JOB: readonly string[] = [
  "source",
  "job",
  "id",
  "attempt",
  "maxAttempts",
  "scheduledFor",
  "signal",
  "progress",
  "log",
  "children",
  "release",
  "fail",
];
