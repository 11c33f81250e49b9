import { type Clock, Timer } from "../engine/clock.ts";
import type { Driver } from "../engine/driver.ts";
import { partOfRefused, type RefusedPart } from "../engine/refused-part.ts";
import type { ExchangeReply, ExchangeRequest } from "../engine/verbs.ts";
import { hasCode, isA, QuaysideError } from "../job/errors.ts";
import { backoffDelay } from "../job/retry.ts";

/** Waits between sends of one exchange without an answer, and between claims that alone are refused. */
export const RESEND = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 10_000, jitter: 0.5 } as const;
/** Sends of one exchange by a worker that is leaving, when its store does not answer. */
const LEAVING_SENDS = 3;
/** Sends after which calls that wait for the store fail (R33). */
const LASTING_SENDS = 3;
/** Longest pause that a server may ask for. */
const LONGEST_ASKED_MS = 300_000;

/** The worker that an exchange is from: the same in all of its exchanges. */
type Identity = Pick<ExchangeRequest, "worker" | "name" | "liveness" | "leaseMs">;

/** An exchange without its sender and number. */
export type ExchangeBody = Omit<ExchangeRequest, keyof Identity | "exchange">;

export interface ExchangeClientOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Reports a send that failed, and how many sends of this exchange have failed so far. */
  readonly report: (error: unknown, sends: number) => void;
}

/**
 * Sends a worker's exchanges, numbered from 1, one at a time. An exchange without an answer is sent again unchanged under
 * its number until it is answered: the driver answers the same whether or not it had received it before (R9).
 */
export class ExchangeClient {
  readonly #driver: Driver;
  readonly #identity: Identity;
  readonly #options: ExchangeClientOptions;
  #number = 0;
  #answeredAt: number;
  #leaving = false;
  readonly #renewalTimer: Timer;
  #endPause: () => void = () => {};

  constructor(driver: Driver, identity: Identity, options: ExchangeClientOptions) {
    this.#driver = driver;
    this.#identity = identity;
    this.#options = options;
    this.#answeredAt = options.clock.monotonic();
    this.#renewalTimer = new Timer(options.clock);
  }

  /**
   * Returns the reply, or the part to send in place of an exchange that was refused.
   *
   * @throws the last error of the driver, where sending again is useless: the number was overtaken, the driver is closed,
   * the lease has expired meanwhile (R14), or the worker is leaving.
   */
  async send(body: ExchangeBody): Promise<ExchangeReply | RefusedPart> {
    const { clock, random, report } = this.#options;
    const { leaseMs } = this.#identity;
    const request = { ...this.#identity, exchange: ++this.#number, ...body };
    const holds = body.running.length + body.settle.length > 0;
    for (let sends = 1; ; sends++) {
      try {
        const reply = await this.#driver.exchange(request);
        this.#answeredAt = clock.monotonic();
        return reply;
      } catch (error) {
        const part = partOfRefused(body, error);
        if (part) return part;
        if (
          hasCode(error, "stale_exchange", "closed") ||
          (holds && clock.monotonic() - this.#answeredAt > leaseMs) ||
          (this.#leaving && (sends >= LEAVING_SENDS || isLasting(error, sends)))
        )
          throw error;
        report(error, sends);
        const askedMs = askedPauseMs(error);
        // A pause that a server asks for does not make the lease expire.
        const pauseMs = holds ? Math.min(askedMs, leaseMs / 3) : askedMs;
        await this.#pause(Math.max(pauseMs, backoffDelay(RESEND, sends, random())));
      }
    }
  }

  /** Ms until the lease is to be renewed: a third of it after the last reply. */
  get #renewInMs(): number {
    return Math.max(0, this.#answeredAt + this.#identity.leaseMs / 3 - this.#options.clock.monotonic());
  }

  get isRenewalDue(): boolean {
    return this.#renewInMs === 0;
  }

  /** Calls `renew` when the lease is to be renewed. Every exchange renews it. */
  renewLater(renew: () => void): void {
    if (this.#renewalTimer.armed) return;
    // Not armed again by each exchange: it asks when it rings how long ago the last one was.
    this.#renewalTimer.arm(this.#renewInMs, () => (this.isRenewalDue ? renew() : this.renewLater(renew)));
  }

  renewNoMore(): void {
    this.#renewalTimer.disarm();
  }

  /** Sends the exchange that waits to be sent again, if there is one. */
  retryNow(): void {
    this.#endPause();
  }

  /** Sends an exchange without an answer only a few times more, the next time now. */
  leave(): void {
    this.#leaving = true;
    this.#endPause();
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#options.clock.after(ms, resolve);
      this.#endPause = () => {
        stop();
        resolve();
      };
    });
  }
}

/** The pause that the driver asked for after too many requests, in ms; else 0. */
function askedPauseMs(error: unknown): number {
  const ms = isA(QuaysideError, error) ? error.details["retryAfterMs"] : 0;
  return typeof ms === "number" && ms > 0 ? Math.min(ms, LONGEST_ASKED_MS) : 0;
}

/** Returns whether calls fail at once and do not wait for the store (R33): it is full, deleted, or of another version. */
export function isLasting(error: unknown, sends: number): boolean {
  if (hasCode(error, "storage_full", "unsupported_version")) return true;
  if (!hasCode(error, "storage_unavailable")) return false;
  const { reason } = error.details;
  return reason === "deleted" || reason === "newer_version" || sends >= LASTING_SENDS;
}
