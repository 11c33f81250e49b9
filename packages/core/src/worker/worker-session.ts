import type { Driver, Registration, WorkerSession } from "../engine/driver.ts";
import type { Change } from "../engine/store.ts";
import { ExchangeClient, type ExchangeClientOptions } from "./exchange-client.ts";

const KEY_LENGTH = 16;

/** Where the driver has no lock for workers: a worker that is silent for its lease is gone. */
const NO_LOCK: Registration = { liveness: "time", leave() {} };

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
  wake(): void;
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
  readonly #options: SessionOptions;
  /** Identifies the session; undefined between sessions. */
  #current: object | undefined;
  #beginning: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  /** Whether `open` gets the error of a session that does not begin. */
  #opening = false;
  #lock = NO_LOCK;
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
    this.#beginning = undefined;
    this.#opening = true;
    this.#onActiveChange();
    this.#opening = false;
    await this.#beginning;
  }

  /** Begins a session now, whichever tab leads. */
  async urge(): Promise<void> {
    if (this.#current || !this.#options.wanted()) return;
    this.urgent = true;
    this.#unwatchActive();
    this.#onActiveChange();
    await this.#beginning;
  }

  /** Ends what `urge` began: from now on the worker works only while its tab leads. */
  async calm(): Promise<void> {
    if (!this.urgent || !this.#options.wanted()) return;
    this.urgent = false;
    this.#unwatchActive();
    await this.end();
    if (this.#options.wanted()) this.#onActiveChange();
  }

  /** Registers the worker under a new key. Undefined when the session is over by then. */
  async renew(): Promise<ExchangeClient | undefined> {
    const { driver, name, leaseMs, random, wanted } = this.#options;
    this.#unlock();
    const session = this.#current;
    if (!session || !wanted()) return undefined;
    const worker = Array.from({ length: KEY_LENGTH }, () => Math.floor(random() * 36).toString(36)).join("");
    const lock = await driver.register(worker);
    if (session !== this.#current || !wanted()) {
      lock.leave();
      return undefined;
    }
    this.id = worker;
    this.#lock = lock;
    const identity = { worker, ...(name !== undefined && { name }), liveness: lock.liveness, leaseMs };
    return new ExchangeClient(driver, identity, this.#options);
  }

  /** Resolves when no session is being ended. */
  async ended(): Promise<void> {
    await this.#ending;
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
    this.#ending = loop.abort();
    // Beside the last exchange and not after it: a page that holds a lock others wait for is not kept in the back/forward
    // cache. A worker that finds this one gone comes after the last exchange, or takes back the jobs that are still held.
    this.#unlock();
    return this.#ending;
  }

  look(): void {
    this.#options.loop.poll();
  }

  async #begin(): Promise<void> {
    const { driver, loop } = this.#options;
    const session = {};
    this.#current = session;
    if (this.#ending) await this.#ending;
    if (session !== this.#current) return;
    const client = await this.renew();
    if (!client) return;
    loop.open(client);
    this.#unwatch = driver.watch((change) => {
      // The reply of its exchange has said what this worker changed.
      if (change.by !== this.id) loop.onChange(change);
    });
    loop.wake();
  }

  #onActiveChange(): void {
    this.#unwatchActive = this.#options.driver.onActiveChange(this);
  }

  #unlock(): void {
    this.#lock.leave();
    this.#lock = NO_LOCK;
  }
}
