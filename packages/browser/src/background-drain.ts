import type { Clock, JobRecord, WorkerEvents } from "@quayside/core";

/** What works jobs until nothing is due: a `Queue`, a `Worker` or a `QueueManager`. */
export interface Drainable {
  drain(): Promise<void>;
  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void;
}

/** A timer may be early by a part of a millisecond: a job must be due when it is looked for. */
const SLACK_MS = 10;

/**
 * Drains for events that may come all at once: one drain runs, and one more begins after it for all who came meanwhile,
 * since it may have looked for the last time already.
 */
export class BackgroundDrain {
  readonly #worker: Drainable;
  readonly #patienceMs: number;
  readonly #clock: Clock;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(worker: Drainable, patienceMs: number, clock: Clock) {
    this.#worker = worker;
    this.#patienceMs = patienceMs;
    this.#clock = clock;
  }

  /** Resolves when nothing is left to do; rejects when jobs are to be tried again so late that somebody has to come back. */
  run(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        this.#running = this.#drain();
        return this.#running;
      });
    return this.#next;
  }

  async #drain(): Promise<void> {
    const clock = this.#clock;
    /** When jobs that this drain could not finish are due again. */
    const dueAt = new Map<string, number>();
    const again = (job: JobRecord, delayMs: number) => dueAt.set(keyOf(job), clock.monotonic() + delayMs);
    const stops = [
      this.#worker.on("retrying", ({ job, delayMs }) => again(job, delayMs)),
      this.#worker.on("released", ({ job, delayMs }) => again(job, delayMs)),
      this.#worker.on("stalled", ({ job }) => job.state !== "failed" && again(job, job.availableAt - clock.now())),
    ];
    try {
      let deadline: number | undefined;
      for (;;) {
        await this.#worker.drain();
        if (dueAt.size === 0) return;
        const due = Math.min(...dueAt.values());
        const now = clock.monotonic();
        deadline ??= now + this.#patienceMs;
        if (due > deadline) {
          throw new Error(
            `${dueAt.size} jobs are to be tried again, the first in ${Math.ceil((due - now) / 1_000)} s.`,
          );
        }
        await new Promise<void>((resolve) => clock.after(due - now + SLACK_MS, resolve));
        // Another worker may have them by now, or this drain had them again already: those that fail again tell so.
        for (const [key, at] of dueAt) if (at <= due) dueAt.delete(key);
      }
    } finally {
      for (const stop of stops) stop();
    }
  }
}

const keyOf = ({ queue, id }: JobRecord): string => JSON.stringify([queue, id]);
