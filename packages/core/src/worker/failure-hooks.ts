import type { JobRecord } from "../job/record.ts";

export interface FailureHooksOptions {
  /** What to call for a job; undefined when there is nothing. */
  readonly find: (job: JobRecord) => ((job: JobRecord, error: unknown) => unknown) | undefined;
  readonly report: (error: unknown) => void;
  /** Called when one has come back. */
  readonly returned: () => void;
}

/** The `onFailed` functions at work: a worker waits for them before it is idle, or has stopped. */
export class FailureHooks {
  readonly #options: FailureHooksOptions;
  #running = 0;

  constructor(options: FailureHooksOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running;
  }

  async run(job: JobRecord, error: unknown): Promise<void> {
    const { find, report, returned } = this.#options;
    this.#running++;
    try {
      await find(job)?.(job, error);
    } catch (cause) {
      report(cause);
    } finally {
      this.#running--;
      returned();
    }
  }
}
