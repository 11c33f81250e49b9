import type { Clock, Driver } from "@quayside/core";
import { type Change, toStoredError } from "@quayside/core/engine";
import { onPageHidden } from "../tabs/page-lifecycle.ts";
import { partsOf } from "./classify-remote-error.ts";
import type { OutboxEmitter } from "./events.ts";
import { type ForwarderLock, requestForwarderLock } from "./forwarder-lock.ts";
import type { OutboxNames } from "./local-queue-names.ts";
import type { OutboxStore } from "./outbox-store.ts";
import { QueueForwarder } from "./queue-forwarder.ts";
import { lengthAfter, Pause } from "./retry-pause.ts";
import { type RemoteStatus, StatusChannel } from "./status-channel.ts";
import { onWakeUp } from "./wake-ups.ts";

/** A tab whose own add is still here after so long takes the turn from whoever has it: that one may be frozen. */
const PATIENCE_MS = 60_000;
/** After a failure a new job waits so long at most, as long as the pause is no shorter: an app may add many a second. */
const ADDED_MS = 10_000;
/** The same for a sign of the network, of which there may be several at once. */
const SIGN_MS = 1_000;
/** Rounds of a purge: each takes what was added during the one before. */
const PURGE_ROUNDS = 5;

export interface ForwarderOptions {
  readonly names: OutboxNames;
  readonly local: Driver;
  readonly remote: Driver;
  readonly undelivered: OutboxStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: OutboxEmitter;
  /** Absent: nobody else forwards these jobs, or nobody can be kept from it. */
  readonly lock: string | undefined;
}

