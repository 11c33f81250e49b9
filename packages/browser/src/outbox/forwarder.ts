import type { Clock, Driver } from "@quayside/core";
import { type Change, toStoredError } from "@quayside/core/engine";
import { onPageHidden } from "../tabs/page-lifecycle.ts";
import { partsOf } from "./classify-remote-error.ts";
import type { OutboxEmitter } from "./events.ts";
import { type ForwarderLock, requestForwarderLock } from "./forwarder-lock.ts";
import type { OutboxNames } from "./local-queue-names.ts";
import type { OutboxStore } from "./outbox-store.ts";
import { QueueForwarder } from "./queue-forwarder.ts";
import { Pause, retryDelayMs } from "./retry-pause.ts";
import { type RemoteStatus, StatusChannel } from "./status-channel.ts";
import { onWakeUp } from "./wake-ups.ts";

/**
 * Time after which a tab whose added jobs still wait takes the lock from the tab that holds it, which may be frozen, in
 * ms.
 */
const STEAL_AFTER_MS = 60_000;
/** Shortest pause after a failure before added jobs cause another try, in ms: an app may add many jobs per second. */
const ADDED_MS = 10_000;
/**
 * Shortest pause after a failure before an event of the network or page causes another try, in ms: several events may
 * come at once.
 */
const SIGN_MS = 1_000;
/** Maximum number of rounds of a purge. Each removes the jobs that were added during the previous one. */
const PURGE_ROUNDS = 5;

export interface ForwarderOptions {
  readonly names: OutboxNames;
  readonly local: Driver;
  readonly remote: Driver;
  readonly store: OutboxStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: OutboxEmitter;
  /** Name of the Web Lock. Absent: no other tab reads the local store, so no lock is needed. */
  readonly lock: string | undefined;
}

/**
 * Forwards the jobs of all queues of a partition while this tab holds the lock, with one independent `QueueForwarder`
 * per queue.
 */
