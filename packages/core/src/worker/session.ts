import { type Clock, Timer } from "../engine/clock.ts";
import type { Driver, Registration, WorkerSession } from "../engine/driver.ts";
import { partOfRefused, type RefusedPart } from "../engine/refused-part.ts";
import type { Change } from "../engine/store.ts";
import type { ExchangeReply, ExchangeRequest } from "../engine/verbs.ts";
import { hasCode, isA, QuaysideError } from "../job/errors.ts";
import { backoffDelay } from "../job/retry.ts";

/** Waits between sends of one exchange without an answer, and between claims that alone are refused. */
export const RESEND = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 10_000, jitter: 0.5 } as const;
/** Sends of one exchange by a worker that is leaving, when its store does not answer. */
const LEAVING_SENDS = 3;
/** Sends after which calls that wait for the store fail (R33). */
const LASTING_SENDS = 3;
/** Reasons for which a store cannot be used that do not pass. */
const LASTING_REASONS: readonly unknown[] = ["deleted", "newer_version", "missing_plugins"];
/** Longest pause that a server may ask for. */
const LONGEST_ASKED_MS = 300_000;

const KEY_LENGTH = 16;

/** The worker that an exchange is from: the same in all of its exchanges. */
type Identity = Pick<ExchangeRequest, "worker" | "name" | "liveness" | "leaseMs">;

/** An exchange without its sender and number. */
type ExchangeBody = Omit<ExchangeRequest, keyof Identity | "exchange">;

export interface ExchangeClientOptions {
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Reports a send that failed, and how many sends of this exchange have failed so far. */
  readonly report: (error: unknown, sends: number) => void;
}

export interface SessionOptions extends ExchangeClientOptions {
  readonly driver: Driver;
  /** The worker's label. */
  readonly name?: string | undefined;
  readonly leaseMs: number;
  readonly loop: SessionLoop;
  /** Whether the worker is started, and not stopping. */
  readonly wanted: () => boolean;
  /** Reports that a session after the first did not begin. */
  readonly failed: (error: unknown) => void;
}

/** The calls that a session makes of the worker's exchanges. */
interface SessionLoop {
  open(client: ExchangeClient): void;
  poll(): void;
  onChange(change: Change): void;
  abort(): Promise<void>;
}

/**
 * The sessions of a worker: the times in which its driver lets it work (a page is shown, its tab leads). Each has an
 * identity of its own, as another worker has: a key, a lock, and exchanges numbered from 1. Nothing of one session
 * continues in the next.
 */
export class Session implements WorkerSession {
  /** The key of the last session; empty before the first. */
  id = "";
  /** Whether the worker works whichever tab leads: a call waits for it. */
  urgent = false;
  /** Resolves when the last session has ended. */
  ending: Promise<void> | undefined;
  readonly #options: SessionOptions;
  /** Identifies the session; undefined between sessions. */
  #current: object | undefined;
  #beginning: Promise<void> | undefined;
  /** Whether `open` gets the error of a session that does not begin. */
  #opening = false;
  #lock: Registration | undefined;
  #unwatch: () => void = () => {};
  #unwatchActive: () => void = () => {};

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /**
   * Asks the driver for sessions. Resolves when the first one has begun, or has to wait for its tab to lead.
   *
   * @throws what keeps the first one from beginning.
   */
  async open(urgent: boolean): Promise<void> {
    this.urgent = urgent;
    this.#unwatchActive();
    this.#beginning = undefined;
    this.#opening = true;
    this.#unwatchActive = this.#options.driver.onActiveChange(this);
    this.#opening = false;
    await this.#beginning;
  }