/** Forwards all queues of a partition while this tab has the turn, each in a line of its own: none waits for another. */
export class Forwarder {
  reach: RemoteStatus = {};
  readonly #options: ForwarderOptions;
  /** By the local queues of their jobs. */
  readonly #lines = new Map<string, QueueForwarder>();
  /** Queues that have jobs of an earlier version; undefined until this tab has looked, in this turn. */
  #behind: ReadonlySet<string> | undefined;
  #turn: ForwarderLock;
  readonly #news: StatusChannel;
  readonly #unwatch: readonly (() => void)[];
  #impatience: (() => void) | undefined;
  /** While this tab has the turn: looks for queues that have jobs. */
  #search: Pause | undefined;
  #outdated = false;
  #stopped = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#unwatch = [
      options.local.watch((change) => this.#seen(change)),
      onWakeUp(() => this.#wake(SIGN_MS)),
      // A lock that other tabs wait for, or a transaction, drops its page from the back/forward cache.
      onPageHidden(
        () => this.#turn.leave(),
        (persisted) => persisted && this.#queueUp(),
      ),
    ];
    this.#news = new StatusChannel(options.lock, {
      reach: (reach) => {
        this.reach = reach;
      },
      wake: () => this.#wake(0),
      asked: () => {
        if (this.#search) this.#news.tell({ reach: this.reach });
      },
    });
    this.#turn = requestForwarderLock(options.lock, () => this.#begin());
  }

  /**
   * Newer code has upgraded the local store: leaves the turn to a tab that runs it, and says so. Without an error: the
   * store can be used again.
   */
  outdate(error: unknown): void {
    this.#outdated = error !== undefined;
    if (!this.#outdated) {
      this.#queueUp();
      return;
    }
    this.#turn.leave();
    this.#heard(error);
    this.#options.events.emit("error", { error, retryInMs: Number.POSITIVE_INFINITY });
  }

  #queueUp(): void {
    this.#turn.leave();
    if (!this.#outdated && !this.#stopped) this.#turn = requestForwarderLock(this.#options.lock, () => this.#begin());
  }

  /** This tab has added something. */
  added(): void {
    if (this.#turn.taken || this.#impatience) return;
    this.#impatience = this.#options.clock.after(PATIENCE_MS, () => {
      this.#impatience = undefined;
      this.#turn.steal();
    });
  }

  /** Has whichever tab forwards try again now what waits to be tried again. */
  hurry(): void {
    this.#wake(0);
    this.#news.tell({ wake: true });
  }

  /**
   * Stops forwarding, removes everything, and lets go of what was in flight. Lines begin anew with the next add.
   *
   * A job may be added at any moment between two of these steps, here or in another tab. It finds its queue's entry, which
   * is then removed after it, and the second clearing takes it along; or it brings a new entry, and the next round finds
   * that, or the job is one that was added after the purge.
   */
  async purge(): Promise<void> {
    const { undelivered } = this.#options;
    this.#stopLines();
    for (let round = 0; round < PURGE_ROUNDS; round++) {
      let found = false;
      for (const names of await undelivered.lanes()) {
        for (const queue of await undelivered.queues(names)) {
          found = true;
          await this.#remove(names, queue);
          await undelivered.forget(names, queue);
          await this.#remove(names, queue);
        }
      }
      if (!found) break;
    }
    await undelivered.forgetRemote();
    this.#heard(undefined);
    // A tab that holds a queue learns that there is nothing left to hold.
    this.hurry();
  }

  stop(): void {
    this.#stopped = true;
    for (const stop of this.#unwatch) stop();
    this.#impatience?.();
    this.#turn.leave();
    this.#news.close();
  }

  #wake(afterMs: number): void {
    this.#search?.wake(afterMs);
    for (const line of this.#lines.values()) line.wake(afterMs);
  }

  async #remove(names: OutboxNames, queue: string): Promise<void> {
    await this.#options.undelivered.clear(names, queue);
    await this.#line(names, queue).letGo();
  }

  #begin(): () => void {
    this.#impatience?.();
    this.#impatience = undefined;
    const search = new Pause(this.#options.clock);
    this.#search = search;
    this.#behind = undefined;
    void this.#searchFor(search);
    return () => {
      this.#search = undefined;
      search.stop();
      this.#stopLines();
    };
  }

  /** Opens a line for each queue that has jobs, and again whenever there may be others, until the turn is over. */
  async #searchFor(search: Pause): Promise<void> {
    const { undelivered, events, random } = this.#options;
    let told = false;
    for (let failures = 0; this.#search === search; ) {
      search.begin();
      try {
        await this.#openAll();
        if (!told) for (const each of await undelivered.elsewhere()) events.emit("elsewhere", each);
        told = true;
        failures = 0;
        await search.untilWoken();
      } catch (error) {
        if (this.#search !== search) return;
        // The app has closed the store under this outbox: no line can do anything either.
        const over = partsOf(error).code === "closed";
        this.#heard(error);
        const retryInMs = over ? Number.POSITIVE_INFINITY : lengthAfter(++failures, 0, random());
        events.emit("error", { error, retryInMs });
        if (over) return;
        await search.rest(retryInMs, 0);
      }
    }
  }

  /** A queue that has jobs of an earlier version sends those first. */
  async #openAll(): Promise<void> {
    const { undelivered, names: own } = this.#options;
    const behind = new Set<string>();
    const found: [OutboxNames, string][] = [];
    for (const names of await undelivered.inherit()) {
      for (const queue of await undelivered.queues(names)) {
        if (names !== own && (await undelivered.counts(queue, [names])).waiting > 0) behind.add(queue);
        found.push([names, queue]);
      }
    }
    this.#behind = behind;
    for (const [names, queue] of found) if (!this.#lines.has(names.jobs(queue))) this.#open(names, queue);
  }

  #open(names: OutboxNames, queue: string): void {
    if (!this.#search || (names === this.#options.names && this.#behind?.has(queue))) return;
    const open = this.#lines.get(names.jobs(queue));
    if (open) {
      open.wake(ADDED_MS);
      return;
    }
    const line = this.#line(names, queue);
    this.#lines.set(names.jobs(queue), line);
    void line.run();
  }

  #line(names: OutboxNames, queue: string): QueueForwarder {
    return new QueueForwarder({
      ...this.#options,
      names,
      queue,
      heard: (error) => this.#heard(error),
      resumed: () => {
        for (const line of this.#lines.values()) if (line.held) line.wake(0);
      },
      emptied: () => {
        if (this.#behind?.has(queue)) this.#search?.wake(0);
      },
    });
  }

  #stopLines(): void {
    for (const line of this.#lines.values()) line.stop();
    this.#lines.clear();
  }

  #seen({ queue: local, kind, by }: Change): void {
    const names = kind === "ready" ? this.#options.undelivered.namesOf(local) : undefined;
    if (!this.#search || !names) return;
    const queue = names.target(local);
    if (queue === undefined || !this.#behind) this.#search.wake(0);
    else if (by !== names.worker(queue)) this.#open(names, queue);
  }

  #heard(error: unknown): void {
    const { lastError, paused, unreachableSince = this.#options.clock.now() } = this.reach;
    const held = [...this.#lines.values()].some((line) => line.held);
    if (error === undefined && lastError === undefined && held === (paused !== undefined)) return;
    this.reach = {
      ...(error !== undefined && { lastError: toStoredError(error), unreachableSince }),
      ...(held && { paused: "auth" }),
    };
    this.#news.tell({ reach: this.reach });
  }
}
