import { type Clock, Timer } from "../engine/clock.ts";
import type { Driver, Registration, WorkerSession } from "../engine/driver.ts";
import { partOfRefused, type RefusedPart } from "../engine/refused-part.ts";
import type { Change } from "../engine/store.ts";
import type { ExchangeReply, ExchangeRequest } from "../engine/verbs.ts";
import { isA, isQuaysideError, QuaysideError } from "../job/errors.ts";
import { backoffDelay } from "../job/retry.ts";

/** Delays before an unanswered exchange is sent again, and before a claim after a refused one. */
export const RESEND = { kind: "exponential", delayMs: 500, factor: 2, maxMs: 10_000, jitter: 0.5 } as const;
/** Maximum number of sends of one exchange, by a worker that is leaving. */
const LEAVING_SENDS = 3;
/** Number of failed sends after which calls that wait for the store, such as `drain`, fail (R33). */
const LASTING_SENDS = 3;
/** Reasons of `storage_unavailable` that do not pass with time, so that waiting calls fail at once. */
const LASTING_REASONS: readonly unknown[] = ["deleted", "newer_version", "missing_plugins"];
/** Longest pause that a server may request, in ms. */
const LONGEST_ASKED_MS = 300_000;

const KEY_LENGTH = 16;

/** Fields that identify the worker, equal in all of its exchanges. */
type Identity = Pick<ExchangeRequest, "worker" | "name" | "liveness" | "leaseMs">;

/** An exchange without its worker and number. */
type ExchangeBody = Omit<ExchangeRequest, keyof Identity | "exchange">;

export interface ExchangeClientOptions {
  readonly clock: Clock;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
  /** Called when a send has failed, with its error and the number of failed sends of the exchange. */
  readonly report: (error: unknown, sends: number) => void;
}

export interface SessionOptions extends ExchangeClientOptions {
  readonly driver: Driver;
  /** The worker's name for people. */
  readonly name?: string | undefined;
  readonly leaseMs: number;
  readonly queues: readonly { readonly declare?: (() => Promise<void>) | undefined }[];
  readonly loop: SessionLoop;
  /** Returns whether the worker is started and not stopping. */
  readonly wanted: () => boolean;
  /** Called with the error if a session could not begin; not for the first session, whose error `open` throws. */
  readonly failed: (error: unknown) => void;
}

/** The part of the exchange loop that a session calls. */
interface SessionLoop {
  open(client: ExchangeClient): void;
  poll(): void;
  onChange(change: Change): void;
  abort(): Promise<void>;
}

/**
 * The sessions of a worker: the times in which its driver lets it be active (the page is shown, its tab leads). Each
 * session has a new worker key, a new lock, and exchanges numbered from 1. No state continues in the next session.
 */
export class Session implements WorkerSession {
  /** The worker key of the last session; empty before the first. */
  id = "";
  /** Whether the worker is active even if its tab does not lead, because a call waits for it. */
  urgent = false;
  /** Resolves when the session that is ending has ended. */
  ending: Promise<void> | undefined;
  readonly #options: SessionOptions;
  /** Identifies the session; undefined between sessions. */
  #current: object | undefined;
  #beginning: Promise<void> | undefined;
  /** Whether `open` is running, so that it throws the error if the session cannot begin. */
  #opening = false;
  #lock: Registration | undefined;
  #unwatch: () => void = () => {};
  #unwatchActive: () => void = () => {};

  constructor(options: SessionOptions) {
    this.#options = options;
  }

  /**
   * Requests sessions from the driver. Resolves when the first one has begun or waits for its tab to lead.
   *
   * @throws the error that prevents the first session.
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

  /** Begins a session now, even if the worker's tab does not lead. */
  async urge(): Promise<void> {
    if (!this.#current && this.#options.wanted()) await this.open(true);
  }

  /** Undoes `urge`: from now on, the worker is only active while its tab leads. */
  async calm(): Promise<void> {
    const { wanted, failed } = this.#options;
    if (!this.urgent || !wanted()) return;
    this.#unwatchActive();
    await this.end();
    if (wanted()) void this.open(false).catch(failed);
  }

  /** Registers the worker under a new key, and makes exchanges with it, unless the session has ended meanwhile. */
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

  /** Releases the worker's lock and requests no more sessions. */
  leave(): void {
    this.#current = undefined;
    this.#unwatchActive();
    this.#unwatch();
    this.#unlock();
  }

  /** Begins a session. Called by the driver: see `WorkerSession`. */
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
    // In parallel with the last exchange: a held lock that others wait for keeps the page out of the back/forward
    // cache. A worker that detects the end comes after the last exchange, or recovers the remaining jobs.
    this.#unlock();
    return this.ending;
  }

