import type { Clock } from "../driver/clock.ts";
import type { Driver } from "../driver/driver.ts";
import { QuaysideError } from "../job/errors.ts";
import { backoffDelay } from "../job/retry.ts";
import type { ExchangeReply, ExchangeRequest } from "../store/verbs.ts";

/** Waits between sends of one exchange whose answer did not come. */
const RESEND = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 10_000, jitter: 0.5 } as const;
/** Sends of an exchange once the worker is leaving: it does not wait for a store that is gone. */
const FAREWELL_SENDS = 3;

type Identity = Pick<ExchangeRequest, "worker" | "name" | "liveness" | "leaseMs">;

export interface ExchangeLineOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly report: (error: unknown) => void;
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
   * @throws whatever the driver threw last, once sending again is no use: the lease has run out meanwhile (R14), the
   * number was overtaken, the driver is closed, or the worker is leaving.
   */
  async send(body: Omit<ExchangeRequest, keyof Identity | "exchange">): Promise<ExchangeReply> {
    const request = { ...this.#identity, exchange: ++this.#last, ...body };
    const holds = body.running.length + body.settle.length > 0;
    for (let sends = 1; ; sends++) {
      try {
        const reply = await this.#driver.exchange(request);
        this.#answeredAt = this.#options.clock.monotonic();
        return reply;
      } catch (error) {
        if (
          isFinal(error) ||
          (holds && this.#silentMs() > this.#identity.leaseMs) ||
          (this.leaving && sends >= FAREWELL_SENDS)
        )
          throw error;
        this.#options.report(error);
        const asked = retryAfterMs(error);
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

/** What the driver asked for, of those who ask too often. */
function retryAfterMs(error: unknown): number {
  const ms = error instanceof QuaysideError ? error.details["retryAfterMs"] : 0;
  return typeof ms === "number" ? ms : 0;
}

const isFinal = (error: unknown): boolean =>
  error instanceof QuaysideError && (error.code === "stale_exchange" || error.code === "closed");
