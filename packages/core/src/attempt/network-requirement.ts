import type { Clock } from "../engine/clock.ts";
import type { Connectivity, Driver } from "../engine/driver.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { isA, isQuaysideError } from "../job/errors.ts";
import type { JobRecord } from "../job/job-record.ts";
import { memberName } from "../job/job-reference.ts";
import { Release } from "../job/release-job.ts";
import { lent } from "../job/report-error.ts";
import { backoffDelay, isFinal } from "../job/retry.ts";
import { thrownIn } from "../job/stored-error.ts";

export interface NetworkOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly connectivity: Connectivity;
  readonly driver: Pick<Driver, "command">;
  /** Receives the errors that functions of `connectivity` throw. */
  readonly events: { fault(error: unknown): void };
}

/** The part of the worker's exchange loop that is called when the network may be back. */
interface NetworkLoop {
  /** Repeats an unanswered exchange now. */
  retryNow(): void;
  /** Makes the worker claim now. */
  wake(): void;
}

/**
 * Handles jobs that `require` the network: if such a job fails while offline, it is released and no attempt is counted.
 * It runs again after growing delays, and at once when the platform reports that the network is back.
 */
export class Network {
  readonly #options: NetworkOptions;
  /** Jobs that were released while offline, with the number of successive releases of each. */
  readonly #waiting = new Map<string, { readonly job: JobRecord; readonly times: number }>();
  #unwatch: (() => void) | undefined;
  #away = false;
  /** The last time at which the network was offline, as far as is known. */
  #awayAt = Number.NEGATIVE_INFINITY;
  #probing: Promise<boolean> | undefined;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  open(loop: NetworkLoop): void {
    this.#away = !this.#online();
    this.#unwatch ??= this.#lent((network) => network.watch(() => void this.#look(loop)));
  }

  close(): void {
    this.#lent(() => this.#unwatch?.());
    this.#unwatch = undefined;
  }

  /**
   * Runs the handler of a job that requires the network. @throws {Release} in place of its error if the network was
   * offline.
   */
  async run(job: JobRecord, handle: () => unknown): Promise<unknown> {
    // A released job does not run again while the probe fails. Without a probe, it runs.
    if (this.#waiting.has(memberName(job)) && (await this.#probe()) === false) throw this.#release(job);
    const startedAt = this.#options.clock.monotonic();
    try {
      const result = await handle();
      this.#waiting.delete(memberName(job));
      return result;
    } catch (error) {
      if (isA(Release, error) || isDecision(thrownIn(error)) || !(await this.#wasAway(startedAt))) throw error;
      throw this.#release(job);
    }
  }

  /** Returns the delay with which to release a job that timed out, if the network was offline during its attempt. */
  timedOut(job: JobRecord, sinceMs: number): number | undefined {
    return this.#awaySince(sinceMs) ? this.#release(job).delayMs : undefined;
  }

  /** Returns whether the network was offline at any time since `startedAt`, the start of the attempt. */
  async #wasAway(startedAt: number): Promise<boolean> {
    return this.#awaySince(startedAt) || (await this.#probe()) === false;
  }

  #awaySince(startedAt: number): boolean {
    return !this.#online() || this.#awayAt >= startedAt;
  }

  /** Returns whether the platform reports the network as online, or does not report it. */
  #online(): boolean {
    return this.#lent((network) => network.isOnline()) ?? true;
  }

  /** Calls a function of `connectivity`. Reports its error and returns undefined, so that the worker continues. */
  #lent<T>(ask: (network: Connectivity) => T): T | undefined {
    const { connectivity, events } = this.#options;
    return lent(
      () => ask(connectivity),
      (error) => events.fault(error),
    );
  }

  /**
   * Asks the server, by `probe` of `connectivity`, whether it can be reached; undefined without one. Concurrent callers
   * share the answer.
   */
  #probe(): Promise<boolean | undefined> {
    const probe = this.#lent((network) => network.probe);
    if (!probe) return Promise.resolve(undefined);
    this.#probing ??= this.#ask(probe).finally(() => {
      this.#probing = undefined;
    });
    return this.#probing;
  }

  #ask(probe: () => Promise<boolean>): Promise<boolean> {
    return new Promise((resolve) => {
      const stop = this.#options.clock.after(DEFAULTS.graceMs, () => resolve(false));
      // Called in a promise, so that a synchronous error counts as offline, too.
      Promise.resolve()
        .then(probe)
        .then(
          (there) => resolve(there === true),
          () => resolve(false),
        )
        .finally(stop);
    });
  }

  #release(job: JobRecord): Release {
    const times = (this.#waiting.get(memberName(job))?.times ?? 0) + 1;
    this.#waiting.set(memberName(job), { job, times });
    return new Release(backoffDelay(DEFAULTS.offlineBackoff, times, this.#options.random()));
  }

  async #look(loop: NetworkLoop): Promise<void> {
    const { clock, driver } = this.#options;
    const online = this.#online();
    if (!online || this.#away) this.#awayAt = clock.monotonic();
    this.#away = !online;
    if (!online || (this.#waiting.size > 0 && (await this.#probe()) === false)) return;
    const jobs = [...this.#waiting.values()].map(({ job }) => job);
    this.#waiting.clear();
    loop.retryNow();
    // A job that cannot be promoted (deleted, running, or not permitted) runs after its delay.
    for (const { queue, id } of jobs) await driver.command({ type: "promote", queue, id }).catch(() => {});
    loop.wake();
  }
}

/** Returns whether a handler failed or postponed its job on purpose, so that the network is not the cause. */
const isDecision = (error: unknown): boolean => isFinal(error) || isQuaysideError(error, "retry_after");
