import type { Duration } from "../job/duration.ts";
import type { JobOptions } from "../job/job-options.ts";
import type { JobId } from "../job/job-record.ts";
import type { AddArguments, JobMap, JobName, PayloadOf } from "../job/job-types.ts";
import type { BackoffOption } from "../job/retry.ts";

/** The part of a queue that a `JobBuilder` calls. */
export interface JobSink<Jobs extends JobMap> {
  addJob(name: JobName<Jobs>, payload?: unknown, options?: JobOptions): Promise<string>;
}

/**
 * A chain of job options. Immutable: each call returns a new builder, so that a builder can be reused.
 *
 * @example
 * const urgent = queue.priority(10).maxAttempts(5);
 * await urgent.addJob("email", { to, subject, body });
 * await urgent.delay("10s").addJob("email", { to, subject, body });
 */
export class JobBuilder<Jobs extends JobMap> {
  readonly #sink: JobSink<Jobs>;
  readonly #options: JobOptions;

  constructor(sink: JobSink<Jobs>, options: JobOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  /** Adds several options. */
  with(options: JobOptions): JobBuilder<Jobs> {
    return new JobBuilder(this.#sink, { ...this.#options, ...options });
  }

  id(id: string): JobBuilder<Jobs> {
    return this.with({ id });
  }

  delay(delay: Duration): JobBuilder<Jobs> {
    return this.with({ delay });
  }

  priority(priority: number): JobBuilder<Jobs> {
    return this.with({ priority });
  }

  maxAttempts(maxAttempts: number): JobBuilder<Jobs> {
    return this.with({ maxAttempts });
  }

  backoff(backoff: BackoffOption): JobBuilder<Jobs> {
    return this.with({ backoff });
  }

  timeout(timeout: Duration): JobBuilder<Jobs> {
    return this.with({ timeout });
  }

  tags(...tags: readonly string[]): JobBuilder<Jobs> {
    return this.with({ tags });
  }

  /** Adds a job with the builder's options. Resolves with its id when it is stored. */
  addJob<Name extends JobName<Jobs>>(
    name: Name,
    ...payload: AddArguments<PayloadOf<Jobs, Name>, []>
  ): Promise<JobId<Name>>;
  addJob(name: string, payload?: unknown): Promise<string> {
    return this.#sink.addJob(name as JobName<Jobs>, payload, this.#options);
  }
}
