import type { ChildFailure, StoredOptions } from "./job-record.ts";

/** A job on its way in: resolved, validated, with its payload as JSON text. `Queue` makes these. */
export interface NewJob extends StoredOptions {
  readonly queue: string;
  readonly name: string;
  /** JSON text, measured and checked at the door. */
  readonly payload: string;
  /** The caller's own id: also its idempotency key. */
  readonly id?: string;
  readonly delayMs?: number;
  readonly priority?: number;
  readonly expiresInMs?: number;
  /** Makes it part of a flow: see `FlowPart`. */
  readonly flow?: FlowPart;
}

/**
 * Binds jobs of one `enqueue` into a tree: a parent waits until all of its children have ended. Names (`ref`) hold
 * within the call only; a parent comes before its children or after them.
 */
export interface FlowPart {
  readonly ref?: string;
  readonly parentRef?: string;
  /** The effect on the parent when this child fails, is cancelled or removed. Default `fail`. */
  readonly onFailure?: ChildFailure;
}
