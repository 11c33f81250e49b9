import { type Clock, type JobRecord, QuaysideError, type WorkerEvents } from "@quayside/core";
import type { WorkPlace } from "@quayside/core/engine";
import { type RemainingWork, remainingWork } from "./remaining-work.ts";

/** Works jobs until nothing is due: a `Queue`, a `Worker` or a `QueueManager`. */
export interface Drainable {
  drain(): Promise<void>;
  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void;
  /** Where it works: asked for what is left after a drain. Absent: only what the drain itself put off is known. */
  readonly places?: readonly WorkPlace[];
}

/** A timer may be early by a part of a millisecond: a job must be due when it is looked for. */
const SLACK_MS = 10;
/** Pause before the next drain where jobs are left that the last one could have claimed, and did not. */
const PAUSE_MS = 1_000;

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

  /** Resolves when no work is left; rejects when work is due so late that another sync has to do it. */
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
        const { places } = this.#worker;
        // An earlier event, or a page that is closed by now, may have left work as well: the stores say what there is.
        const seen = () => leftOf(dueAt, clock.monotonic());
        const left = places ? await remainingWork(places).catch((error) => unlessForbidden(error, seen)) : seen();
        if (left.jobs === 0) return;
        const now = clock.monotonic();
        deadline ??= now + this.#patienceMs;
        const dueInMs = left.dueInMs > 0 ? left.dueInMs : PAUSE_MS;
        // What is held elsewhere may end at any time.
        const waitMs = left.held > 0 ? Math.min(dueInMs, deadline - now) : dueInMs;
        if (now >= deadline || now + waitMs > deadline) throw new Error(describe(left));
        await this.#wait(waitMs + SLACK_MS, places);
        // Another worker may have them by now, or this drain had them again already: those that fail again tell so.
        for (const [key, at] of dueAt) if (at <= clock.monotonic()) dueAt.delete(key);
      }
    } finally {
      for (const stop of stops) stop();
    }
  }

  /** Until the time is over, or a job of these queues has ended elsewhere. */
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

/** A token that may only work cannot read counts and jobs: only what the drain itself put off is known then. */
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
