import type { Clock } from "../../engine/clock.ts";
import { CHANGE_KINDS, type Change } from "../../engine/store.ts";
import type { ExchangeRequest } from "../../engine/verbs.ts";
import { QuaysideError } from "../../job/errors.ts";
import { readChanges } from "./change-stream.ts";
import { labelOf } from "./worker-label.ts";

const FIRST_RETRY_MS = 1_000;
const LONGEST_RETRY_MS = 30_000;
/** Longest pause before a reconnect that a server may request, in ms. */
const LONGEST_ASKED_MS = 300_000;

/** Options of a `ChangeFeed`. */
export interface ChangeFeedOptions {
  readonly clock: Clock;
  /** Whether one stream reports all queues. False: one stream per followed queue. */
  readonly shared: boolean;
  /** Opens a stream of changes. `queue` is absent if the stream is shared. */
  readonly open: (signal: AbortSignal, queue?: string) => Promise<ReadableStream<Uint8Array>>;
}

/**
 * Implements `watch` of a remote driver. Keeps streams of changes open while there are listeners, and reconnects a
 * broken stream after 1 s, 2 s, 4 s … up to 30 s. When a stream opens, reports every kind of change to the listeners,
 * because changes may have been missed.
 */
export class ChangeFeed {
  readonly #options: ChangeFeedOptions;
  readonly #listeners = new Set<(change: Change) => void>();
  readonly #queues = new Set<string>();
  readonly #streams = new Map<string | undefined, AbortController>();
  /** Queues whose streams are open; undefined: the shared stream. */
  readonly #connected = new Set<string | undefined>();
  readonly #heard = new Map<string, number>();
  #closed = false;
  /** By the label of each worker of this driver, its key: see `recognise`. */
  readonly #workers = new Map<string, string>();

  constructor(options: ChangeFeedOptions) {
    this.#options = options;
  }

  /** Reports changes of this queue, too, from now on. */
  follow(queue: string): void {
    if (this.#queues.has(queue)) return;
    this.#queues.add(queue);
    if (this.#listeners.size > 0) this.#open();
  }

  /**
   * Returns a number that changes whenever there may be new jobs to claim from this queue; undefined while its stream
   * is closed. If two calls return the same number, no change was received in between.
   */
  heard(queue: string): number | undefined {
    return this.#connected.has(this.#options.shared ? undefined : queue) ? (this.#heard.get(queue) ?? 0) : undefined;
  }

  /** Counts a change of the queue that this driver has made, before the stream reports it. */
  touch(queue: string): void {
    this.#heard.set(queue, (this.#heard.get(queue) ?? 0) + 1);
  }

  /**
   * Replaces this worker's label in changes by its key, until the worker leaves. Changes that leave an object have only
   * labels, because keys are secret.
   */
  recognise({ worker, leave }: Pick<ExchangeRequest, "worker" | "leave">): void {
    const label = labelOf(worker);
    if (label === undefined) return;
    if (leave) this.#workers.delete(label);
    else this.#workers.set(label, worker);
  }

  listen(listener: (change: Change) => void): () => void {
    // An entry per call, so that the same function may listen twice.
    const entry = (change: Change) => listener(change);
    this.#listeners.add(entry);
    this.#open();
    return () => {
      this.#listeners.delete(entry);
      if (this.#listeners.size === 0) this.#close();
    };
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#close();
  }

  #open(): void {
    if (this.#closed) return;
    for (const queue of this.#options.shared ? [undefined] : this.#queues) {
      if (this.#streams.has(queue)) continue;
      const controller = new AbortController();
      this.#streams.set(queue, controller);
      void this.#run(controller.signal, queue);
    }
  }

  #close(): void {
    for (const controller of this.#streams.values()) controller.abort();
    this.#streams.clear();
    this.#connected.clear();
  }

  async #run(signal: AbortSignal, queue: string | undefined): Promise<void> {
    for (let wait = FIRST_RETRY_MS; !signal.aborted; wait = Math.min(wait * 2, LONGEST_RETRY_MS)) {
      let askedMs = 0;
      try {
        const stream = await this.#options.open(signal, queue);
        wait = FIRST_RETRY_MS;
        if (!signal.aborted) this.#connected.add(queue);
        for (const missed of queue === undefined ? this.#queues : [queue]) {
          for (const kind of CHANGE_KINDS) this.tell({ queue: missed, kind });
        }
        await readChanges(stream, signal, (change) => this.tell(change));
      } catch (error) {
        // The stream is opened again after a pause. Workers also poll, so a missed change only delays them.
        const asked = error instanceof QuaysideError ? Number(error.details["retryAfterMs"]) : 0;
        if (asked > 0) askedMs = Math.min(asked, LONGEST_ASKED_MS);
      }
      if (signal.aborted) return;
      this.#connected.delete(queue);
      await this.#pause(Math.max(wait, askedMs), signal);
    }
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        cancel();
        signal.removeEventListener("abort", done);
        resolve();
      };
      const cancel = this.#options.clock.after(ms, done);
      signal.addEventListener("abort", done);
    });
  }

  /** Calls the listeners with a change. */
  tell(told: Change): void {
    const worker = told.by === undefined ? undefined : this.#workers.get(told.by);
    const change = worker === undefined ? told : { ...told, by: worker };
    if (change.kind === "ready" || change.kind === "settings") this.touch(change.queue);
    for (const listener of [...this.#listeners]) listener(change);
  }
}
