import type { StoredError } from "@quayside/core";
import type { EnqueueReceipt } from "@quayside/core/engine";
import { partsOf } from "./classify-remote-error.ts";

/** Events of an outbox, emitted in the tab that forwards. */
export interface OutboxEvents {
  /**
   * The remote has stored these jobs. `receipts` are in the order of `ids`. A receipt with another id names the
   * existing job of which the sent one was a duplicate.
   */
  readonly forwarded: {
    readonly queue: string;
    readonly ids: readonly string[];
    readonly receipts: readonly EnqueueReceipt[];
  };
  /** The remote refused this job. It stays in the outbox as `failed`, to be retried or removed. */
  readonly refused: { readonly queue: string; readonly id: string; readonly error: StoredError };
  /**
   * The jobs of a queue could not be forwarded. The next try is after at most `retryInMs` (`Infinity`: never). Without
   * `queue`, the local store cannot be read.
   */
  readonly error: { readonly queue?: string | undefined; readonly error: unknown; readonly retryInMs: number };
  /**
   * The jobs of the queue are held; none of them has failed. `auth`: there is no token, the remote refuses it, or
   * (`error.code` is `wrong_subject`) the next batch may have arrived for another user and waits for that user's token.
   * The queue is tried again at intervals, and at once by `forward()`, which you call after a sign-in.
   */
  readonly paused: { readonly queue: string; readonly reason: "auth"; readonly error: unknown };
  /** The jobs of a paused queue are forwarded again. */
  readonly resumed: { readonly queue: string };
  /**
   * Jobs of this partition wait for another remote and are not sent to this one. If this remote replaces the other (for
   * example because its URL changed), pass the old name as `remoteName`.
   */
  readonly elsewhere: { readonly remote: string; readonly pending: number };
}

type Listener = (event: never) => unknown;

/**
 * Adds and calls listeners of the outbox's events. An error of one listener is reported and does not affect the others.
 */
export class OutboxEmitter {
  readonly #listeners = new Map<keyof OutboxEvents, Set<Listener>>();
  readonly #shown = new Set<string>();

  on<Name extends keyof OutboxEvents>(name: Name, listener: (event: OutboxEvents[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    const own: Listener = (event) => (listener as Listener)(event);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  emit<Name extends keyof OutboxEvents>(name: Name, event: OutboxEvents[Name]): void {
    const listeners = [...(this.#listeners.get(name) ?? [])];
    if (listeners.length === 0) this.#warn(name, event);
    for (const listener of listeners) {
      try {
        Promise.resolve((listener as (event: OutboxEvents[Name]) => unknown)(event)).catch(show);
      } catch (error) {
        show(error);
      }
    }
  }

  /** Logs the reason why jobs are not delivered, if the event has no listener. Once per event and cause. */
  #warn(name: keyof OutboxEvents, event: OutboxEvents[keyof OutboxEvents]): void {
    if (name === "forwarded" || name === "resumed") return;
    const { error, ...rest } = event as { readonly error?: unknown };
    const cause = `${name} ${partsOf(error).code}`;
    if (this.#shown.has(cause)) return;
    this.#shown.add(cause);
    console.warn(`An outbox emitted "${name}", which has no listener:`, rest, ...(error === undefined ? [] : [error]));
  }
}

const show = (error: unknown): void => console.error("A listener of an outbox failed:", error);