  /** Begins a session now, whichever tab leads. */
  async urge(): Promise<void> {
    if (!this.#current && this.#options.wanted()) await this.open(true);
  }

  /** Ends the session that `urge` began: from now on the worker works only while its tab leads. */
  async calm(): Promise<void> {
    const { wanted, failed } = this.#options;
    if (!this.urgent || !wanted()) return;
    this.#unwatchActive();
    await this.end();
    if (wanted()) void this.open(false).catch(failed);
  }

  /** Registers the worker under a new key, and opens its exchanges. Does neither when the session is over by then. */
  async renew(): Promise<void> {
    const { driver, name, leaseMs, random, wanted, loop } = this.#options;
    this.#unlock();
    const session = this.#current;
    if (!session || !wanted()) return;
    const worker = Array.from({ length: KEY_LENGTH }, () => Math.floor(random() * 36).toString(36)).join("");
    const lock = await driver.register(worker);
    if (session !== this.#current || !wanted()) return lock.leave();
    this.id = worker;
    this.#lock = lock;
    const identity = { worker, ...(name !== undefined && { name }), liveness: lock.liveness, leaseMs };
    loop.open(new ExchangeClient(driver, identity, this.#options));
  }

  /** Gives up the lock and asks for no more sessions. */
  leave(): void {
    this.#current = undefined;
    this.#unwatchActive();
    this.#unwatch();
    this.#unlock();
  }

  /** See `WorkerSession`, as the next two. */
  begin(): void {
    this.#beginning = this.#begin();
    if (!this.#opening) this.#beginning.catch(this.#options.failed);
  }

  end(cause?: unknown): Promise<void> {
    const { loop, report } = this.#options;
    if (cause !== undefined) report(cause, 0);
    this.#current = undefined;
    this.#unwatch();
    this.ending = loop.abort();
    // Beside the last exchange and not after it: a page that holds a lock others wait for is not kept in the back/forward
    // cache. A worker that finds this one gone comes after the last exchange, or takes back the jobs that are still held.
    this.#unlock();
    return this.ending;
  }

  look(): void {
    this.#options.loop.poll();
  }

  async #begin(): Promise<void> {
    const { driver, loop } = this.#options;
    const session = {};
    this.#current = session;
    if (this.ending) await this.ending;
    if (session !== this.#current) return;
    await this.renew();
    if (session !== this.#current) return;
    this.#unwatch = driver.watch((change) => {
      // The reply of its exchange has said what this worker changed.
      if (change.by !== this.id) loop.onChange(change);
    });
  }

  #unlock(): void {
    this.#lock?.leave();
    this.#lock = undefined;
  }
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
        const askedMs = this.#leaving ? 0 : askedPauseMs(error);
        // A pause that a server asks for does not make the lease expire.
        const pauseMs = holds ? Math.min(askedMs, leaseMs / 3) : askedMs;
        await this.#pause(Math.max(pauseMs, backoffDelay(RESEND, sends, random())));
      }
    }
  }

  /** Ms until the lease is to be renewed: a third of it after the last reply. */
  get renewInMs(): number {
    return Math.max(0, this.#answeredAt + this.#identity.leaseMs / 3 - this.#options.clock.monotonic());
  }

  /** Calls `renew` when the lease is to be renewed. Every exchange renews it. */
  renewLater(renew: () => void): void {
    if (this.#renewalTimer.armed) return;
    // Exchanges do not arm it again: when it rings, it is armed for the rest of the time since the last exchange.
    this.#renewalTimer.arm(this.renewInMs, () => (this.renewInMs > 0 ? this.renewLater(renew) : renew()));
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

/**
 * Returns whether calls fail and do not wait for the store (R33). At once: it is full, deleted, of another version, or lacks
 * plugins. After a few sends: it cannot be used, or does not let this caller in.
 */
export function isLasting(error: unknown, sends: number): boolean {
  if (hasCode(error, "storage_full", "unsupported_version")) return true;
  return (
    hasCode(error, "storage_unavailable", "unauthorized", "forbidden", "subject_required", "wrong_subject") &&
    (sends >= LASTING_SENDS || LASTING_REASONS.includes(error.details["reason"]))
  );
}
