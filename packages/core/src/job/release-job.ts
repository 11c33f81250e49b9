import { describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import { isA, UnrecoverableError } from "./errors.ts";

/** Thrown by `ctx.release` to leave the handler; the job is then released. A handler must not catch it. */
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

/** Implements `ctx.release`: throws a `Release` with the delay. */
export function releaseJob(delay: Duration = 0): never {
  throw new Release(toMs(delay, "release"));
}

/** Implements `ctx.fail`: throws an error that ends the job as failed. */
export function failJob(reason: unknown = "The handler called ctx.fail()."): never {
  throw new UnrecoverableError(describe(isA(Error, reason) ? reason.message : reason), reason);
}
