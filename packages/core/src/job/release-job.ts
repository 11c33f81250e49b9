import { describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import { isA, UnrecoverableError } from "./errors.ts";
import type { JobRecord } from "./job-record.ts";

/** Thrown by `ctx.release` to leave the handler; the job is then released, also if the handler catches the error. */
export class Release extends Error {
  override readonly name = "Release";
  readonly delayMs: number;
  /**
   * The error to emit if the job was released because it could not run in this worker. Absent if its handler called
   * `ctx.release`.
   */
  readonly fault: unknown;
  constructor(delayMs: number, fault?: unknown) {
    super("This attempt gave its job back (ctx.release). Let it pass.");
    this.delayMs = delayMs;
    this.fault = fault;
  }
}

/**
 * The last error of `ctx.release` or `ctx.fail` in an attempt, by the job record of the attempt. It decides the attempt,
 * even if the handler caught it.
 */
const decisions = new WeakMap<object, Error>();

/**
 * Returns the last error that `ctx.release` or `ctx.fail` has thrown in an attempt; undefined if neither was called. For
 * the encryption of a job, which must encrypt its text.
 */
export const decisionOf = (job: JobRecord): Error | undefined => decisions.get(job);

/** Returns the decision that an attempt applies itself: that of an encrypted job is applied by its encryption. */
export const plainDecisionOf = (job: JobRecord): Error | undefined => (job.sealed ? undefined : decisionOf(job));

function decide(job: JobRecord, decision: Error): never {
  decisions.set(job, decision);
  throw decision;
}

/** Implements `ctx.release`: throws a `Release` with the delay. */
export const releaseJob = (job: JobRecord, delay: Duration = 0): never =>
  decide(job, new Release(toMs(delay, "release")));

/** Implements `ctx.fail`: throws an error that ends the job as failed. */
export const failJob = (job: JobRecord, reason: unknown = "The handler called ctx.fail()."): never =>
  decide(job, new UnrecoverableError(describe(isA(Error, reason) ? reason.message : reason), reason));
