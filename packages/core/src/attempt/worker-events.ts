import { Emitter } from "../job/emitter.ts";
import { type ErrorDetails, isA, LeaseLostError, QuaysideError } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import type { Json } from "../job/json.ts";
import { fromStoredError } from "../job/stored-error.ts";
import type { Attempt, Settled } from "./attempt.ts";

/** Events of a worker. `job` is the record as claimed. */
export interface WorkerEvents<Job extends JobRecord = JobRecord> {
  readonly active: { readonly job: Job };
  readonly completed: { readonly job: Job; readonly result: unknown; readonly durationMs: number };
  /** The job has failed for good. */
  readonly failed: { readonly job: Job; readonly error: unknown };
  /** The attempt has failed and the job will be retried. */
  readonly retrying: { readonly job: Job; readonly error: unknown; readonly delayMs: number };
  readonly released: { readonly job: Job; readonly delayMs: number };
  readonly cancelled: { readonly job: Job };
  readonly progress: { readonly job: Job; readonly progress: Json };
  readonly log: { readonly job: Job; readonly line: string };
  /** The job was recovered from a dead worker. Its state is `failed` if it was interrupted too often. */
  readonly stalled: { readonly job: Job };
  /**
   * A handler ignores its signal: its attempt was settled without its result, `durationMs` after it began. The handler
   * keeps its slot until it returns, but no longer counts for the limits of its queue and group.
   */
  readonly stuck: { readonly job: Job; readonly durationMs: number };
  /** No job runs or is due. */
  readonly idle: Record<never, never>;
  /**
   * An error outside of a job: the store is unreachable, a lease was lost, a job name is unknown, a listener threw.
   * Without a listener, the error is reported as an uncaught error, or with `console.error` on Node.
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

/** Returns whether an event concerns a queue: the queue of its job, else the one that its error names, else all. */
export function concerns(
  queue: string,
  event: { readonly job?: JobRecord | undefined; readonly error?: unknown },
): boolean {
  const about = event.job?.queue ?? (isA(QuaysideError, event.error) ? event.error.details["queue"] : undefined);
  return about === undefined || about === queue;
}

/** A queue that receives the events of workers that concern it. */
interface WithEvents {
  readonly name: string;
  readonly events?: Emitter<WorkerEvents> | undefined;
}

/** Emits the events of a worker, and again on the queues that they concern. */
export class QueuesEmitter extends Emitter<WorkerEvents> {
  readonly #queues: readonly WithEvents[];

  constructor(queues: readonly WithEvents[]) {
    super();
    this.#queues = queues;
  }

  override emit<Name extends keyof WorkerEvents>(name: Name, event: WorkerEvents[Name]): boolean {
    let heard = super.emit(name, event);
    for (const queue of this.#queues)
      if (queue.events && concerns(queue.name, event)) heard = queue.events.emit(name, event) || heard;
    return heard;
  }
}

/**
 * Checks the arguments of `on`.
 *
 * @throws {QuaysideError} `invalid_option` for an unknown event, or a listener that is no function.
 */
export function checkListener(event: string, listener: unknown, isHandler = false): void {
  const isKnown = isHandler || (WORKER_EVENTS as readonly string[]).includes(event);
  if (isKnown && typeof listener === "function") return;
  const message = isKnown
    ? `on(${JSON.stringify(event)}) needs a function, got ${typeof listener}.`
    : `There is no event ${JSON.stringify(event)}. There are job:NAME for handlers, and ${WORKER_EVENTS.join(", ")}.`;
  throw new QuaysideError("invalid_option", message, { option: isKnown ? "listener" : "event" });
}

/** Runs attempts within trace spans. */
export interface AttemptTracer {
  attempt(job: JobRecord, run: () => Promise<unknown>): Promise<unknown>;
}

/** Counts and times attempts. */
export interface AttemptMeter {
  record(job: JobRecord, outcome: AttemptOutcome, runMs?: number): void;
}

export type AttemptOutcome = "processed" | "failed" | "retried" | "released" | "cancelled";

export interface ReporterOptions {
  readonly events: Emitter<WorkerEvents>;
  readonly metricsOf: (job: JobRecord) => AttemptMeter | undefined;
  /** Runs the `onFailed` of the job's definition. */
  readonly onFailed: (job: JobRecord, error: unknown) => void;
}

/** Counts and emits the outcomes of attempts after the store has accepted them. */
export class Reporter {
  processedCount = 0;
  failedCount = 0;
  readonly #options: ReporterOptions;
  /** The unknown names and queues without a handler that were already reported, as texts. */
  readonly #unknown = new Set<string>();

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  settled({ attempt: { job }, settlement, end, durationMs }: Settled): void {
    const { events, metricsOf } = this.#options;
    const { error, result } = end;
    const count = (outcome: AttemptOutcome) => metricsOf(job)?.record(job, outcome, durationMs);
    switch (settlement.outcome) {
      case "completed":
        this.processedCount++;
        count("processed");
        events.emit("completed", { job, result, durationMs });
        break;
      case "released":
        count("released");
        events.emit("released", { job, delayMs: settlement.delayMs });
        break;
      case "cancelled":
        count("cancelled");
        events.emit("cancelled", { job });
        break;
      default:
        if (settlement.retryMs === undefined) this.#failed(job, error, durationMs);
        else {
          count("retried");
          events.emit("retrying", { job, error, delayMs: settlement.retryMs });
        }
    }
  }

  stalled(job: JobRecord): void {
    this.#options.events.emit("stalled", { job });
    if (job.state === "failed") this.#failed(job, job.error && fromStoredError(job.error));
  }

  /** Reports that a queue has jobs of a name without a handler. Once per queue and name. */
  unknownName(queue: string, name: string): void {
    const text = `Queue ${queue} holds jobs named ${JSON.stringify(name)}: they wait for a worker that has a handler for them.`;
    this.#once(text, { queue, name });
  }

  /** Reports that a queue has no handler. Once per queue. */
  noHandler(queue: string): void {
    this.#once(`This worker of queue ${queue} has no handler: it runs nothing until one is registered.`, { queue });
  }

  lost({ job }: Attempt): void {
    this.fault(new LeaseLostError(job.id));
  }

  fault(error: unknown): void {
    this.#options.events.fault(error);
  }

  #once(message: string, details: ErrorDetails): void {
    if (this.#unknown.has(message)) return;
    this.#unknown.add(message);
    this.fault(new QuaysideError("unknown_job", message, details));
  }

  #failed(job: JobRecord, error: unknown, runMs?: number): void {
    const { events, metricsOf, onFailed } = this.#options;
    this.failedCount++;
    metricsOf(job)?.record(job, "failed", runMs);
    events.emit("failed", { job, error });
    onFailed(job, error);
  }
}
