import type { JobRecord } from "../job/record.ts";
import { Histogram, type Percentiles } from "./histogram.ts";

/** What became of the jobs of one name (or of one queue) in the hands of these workers, since they were made. */
export interface JobMetrics {
  /** Completed. */
  readonly processed: number;
  /** Failed for good. */
  readonly failed: number;
  /** Attempts that failed and were followed by another. */
  readonly retried: number;
  /** From the instant at which a job was due to the start of its attempt, in ms, of every attempt. */
  readonly waitMs: Percentiles;
  /** Length of an attempt in ms. */
  readonly runMs: Percentiles;
}

export interface QueueMetrics extends JobMetrics {
  /** By job name. */
  readonly jobs: { readonly [name: string]: JobMetrics };
}

type AttemptOutcome = "processed" | "failed" | "retried" | "released" | "cancelled";

class Meter {
  readonly counts = { processed: 0, failed: 0, retried: 0, released: 0, cancelled: 0 };
  readonly wait = new Histogram();
  readonly run = new Histogram();

  add(job: JobRecord, outcome: AttemptOutcome, runMs: number | undefined): void {
    this.counts[outcome]++;
    if (runMs === undefined) return;
    this.run.add(runMs);
    this.wait.add((job.startedAt ?? job.availableAt) - job.availableAt);
  }

  read(): JobMetrics {
    const { processed, failed, retried } = this.counts;
    return { processed, failed, retried, waitMs: this.wait.percentiles(), runMs: this.run.percentiles() };
  }
}

/** Counts and times attempts by queue and name, in memory, in a few kilobytes a name. */
export class Metrics {
  readonly #queues = new Map<string, { readonly all: Meter; readonly byName: Map<string, Meter> }>();

  record(job: JobRecord, outcome: AttemptOutcome, runMs?: number): void {
    const queue = this.#queues.get(job.queue) ?? { all: new Meter(), byName: new Map<string, Meter>() };
    this.#queues.set(job.queue, queue);
    const named = queue.byName.get(job.name) ?? new Meter();
    queue.byName.set(job.name, named);
    queue.all.add(job, outcome, runMs);
    named.add(job, outcome, runMs);
  }

  queues(): readonly string[] {
    return [...this.#queues.keys()];
  }

  read(queue: string): QueueMetrics {
    const { all = new Meter(), byName = new Map<string, Meter>() } = this.#queues.get(queue) ?? {};
    return { ...all.read(), jobs: Object.fromEntries([...byName].map(([name, meter]) => [name, meter.read()])) };
  }
}
