import type { Duration } from "../job/duration.ts";
import type { Json } from "../job/json.ts";
import type { JobRecord } from "../job/record.ts";

/**
 * What a handler gets beside its payload.
 *
 * @example
 * queue.on("job:export", async ({ pages }, ctx) => {
 *   for (const page of pages) {
 *     ctx.signal.throwIfAborted();
 *     await exportPage(page, { signal: ctx.signal });
 *     ctx.progress({ page });
 *   }
 * });
 */
export interface HandlerContext<Payload = unknown> {
  readonly job: JobRecord<Payload>;
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  /** This attempt, counted from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** Aborted when the attempt should stop: cancelled, timed out, lease lost, worker stopping. `reason` says which. */
  readonly signal: AbortSignal;
  /** Tells how far it is; stored with the job while it runs. */
  progress(value: Json): void;
  /** Ends this attempt without counting it; the job runs again after `delay` (default: at once). */
  release(delay?: Duration): never;
  /** Ends the job as `failed`, whatever attempts are left. */
  fail(reason: string | Error): never;
}

/** Runs a job. What it returns (JSON) is the job's result; what it throws fails the attempt. */
export type Handler<Payload = unknown, Extra extends object = object> = (
  payload: Payload,
  ctx: HandlerContext<Payload> & Extra,
) => unknown;

/** Thrown by `ctx.release` to leave the handler; let it pass. */
export class Release extends Error {
  override readonly name = "Release";
  readonly delayMs: number;
  constructor(delayMs: number) {
    super("This attempt gave its job back (ctx.release). Let this pass through your handler.");
    this.delayMs = delayMs;
  }
}
