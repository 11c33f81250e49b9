import { describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import { isA, UnrecoverableError } from "./errors.ts";

/** Thrown by `ctx.release` to leave the handler. Do not catch it. */
export class Release extends Error {
  override readonly name = "Release";
  readonly delayMs: number;
  /** An error to emit, if the job could not run in this worker; absent if its handler called `ctx.release`. */
  readonly fault: unknown;
  constructor(delayMs: number, fault?: unknown) {
    super("This attempt gave its job back (ctx.release). Let it pass.");
    this.delayMs = delayMs;
    this.fault = fault;
  }
}

/** Implements `ctx.release`. */
export function releaseJob(delay: Duration = 0): never {
  throw new Release(toMs(delay, "release"));
}

/** Implements `ctx.fail`. */
export function failJob(reason: unknown = "The handler called ctx.fail()."): never {
  throw new UnrecoverableError(describe(isA(Error, reason) ? reason.message : reason), reason);
}
