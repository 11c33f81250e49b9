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
  /** A shift after the first could not be begun. */
  readonly failed: (error: unknown) => void;
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
  #attend: () => void = () => {};
  #urgent = false;
  /** The beginning of the first shift, and of the last. */
  #first: Promise<void> | undefined;
  #beginning: Promise<void> | undefined;

  constructor(options: DutyOptions) {
    this.#options = options;
  }

  /** The worker's key: that of the last shift; empty before the first. */
  get id(): string {
    return this.#enlisted?.id ?? "";
  }

  /**
   * Resolves when the worker may claim, or stands in line for its first shift; throws when that cannot be begun.
   *
   * @param urgent it does not stand in line: it works now, whichever tab leads, until `calm`.
   */
  async begin(limits: ClaimLimits, urgent: boolean): Promise<void> {
    const { driver, rounds, enlist: options } = this.#options;
    this.#urgent = urgent;
    this.#first = undefined;
    const duty = this;
    const shift = {
      get urgent() {
        return duty.#urgent;
      },
      begin: () => {
        // What is left of a quota goes over from one shift to the next.
        const begun = this.#begin(this.#first ? undefined : limits);
        if (this.#first) begun.catch(this.#options.failed);
        this.#first ??= begun;
      },
      end: (cause?: unknown) => {
        if (cause !== undefined) options.report(cause);
        return this.#end();
      },
      look: () => rounds().look(),
    };
    this.#attend = () => {
      if (driver.attend) this.#unattend = driver.attend(shift);
      else shift.begin();
    };
    this.#attend();
    await this.#first;
    this.#first ??= Promise.resolve();
  }

  /** Does not stand in line any longer, if it does. */
  async urge(): Promise<void> {
    if (this.#working || !this.#options.wanted()) return;
    this.#urgent = true;
    this.#unattend();
    this.#attend();
    await this.#beginning;
  }

  /** Joins the line again, unless it is in it. */
  async calm(): Promise<void> {
    if (!this.#urgent || !this.#options.wanted()) return;
    this.#urgent = false;
    this.#unattend();
    await this.#end();
    if (this.#options.wanted()) this.#attend();
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

  #begin(limits: ClaimLimits | undefined): Promise<void> {
    this.#beginning = this.#open(limits);
    return this.#beginning;
  }

  async #open(limits: ClaimLimits | undefined): Promise<void> {
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
