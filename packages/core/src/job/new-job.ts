import type { ChildFailure, StoredOptions } from "./job-record.ts";

/**
 * A job to add, in the form in which drivers take it: options resolved, payload checked and converted to JSON text.
 * Made by `prepareJob`.
 */
export interface NewJob extends StoredOptions {
  readonly queue: string;
  readonly name: string;
  /** The payload as JSON text, within the size limit. */
  readonly payload: string;
  /** The caller's own id. It is also the idempotency key: a second add with the id adds nothing. Absent: generated. */
  readonly id?: string | undefined;
  readonly delayMs?: number | undefined;
  readonly priority?: number | undefined;
  readonly expiresInMs?: number | undefined;
  /** The job's place in a flow: see `FlowPart`. */
  readonly flow?: FlowPart | undefined;
}

/**
 * The place of a job in a flow. A parent waits until all of its children have ended. Names (`ref`) are valid within one
 * `enqueue` call; parents and children may be in any order.
 */
export interface FlowPart {
  readonly ref?: string | undefined;
  readonly parentRef?: string | undefined;
  /** Effect on the parent if this child fails, is cancelled or removed. Default: `fail`. */
  readonly onFailure?: ChildFailure | undefined;
}
