import type { EnqueueReceipt, StoredError } from "@quayside/core";

/** What an outbox tells of, in the tab that forwards. */
export interface OutboxEvents {
  /** The remote has these jobs: its receipts, in the order of the ids. A receipt of another id: the job was a duplicate of that one. */
  readonly forwarded: {
    readonly queue: string;
    readonly ids: readonly string[];
    readonly receipts: readonly EnqueueReceipt[];
  };
  /** The remote will not have this job: it stays in the outbox as `failed`, to be retried, removed, or shown. */
  readonly refused: { readonly queue: string; readonly id: string; readonly error: StoredError };
  /** It could not be forwarded now; it will be tried again after `retryInMs`, or sooner. */
  readonly error: { readonly queue: string; readonly error: unknown; readonly retryInMs: number };
}

/** Typed listeners. One that throws harms nobody: its error is shown as an uncaught one is. */
export class OutboxEmitter {
  readonly #listeners = new Map<keyof OutboxEvents, Set<(event: never) => void>>();

  on<Name extends keyof OutboxEvents>(name: Name, listener: (event: OutboxEvents[Name]) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners);
    const own = (event: OutboxEvents[Name]) => listener(event);
    listeners.add(own);
    return () => void listeners.delete(own);
  }

  emit<Name extends keyof OutboxEvents>(name: Name, event: OutboxEvents[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (event: OutboxEvents[Name]) => void)(event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
