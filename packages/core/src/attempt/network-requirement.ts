import type { Clock } from "../engine/clock.ts";
import type { Connectivity, Driver } from "../engine/driver.ts";
import * as DEFAULTS from "../job/defaults.ts";
import { hasCode, isA } from "../job/errors.ts";
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
  /** A function of `connectivity` threw. */
  readonly report: (error: unknown) => void;
}

/** The worker's exchanges, for when the network may be back. */
interface NetworkLoop {
  /** Sends now the exchange that waits to be sent again. */
  retryNow(): void;
  /** Looks for work. */
  wake(): void;
}

/**
 * The rule of jobs that `require` the network: a failure while it is away is the network's, so it gives the job back and
 * spends no attempt. They are tried again after growing delays, whatever the platform says of the network, and at once
 * when it says that it is back.
 */
export class Network {
  readonly #options: NetworkOptions;
  /** Jobs given back, and how often in a row. */
  readonly #waiting = new Map<string, { readonly job: JobRecord; readonly times: number }>();
  #unwatch: (() => void) | undefined;
  #away = false;
  /** When it was last known to be away. */
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

  /** Runs a handler of such a job. @throws {Release} in place of its error, when that is the network's. */
  async run(job: JobRecord, handle: () => unknown): Promise<unknown> {
    // One that comes back is not sent into a network that does not answer; without a probe that is unknown.
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

  /** Ms to give a job back for whose time ran out, when the network was away meanwhile. */
  timedOut(job: JobRecord, sinceMs: number): number | undefined {
    return this.#awaySince(sinceMs) ? this.#release(job).delayMs : undefined;
  }

  /** Whether it was away at some time since then, or is now. */
  async #wasAway(startedAt: number): Promise<boolean> {
    return this.#awaySince(startedAt) || (await this.#probe()) === false;
  }

  #awaySince(startedAt: number): boolean {
    return !this.#online() || this.#awayAt >= startedAt;
  }

  /** A platform that cannot say is taken to be online. */
  #online(): boolean {
    return this.#lent((network) => network.isOnline()) ?? true;
  }

  /** Asks something of the application's object. Its failures are reported and stop no worker. */
  #lent<T>(ask: (network: Connectivity) => T): T | undefined {
    const { connectivity, report } = this.#options;
    return lent(() => ask(connectivity), report);
  }

  /** Undefined where there is nothing to ask. Those who ask at the same time share an answer. */
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
      // Called within a promise, so that one that throws at once is a no too.
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
    // One that cannot be promoted (it is gone, it runs, this worker may not) runs when its delay is over.
    for (const { queue, id } of jobs) await driver.command({ type: "promote", queue, id }).catch(() => {});
    loop.wake();
  }
}

/** Whether a handler failed or postponed its job on purpose: a better network changes nothing about that. */
const isDecision = (error: unknown): boolean => isFinal(error) || hasCode(error, "retry_after");