  look(): void {
    this.#options.loop.poll();
  }

  async #begin(): Promise<void> {
    const { driver, loop, queues } = this.#options;
    const session = {};
    this.#current = session;
    if (this.ending) await this.ending;
    for (const { declare } of queues) if (declare) await declare();
    if (session !== this.#current) return;
    await this.renew();
    if (session !== this.#current) return;
    this.#unwatch = driver.watch((change) => {
      // The reply of its exchange has already reported this worker's own changes.
      if (change.by !== this.id) loop.onChange(change);
    });
  }

  #unlock(): void {
    this.#lock?.leave();
    this.#lock = undefined;
  }
}

/**
 * Sends a worker's exchanges, numbered from 1, one at a time. An unanswered exchange is repeated unchanged until it is
 * answered; the driver answers every repeat the same (R9).
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
   * Sends an exchange, again and again until it is answered. Returns the reply; for a refused exchange, the part to
   * send in its place.
   *
   * @throws the last error of the driver if a repeat is useless: the number was overtaken, the driver is closed, the
   * lease has expired meanwhile (R14), or the worker is leaving.
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
          isQuaysideError(error, "stale_exchange", "closed") ||
          (holds && clock.monotonic() - this.#answeredAt > leaseMs) ||
          (this.#leaving && (sends >= LEAVING_SENDS || isLasting(error, sends)))
        )
          throw error;
        report(error, sends);
        const askedMs = this.#leaving ? 0 : askedPauseMs(error);
        // A pause that a server requests must not let the lease expire.
        const pauseMs = holds ? Math.min(askedMs, leaseMs / 3) : askedMs;
        await this.#pause(Math.max(pauseMs, backoffDelay(RESEND, sends, random())));
      }
    }
  }

  /** Ms until the lease must be renewed: a third of its length after the last reply. */
  get renewInMs(): number {
    return Math.max(0, this.#answeredAt + this.#identity.leaseMs / 3 - this.#options.clock.monotonic());
  }

  /** Calls `renew` when the lease must be renewed. Every exchange renews the lease and so moves that time. */
  renewLater(renew: () => void): void {
    if (this.#renewalTimer.armed) return;
    // Exchanges do not arm it again: when it rings, it is armed for the rest of the time since the last exchange.
    this.#renewalTimer.arm(this.renewInMs, () => (this.renewInMs > 0 ? this.renewLater(renew) : renew()));
  }

  renewNoMore(): void {
    this.#renewalTimer.disarm();
  }

  /** Repeats the unanswered exchange now, if there is one. */
  retryNow(): void {
    this.#endPause();
  }

  /** Limits the number of sends of an unanswered exchange, and sends it again now. For a worker that is leaving. */
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

/** Returns the pause that the driver requested after too many requests, in ms, or 0. */
function askedPauseMs(error: unknown): number {
  const ms = isA(QuaysideError, error) ? error.details["retryAfterMs"] : 0;
  return typeof ms === "number" && ms > 0 ? Math.min(ms, LONGEST_ASKED_MS) : 0;
}

/**
 * Returns whether calls that wait for the store fail now (R33): at once if the store is full, deleted, of another
 * version or lacks plugins; after a few sends if it is unavailable or refuses this caller.
 */
export function isLasting(error: unknown, sends: number): boolean {
  if (isQuaysideError(error, "storage_full", "unsupported_version")) return true;
  return (
    isQuaysideError(error, "storage_unavailable", "unauthorized", "forbidden", "subject_required", "wrong_subject") &&
    (sends >= LASTING_SENDS || LASTING_REASONS.includes(error.details["reason"]))
  );
}
