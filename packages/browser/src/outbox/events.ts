import type { StoredError } from "@quayside/core";
import type { EnqueueReceipt } from "@quayside/core/engine";
import { partsOf } from "./classify-remote-error.ts";

/** The events of an outbox, emitted in the tab that forwards. */
export interface OutboxEvents {
  /**
   * The remote has stored these jobs: `receipts` in the order of `ids`. A receipt of another id: the job was a
   * duplicate of that one.
   */
  readonly forwarded: {
    readonly queue: string;
    readonly ids: readonly string[];
    readonly receipts: readonly EnqueueReceipt[];
  };
  /** The remote refused this job: it stays in the outbox as `failed`, to be retried, removed, or shown. */
  readonly refused: { readonly queue: string; readonly id: string; readonly error: StoredError };
  /**
   * A queue could not be forwarded; it is tried again after `retryInMs` or sooner (`Infinity`: never). Without a
   * `queue`, the local store cannot be read.
   */
  readonly error: { readonly queue?: string; readonly error: unknown; readonly retryInMs: number };
  /**
   * The queue is held; none of its jobs has failed. `auth`: there is no token, or the remote refuses it, or
   * (`error.code` is `wrong_subject`) the next batch may have arrived for another subject, and waits for that one's
   * token. It is tried again at intervals, and at once by `forward()`: call that after a sign-in.
   */
  readonly paused: { readonly queue: string; readonly reason: "auth"; readonly error: unknown };
  /** A queue that was paused goes on. */
  readonly resumed: { readonly queue: string };
  /**
   * Jobs of this partition wait for another remote, and are not sent to this one. If this one has taken its place (its
   * URL changed, say), give the old name as `remoteName`.
   */
  readonly elsewhere: { readonly remote: string; readonly pending: number };
}

type Listener = (event: never) => unknown;

/** Typed listeners. The error of a listener that throws or rejects is reported; the other listeners still run. */
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

  /** Prints why jobs are not delivered when there is no listener: once per event and cause. */
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
