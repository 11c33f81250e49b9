import type { AttemptMeter, AttemptOutcome } from "../attempt/worker-events.ts";
import type { JobRecord } from "../job/job-record.ts";

/**
 * Logarithm of the growth of buckets: each is 10 % wider than the previous one, so a percentile is at most 10 % too
 * high.
 */
const GROWTH = Math.log(1.1);
/** Number of buckets in a histogram: enough for times of up to 1.1^256 ms, over a thousand years. */
const BUCKETS = 256;

/** Percentiles of measured times, in ms; 0 without measurements. */
export interface Percentiles {
  readonly count: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly max: number;
}

/** Counts and times of the jobs of one name or queue since the metrics were created. */
export interface JobMetrics {
  /** Number of completed jobs. */
  readonly processed: number;
  /** Number of jobs that failed for good. */
  readonly failed: number;
  /** Number of failed attempts that were followed by another. */
  readonly retried: number;
  /** Time from when a job was due to the start of its attempt, in ms, for every attempt. */
  readonly waitMs: Percentiles;
  /** Duration of an attempt, in ms. */
  readonly runMs: Percentiles;
}

/** Metrics of a queue, as a whole and by job name. */
export interface QueueMetrics extends JobMetrics {
  /** Metrics by job name. */
  readonly jobs: { readonly [name: string]: JobMetrics };
}

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

/** Counts and times of attempts by queue and job name, in memory, with a few kilobytes per name. */
export class Metrics implements AttemptMeter {
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

/** A histogram of times with a fixed number of buckets, which are wider for longer times. */
class Histogram {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #max = 0;

  add(ms: number): void {
    const value = Math.max(0, ms);
    const bucket = value <= 1 ? Math.ceil(value) : 1 + Math.ceil(Math.log(value) / GROWTH);
    const index = Math.min(bucket, BUCKETS - 1);
    this.#buckets[index] = (this.#buckets[index] ?? 0) + 1;
    this.#count++;
    this.#max = Math.max(this.#max, value);
  }

  percentiles(): Percentiles {
    return { count: this.#count, p50: this.#at(0.5), p95: this.#at(0.95), p99: this.#at(0.99), max: this.#max };
  }

  /** Returns the upper bound of the bucket that contains the percentile `share` (0 to 1). */
  #at(share: number): number {
    let left = Math.ceil(this.#count * share);
    for (const [index, count] of this.#buckets.entries()) {
      left -= count;
      if (left <= 0)
        return index < 2 ? Math.min(index, this.#max) : Math.min(Math.exp((index - 1) * GROWTH), this.#max);
    }
    return this.#max;
  }
}
