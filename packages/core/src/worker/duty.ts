import type { Driver } from "../driver/driver.ts";
import type { ClaimLimits } from "./claims.ts";
import { type Enlisted, type EnlistOptions, enlist } from "./enlist.ts";
import type { ExchangeLine } from "./exchange-line.ts";
import type { Rounds } from "./rounds.ts";

export interface DutyOptions {
  readonly driver: Driver;
  readonly enlist: EnlistOptions;
  readonly rounds: () => Pick<Rounds<object>, "open" | "wake" | "look" | "heed" | "abandon">;
  /** Whether the worker has been started, and not been told to stop. */
  readonly wanted: () => boolean;
}

/**
 * When a worker works: its shifts, as the driver steers them. It begins each under a new identity, as a new worker, and
 * nothing of one goes on in the next.
 */
export class Duty {
  readonly #options: DutyOptions;
  #enlisted: Enlisted | undefined;
  /** Counts shifts, so that what one has begun is not finished in another. */
  #shift = 0;
  #working = false;
  #ending: Promise<void> | undefined;
  #unwatch: () => void = () => {};
  #unattend: () => void = () => {};

  constructor(options: DutyOptions) {
    this.#options = options;
  }

  /** The worker's key: that of the last shift; empty before the first. */
  get id(): string {
    return this.#enlisted?.id ?? "";
  }

  /** Resolves when the worker may claim, or stands in line for its first shift; throws when that cannot be begun. */
  async begin(limits: ClaimLimits): Promise<void> {
    const { driver, rounds, enlist: options } = this.#options;
    let first: Promise<void> | undefined;
    const shift = {
      begin: () => {
        // What is left of a quota goes over from one shift to the next.
        const begun = this.#begin(first ? undefined : limits);
        if (first) begun.catch(options.report);
        first ??= begun;
      },
      end: () => this.#end(),
      look: () => rounds().look(),
    };
    if (driver.attend) this.#unattend = driver.attend(shift);
    else shift.begin();
    await first;
    first ??= Promise.resolve();
  }

  /** A new line under a new identity; undefined where the shift is over by then. */
  async renew(): Promise<ExchangeLine | undefined> {
    this.#enlisted?.leave();
    const shift = this.#shift;
    if (!this.#working || !this.#options.wanted()) return undefined;
    const enlisted = await enlist(this.#options.driver, this.#options.enlist);
    if (shift !== this.#shift || !this.#options.wanted()) {
      enlisted.leave();
      return undefined;
    }
    this.#enlisted = enlisted;
    return enlisted.line;
  }

  /** Resolves when no shift is being ended. */
  async ended(): Promise<void> {
    await this.#ending;
  }

  /** No more shifts. */
  leave(): void {
    this.#shift++;
    this.#working = false;
    this.#unattend();
    this.#unwatch();
    this.#enlisted?.leave();
  }

  async #begin(limits: ClaimLimits | undefined): Promise<void> {
    const shift = ++this.#shift;
    this.#working = true;
    if (this.#ending) await this.#ending;
    if (shift !== this.#shift) return;
    const line = await this.renew();
    if (!line) return;
    const { driver, rounds } = this.#options;
    rounds().open(line, limits);
    this.#unwatch = driver.watch((change) => {
      // What this worker did itself, its reply has told it.
      if (change.by !== this.id) rounds().heed(change);
    });
    rounds().wake();
  }

  #end(): Promise<void> {
    this.#shift++;
    this.#working = false;
    this.#unwatch();
    this.#ending = this.#options.rounds().abandon();
    // Not later: a page that holds a lock others wait for is not kept in the back/forward cache. Whoever takes it for dead
    // now comes after the last round, or finds the jobs that this could not give back.
    this.#enlisted?.leave();
    return this.#ending;
  }
}