export class Forwarder {
  status: RemoteStatus = {};
  readonly #options: ForwarderOptions;
  readonly #forwarders = new Map<string, QueueForwarder>();
  #lock: ForwarderLock;
  readonly #channel: StatusChannel;
  readonly #unwatch: readonly (() => void)[];
  #cancelSteal: (() => void) | undefined;
  /** The pause between two searches for queues with jobs. Set while this tab holds the lock. */
  #search: Pause | undefined;
  #outdated = false;
  #stopped = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#unwatch = [
      options.local.watch((change) => this.#seen(change)),
      onWakeUp(() => this.#wake(SIGN_MS)),
      // A lock that other tabs wait for, or an open transaction, evicts its page from the back/forward cache.
      onPageHidden(
        () => this.#lock.leave(),
        () => this.#requestLock(),
      ),
    ];
    this.#channel = new StatusChannel(options.lock, {
      status: (status) => {
        this.status = status;
      },
      wake: () => this.#wake(0),
      statusRequested: () => {
        if (this.#search) this.#channel.post({ status: this.status });
      },
    });
    this.#lock = requestForwarderLock(options.lock, () => this.#begin());
  }

  /**
   * With an error (newer code has upgraded the local store): releases the lock and reports the error. Without one (the
   * store can be used again): requests the lock again.
   */
  outdate(error: unknown): void {
    this.#outdated = error !== undefined;
    if (!this.#outdated) {
      this.#requestLock();
      return;
    }
    this.#lock.leave();
    this.#attempted(error);
    this.#options.events.emit("error", { error, retryInMs: Number.POSITIVE_INFINITY });
  }

  #requestLock(): void {
    this.#lock.leave();
    if (!this.#outdated && !this.#stopped) this.#lock = requestForwarderLock(this.#options.lock, () => this.#begin());
  }

  /** Starts a timer that takes the lock, unless the jobs that this tab has added are forwarded before it ends. */
  added(): void {
    if (this.#lock.taken || this.#cancelSteal) return;
    this.#cancelSteal = this.#options.clock.after(STEAL_AFTER_MS, () => {
      this.#cancelSteal = undefined;
      this.#lock.steal();
    });
  }

  /** Ends the pauses after failures, in the tab that forwards, so that it tries again now. */
  retryNow(): void {
    this.#wake(0);
    this.#channel.post({ wake: true });
  }

  /**
   * Stops forwarding, removes all jobs and the register's entries of their queues, and releases the running batches. A
   * queue is forwarded again after its next add.
   *
   * A tab may add a job during the purge. If the queue's entry still exists, the second clearing, after the entry is
   * removed, removes the job. If the add creates a new entry, the next round finds it. Otherwise the job was added
   * after the purge.
   */
  async purge(): Promise<void> {
    const { store } = this.#options;
    this.#stopAll();
    for (let round = 0; round < PURGE_ROUNDS; round++) {
      let found = false;
      for (const queue of await store.queues()) {
        found = true;
        await this.#remove(queue);
        await store.removeEntry(queue);
        await this.#remove(queue);
      }
      if (!found) break;
    }
    await store.removeRemote();
    this.#attempted(undefined);
    // A tab in which a queue is held finds the queue empty and resumes it.
    this.retryNow();
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#unwatch) stop();
    this.#cancelSteal?.();
    this.#lock.leave();
    this.#channel.close();
  }

  #wake(afterMs: number): void {
    this.#search?.wake(afterMs);
    for (const forwarder of this.#forwarders.values()) forwarder.wake(afterMs);
  }

  async #remove(queue: string): Promise<void> {
    await this.#options.store.clear(queue);
    await this.#forwarder(queue).releaseBatch();
  }

  #begin(): () => void {
    this.#cancelSteal?.();
    this.#cancelSteal = undefined;
    const search = new Pause(this.#options.clock);
    this.#search = search;
    void this.#searchFor(search);
    return () => {
      this.#search = undefined;
      search.stop();
      this.#stopAll();
    };
  }

  /**
   * Starts a forwarder for each queue with jobs. Searches again when there may be other queues, until the lock is
   * released.
   */
  async #searchFor(search: Pause): Promise<void> {
    const { store, events, random } = this.#options;
    let reported = false;
    for (let failures = 0; this.#search === search; ) {
      search.reset();
      try {
        for (const queue of await store.queues()) if (!this.#forwarders.has(queue)) this.#open(queue);
        if (!reported) for (const each of await store.elsewhere()) events.emit("elsewhere", each);
        reported = true;
        failures = 0;
        await search.untilWoken();
      } catch (error) {
        if (this.#search !== search) return;
        // The app has closed the local store: no queue can be forwarded any more.
        const closed = partsOf(error).code === "closed";
        this.#attempted(error);
        const retryInMs = closed ? Number.POSITIVE_INFINITY : retryDelayMs(++failures, 0, random());
        events.emit("error", { error, retryInMs });
        if (closed) return;
        await search.wait(retryInMs, 0);
      }
    }
  }

  #open(queue: string): void {
    if (!this.#search) return;
    const open = this.#forwarders.get(queue);
    if (open) {
      open.wake(ADDED_MS);
      return;
    }
    const forwarder = this.#forwarder(queue);
    this.#forwarders.set(queue, forwarder);
    void forwarder.run();
  }

  #forwarder(queue: string): QueueForwarder {
    return new QueueForwarder({
      ...this.#options,
      queue,
      attempted: (error) => this.#attempted(error),
      resumed: () => {
        for (const forwarder of this.#forwarders.values()) if (forwarder.held) forwarder.wake(0);
      },
    });
  }

  #stopAll(): void {
    for (const forwarder of this.#forwarders.values()) forwarder.stop();
    this.#forwarders.clear();
  }

  #seen({ queue: local, kind, by }: Change): void {
    const { names } = this.#options;
    if (kind !== "ready" || !this.#search || !names.has(local)) return;
    const queue = names.target(local);
    if (queue === undefined) this.#search.wake(0);
    else if (by !== names.worker(queue)) this.#open(queue);
  }

  #attempted(error: unknown): void {
    const { lastError, paused, unreachableSince = this.#options.clock.now() } = this.status;
    const held = [...this.#forwarders.values()].some(({ held }) => held);
    if (error === undefined && lastError === undefined && held === (paused !== undefined)) return;
    this.status = {
      ...(error !== undefined && { lastError: toStoredError(error), unreachableSince }),
      ...(held && { paused: "auth" }),
    };
    this.#channel.post({ status: this.status });
  }
}
