import { describe } from "./cut-text.ts";
import { type Duration, toMs } from "./duration.ts";
import { isA, UnrecoverableError } from "./errors.ts";

/** Thrown by `ctx.release` to leave the handler; let it pass. */
export class Release extends Error {
  override readonly name = "Release";
  readonly delayMs: number;
  /** The error that kept the job from running here, for an `error` event; absent when its handler gave it back. */
  readonly fault: unknown;
  constructor(delayMs: number, fault?: unknown) {
    super("This attempt gave its job back (ctx.release). Let it pass.");
    this.delayMs = delayMs;
    this.fault = fault;
  }
}

/** `ctx.release`, wherever the handler runs. */
export function releaseJob(delay: Duration = 0): never {
  throw new Release(toMs(delay, "release"));
}

/** `ctx.fail`, wherever the handler runs. */
export function failJob(reason: unknown = "The handler called ctx.fail()."): never {
  throw new UnrecoverableError(describe(isA(Error, reason) ? reason.message : reason), reason);
}
