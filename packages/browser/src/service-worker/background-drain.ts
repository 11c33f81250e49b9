import { type Clock, type JobRecord, QuaysideError, type WorkerEvents } from "@quayside/core";
import type { WorkPlace } from "@quayside/core/engine";
import { type RemainingWork, remainingWork } from "./remaining-work.ts";

/** The part of a `Queue`, `QueueWorker` or `QueueManager` that works jobs until none is due. */
export interface Drainable {
  drain(): Promise<void>;
  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void;
  /**
   * Drivers and queues of the worker, in which a drain looks for remaining jobs. Absent: counts only jobs that the
   * drain itself delayed.
   */
  readonly places?: readonly WorkPlace[] | undefined;
}

/** Time added to waits, in ms, because a timer may fire a fraction of a millisecond early. */
const SLACK_MS = 10;
/** Pause before the next drain if jobs that can be claimed are left, in ms. */
const PAUSE_MS = 1_000;

/**
 * Drains the worker for events that may arrive at once: one drain runs, and one more follows for all events that
 * arrived meanwhile, because the running one may have made its last claim.
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

  /**
   * Resolves when no work is left. Rejects if the next work is due too late to wait, so that another sync must do it.
   */
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
    /** By job that this drain has delayed, the time at which the job is due again. */
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
        const { places } = this.#worker;
        // An earlier event, or a page that is closed by now, may have left jobs as well, so the stores are read.
        const seen = () => leftOf(dueAt, clock.monotonic());
        const left = places ? await remainingWork(places).catch((error) => unlessForbidden(error, seen)) : seen();
        if (left.jobs === 0) return;
        const now = clock.monotonic();
        deadline ??= now + this.#patienceMs;
        const dueInMs = left.dueInMs > 0 ? left.dueInMs : PAUSE_MS;
        // Jobs held by other workers may end at any time.
        const waitMs = left.held > 0 ? Math.min(dueInMs, deadline - now) : dueInMs;
        if (now >= deadline || now + waitMs > deadline) throw new Error(describe(left));
        await this.#wait(waitMs + SLACK_MS, places);
        // Due jobs may be held by other workers by now, or were run again; if they fail again, they are recorded again.
        for (const [key, at] of dueAt) if (at <= clock.monotonic()) dueAt.delete(key);
      }
    } finally {
      for (const stop of stops) stop();
    }
  }

  /** Waits for a time, or until another worker ends a job of these queues. */
  async #wait(ms: number, places: readonly WorkPlace[] = []): Promise<void> {
    const stops: (() => void)[] = [];
    await new Promise<void>((resolve) => {
      stops.push(this.#clock.after(ms, resolve));
      for (const { driver, queues } of places)
        stops.push(driver.watch(({ queue, kind }) => kind === "ended" && queues.includes(queue) && resolve()));
    });
    for (const stop of stops) stop();
  }
}

/**
 * Returns the remaining jobs that the drain itself has delayed (`seen`), if `error` says that the token may not read
 * counts and jobs. Throws any other error.
 */
function unlessForbidden(error: unknown, seen: () => RemainingWork): RemainingWork {
  if (error instanceof QuaysideError && error.code === "forbidden") return seen();
  throw error;
}

const leftOf = (dueAt: ReadonlyMap<string, number>, now: number): RemainingWork => ({
  jobs: dueAt.size,
  held: 0,
  dueInMs: Math.min(...dueAt.values()) - now,
});

const describe = ({ jobs, held, dueInMs }: RemainingWork): string =>
  held === jobs
    ? `${jobs} jobs are being worked elsewhere.`
    : `${jobs} jobs are to be tried again, the first in ${Math.ceil(dueInMs / 1_000)} s.`;

const keyOf = ({ queue, id }: JobRecord): string => JSON.stringify([queue, id]);
