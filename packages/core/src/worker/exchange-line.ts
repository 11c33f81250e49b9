import type { Clock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { hasCode, isA, QuaysideError } from "../job/errors.ts";
import { backoffDelay } from "../job/retry.ts";
import type { ExchangeReply, ExchangeRequest } from "../store/verbs.ts";

/** Waits between sends of one exchange whose answer did not come. */
export const RESEND = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 10_000, jitter: 0.5 } as const;
/** Sends of an exchange once the worker is leaving: it does not wait for a store that is gone. */
const FAREWELL_SENDS = 3;

type Identity = Pick<ExchangeRequest, "worker" | "name" | "liveness" | "leaseMs">;

export interface ExchangeLineOptions {
  readonly clock: Clock;
  readonly random: () => number;
  /** Told of a send that failed, and how many have by now. */
  readonly report: (error: unknown, sends: number) => void;
}

/**
 * A worker's numbered exchanges, one at a time. An exchange that fails is sent again exactly as it was, under its
 * number, until it is answered: the driver then answers the same whether or not it had received it before (R9).
 */
export class ExchangeLine {
  /** Set when the worker is leaving: few more sends, then give up. */
  leaving = false;
  readonly #driver: Driver;
  readonly #identity: Identity;
  readonly #options: ExchangeLineOptions;
  #last = 0;
  #answeredAt: number;
  #hurry: () => void = () => {};

  constructor(driver: Driver, identity: Identity, options: ExchangeLineOptions) {
    this.#driver = driver;
    this.#identity = identity;
    this.#options = options;
    this.#answeredAt = options.clock.monotonic();
  }

  /**
   * @param divisible whether the caller sends less after this error: then the same is not sent again (R30).
   * @throws what the driver threw last, once sending again is no use: it was refused, the lease has run out meanwhile
   * (R14), the number was overtaken, the driver is closed, or the worker is leaving.
   */
  async send(
    body: Omit<ExchangeRequest, keyof Identity | "exchange">,
    divisible: (error: unknown) => boolean,
  ): Promise<ExchangeReply> {
    const request = { ...this.#identity, exchange: ++this.#last, ...body };
    const holds = body.running.length + body.settle.length > 0;
    for (let sends = 1; ; sends++) {
      try {
        const reply = await this.#driver.exchange(request);
        this.#answeredAt = this.#options.clock.monotonic();
        return reply;
      } catch (error) {
        if (
          hasCode(error, "stale_exchange", "closed") ||
          divisible(error) ||
          (holds && this.#silentMs() > this.#identity.leaseMs) ||
          (this.leaving && (sends >= FAREWELL_SENDS || isLasting(error, sends)))
        )
          throw error;
        this.#options.report(error, sends);
        const asked = askedPauseMs(error);
        // What it holds is not to run out of its lease for it.
        const heeded = holds ? Math.min(asked, this.#identity.leaseMs / 3) : asked;
        await this.#pause(Math.max(heeded, backoffDelay(RESEND, sends, this.#options.random())));
      }
    }
  }

  /** Sends now what waits to be sent again. */
  hurry(): void {
    this.#hurry();
  }

  #silentMs(): number {
    return this.#options.clock.monotonic() - this.#answeredAt;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#options.clock.after(ms, resolve);
      this.#hurry = () => {
        stop();
        resolve();
      };
    });
  }
}

/** Longest that a server is heeded. */
const LONGEST_ASKED_MS = 300_000;

/** What the driver asked for, of those who ask too often. */
function askedPauseMs(error: unknown): number {
  const ms = isA(QuaysideError, error) ? error.details["retryAfterMs"] : 0;
  return typeof ms === "number" && ms > 0 ? Math.min(ms, LONGEST_ASKED_MS) : 0;
}

/**
 * Whether the same exchange would be refused again: it is too large, or holds what the driver cannot take. A refusal that
 * is not the API's own (a portal, a route that is not deployed yet) says nothing about the exchange, unless it is too large.
 */
export const isRefusal = (error: unknown): boolean =>
  isA(QuaysideError, error)
    ? error.code === "too_large" ||
      (!error.details["bare"] &&
        hasCode(
          error,
          "bad_request",
          "invalid_option",
          "invalid_payload",
          "invalid_result",
          "payload_too_large",
          "result_too_large",
        ))
    : isA(Error, error) && error.name === "DataCloneError";

/** Whether the API itself, not a firewall or a portal on the way, refused what the worker may not do. */
export const isForbidden = (error: unknown): boolean => hasCode(error, "forbidden") && !error.details["bare"];

/** Sends after which a store that cannot be reached counts as lost to those who wait for it. */
const LASTING_SENDS = 3;

/** Returns whether calls should fail at once and not wait for the store (R33): it is full, deleted, or of a newer version. */
export function isLasting(error: unknown, sends: number): boolean {
  if (hasCode(error, "storage_full")) return true;
  if (!hasCode(error, "storage_unavailable")) return false;
  const { reason } = error.details as { readonly reason?: unknown };
  return reason === "deleted" || reason === "newer_version" || sends >= LASTING_SENDS;
}
