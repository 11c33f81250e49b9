import type { JobRecord } from "../job/record.ts";
import { handlerScope } from "./handler-scope.ts";

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
  /** One scope per hook at work. */
  readonly #running = new Set<object>();

  constructor(options: FailureHooksOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Whether this is the scope of a hook that has not come back yet. */
  has(scope: object | undefined): boolean {
    return scope !== undefined && this.#running.has(scope);
  }

  async run(job: JobRecord, error: unknown): Promise<void> {
    const { find, report, returned } = this.#options;
    const scope = {};
    this.#running.add(scope);
    try {
      await handlerScope.run(scope, () => find(job)?.(job, error));
    } catch (cause) {
      report(cause);
    } finally {
      this.#running.delete(scope);
      returned();
    }
  }
}
