import { fromStoredError, LeaseLostError, QuaysideError } from "../job/errors.ts";
import type { Json } from "../job/json.ts";
import type { JobRecord } from "../job/record.ts";
import type { Settlement } from "../store/verbs.ts";
import type { Emitter } from "./emitter.ts";
import type { Metrics } from "./metrics.ts";
import type { Attempt, AttemptEnd } from "./run-attempt.ts";

/** Events of a worker. `job` is the record as it was claimed. */
export interface WorkerEvents {
  readonly active: { readonly job: JobRecord };
  readonly completed: { readonly job: JobRecord; readonly result: unknown; readonly durationMs: number };
  /** Failed for good. */
  readonly failed: { readonly job: JobRecord; readonly error: unknown };
  /** Failed, and will be tried again. */
  readonly retrying: { readonly job: JobRecord; readonly error: unknown; readonly delayMs: number };
  readonly released: { readonly job: JobRecord; readonly delayMs: number };
  readonly cancelled: { readonly job: JobRecord };
  readonly progress: { readonly job: JobRecord; readonly progress: Json };
  readonly log: { readonly job: JobRecord; readonly line: string };
  /** Taken back from a worker that is gone; `failed` when it was interrupted too often. */
  readonly stalled: { readonly job: JobRecord };
  /**
   * A handler ignores its signal: its attempt was settled without it, `durationMs` after it began. Until it comes back it
   * keeps its slot here, but the limits of its queue and group count it no longer.
   */
  readonly stuck: { readonly job: JobRecord; readonly durationMs: number };
  /** Nothing runs and nothing is due. */
  readonly idle: Record<never, never>;
  /**
   * Something went wrong beside the jobs: the store out of reach, a lease lost, a job of unknown name, a listener that
   * threw. Without a listener it is shown as an uncaught error is, or logged with `console.error` (Node).
   */
  readonly error: { readonly error: unknown };
}

export const WORKER_EVENTS = [
  "active",
  "completed",
  "failed",
  "retrying",
  "released",
  "cancelled",
  "progress",
  "log",
  "stalled",
  "stuck",
  "idle",
  "error",
] as const satisfies readonly (keyof WorkerEvents)[];

/** @throws {QuaysideError} `invalid_option` for an event that there is not, or what cannot be called. */
export function checkListener(event: string, listener: unknown, isHandler = false): void {
  const isKnown = isHandler || (WORKER_EVENTS as readonly string[]).includes(event);
  if (isKnown && typeof listener === "function") return;
  const message = isKnown
    ? `on(${JSON.stringify(event)}) needs a function, got ${typeof listener}.`
    : `There is no event ${JSON.stringify(event)}. There are job:NAME for handlers, and ${WORKER_EVENTS.join(", ")}.`;
  throw new QuaysideError("invalid_option", message, { option: isKnown ? "listener" : "event" });
}

/** An attempt that has ended, on its way to the store. */
export interface Settled {
  readonly attempt: Attempt;
  readonly settlement: Settlement;
  readonly end: AttemptEnd;
  readonly durationMs: number;
  /** Whether this end stands in for one that the driver refused. */
  readonly refused: boolean;
}

export interface ReporterOptions {
  readonly events: Emitter<WorkerEvents>;
  readonly metrics?: Metrics | undefined;
  /** Runs what a definition does about a job that failed for good. */
  readonly onFailed: (job: JobRecord, error: unknown) => void;
}

/** Tells of what the store has accepted, and counts it. */
export class Reporter {
  processedCount = 0;
  failedCount = 0;
  readonly #events: Emitter<WorkerEvents>;
  readonly #metrics: Metrics | undefined;
  readonly #onFailed: (job: JobRecord, error: unknown) => void;
  readonly #unknown = new Set<string>();

  constructor({ events, metrics, onFailed }: ReporterOptions) {
    this.#events = events;
    this.#metrics = metrics;
    this.#onFailed = onFailed;
  }

  settled({ attempt: { job }, settlement, end, durationMs }: Settled): void {
    switch (settlement.outcome) {
      case "completed":
        this.processedCount++;
        this.#metrics?.record(job, "processed", durationMs);
        this.#events.emit("completed", { job, result: end.result, durationMs });
        break;
      case "failed":
        if (settlement.retryMs === undefined) {
          this.#metrics?.record(job, "failed", durationMs);
          this.#failed(job, end.error);
        } else {
          this.#metrics?.record(job, "retried", durationMs);
          this.#events.emit("retrying", { job, error: end.error, delayMs: settlement.retryMs });
        }
        break;
      case "released":
        this.#metrics?.record(job, "released", durationMs);
        this.#events.emit("released", { job, delayMs: settlement.delayMs });
        break;
      case "cancelled":
        this.#metrics?.record(job, "cancelled", durationMs);
        this.#events.emit("cancelled", { job });
        break;
    }
  }

  stalled(job: JobRecord): void {
    this.#events.emit("stalled", { job });
    if (job.state !== "failed") return;
    this.#metrics?.record(job, "failed");
    this.#failed(job, job.error && fromStoredError(job.error));
  }

  /** Once for each name; without one, there is no handler at all. */
  unknown(queue: string, name?: string): void {
    const key = JSON.stringify([queue, name]);
    if (this.#unknown.has(key)) return;
    this.#unknown.add(key);
    const message =
      name === undefined
        ? `This worker of queue ${queue} has no handler: it runs nothing until one is registered.`
        : `Queue ${queue} holds jobs named ${JSON.stringify(name)}: they wait for a worker that has a handler for them.`;
    this.fault(new QuaysideError("unknown_job", message, { queue, name }));
  }

  lost(attempt: Attempt): void {
    this.fault(new LeaseLostError(attempt.job.id));
  }

  fault(error: unknown): void {
    this.#events.fault(error);
  }

  #failed(job: JobRecord, error: unknown): void {
    this.failedCount++;
    this.#events.emit("failed", { job, error });
    this.#onFailed(job, error);
  }
}
