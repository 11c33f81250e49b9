import { type Change, type Clock, type Driver, toStoredError } from "@quayside/core";
import type { OutboxEmitter } from "./events.ts";
import { Line, type LineEntry } from "./line.ts";
import type { OutboxNames } from "./names.ts";
import { News, type Reach } from "./news.ts";
import { queueForTurn, type Turn } from "./turn.ts";
import { onWakeUp } from "./wake-ups.ts";

/** A tab whose own add is still here after so long takes the turn from whoever has it: that one may be frozen. */
const PATIENCE_MS = 60_000;

export interface ForwarderOptions {
  readonly names: OutboxNames;
  readonly local: Driver;
  readonly remote: Driver;
  readonly clock: Clock;
  readonly random: () => number;
  readonly events: OutboxEmitter;
  /** Absent: nobody else forwards these jobs, or nobody can be kept from it. */
  readonly lock: string | undefined;
}

/** Forwards all queues of a partition while this tab has the turn, each in a line of its own: none waits for another. */
export class Forwarder {
  reach: Reach = {};
  readonly #options: ForwarderOptions;
  readonly #lines = new Map<string, Line>();
  readonly #turn: Turn;
  readonly #news: News;
  readonly #unwatch: readonly (() => void)[];
  #impatience: (() => void) | undefined;
  #running = false;

  constructor(options: ForwarderOptions) {
    this.#options = options;
    this.#unwatch = [options.local.watch((change) => this.#seen(change)), onWakeUp(() => this.wake())];
    this.#news = new News(options.lock, {
      reach: (reach) => {
        this.reach = reach;
      },
      wake: () => this.wake(),
    });
    this.#turn = queueForTurn(options.lock, () => this.#begin());
  }

  /** The queues that this outbox has ever held jobs for. */
  async queues(): Promise<readonly string[]> {
    const { local, names } = this.#options;
    const queues: string[] = [];
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page = await local.list({ queue: names.register, limit: 1_000, ...(cursor !== undefined && { cursor }) });
      queues.push(...page.jobs.map(({ payload }) => (payload as LineEntry).queue));
      cursor = page.cursor;
    }
    return queues;
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
    this.wake();
    this.#news.tell({ wake: true });
  }

  wake(): void {
    for (const line of this.#lines.values()) line.wake();
  }

  /** Stops forwarding, has everything removed, and lets go of what was in flight. Lines begin anew with the next add. */
  async purge(queues: readonly string[], remove: () => Promise<void>): Promise<void> {
    this.#stopLines();
    await remove();
    for (const queue of queues) await this.#line(queue).letGo();
  }

  stop(): void {
    for (const stop of this.#unwatch) stop();
    this.#impatience?.();
    this.#turn.leave();
    this.#news.close();
  }

  #begin(): () => void {
    this.#running = true;
    this.#impatience?.();
    this.#impatience = undefined;
    void this.#openAll();
    return () => {
      this.#running = false;
      this.#stopLines();
    };
  }

  async #openAll(): Promise<void> {
    try {
      for (const queue of await this.queues()) if (!this.#lines.has(queue)) this.#open(queue);
    } catch (error) {
      // The store is out of order: it says so to whoever adds, and its next change brings this tab back here.
      this.#heard(error);
    }
  }

  #open(queue: string): void {
    if (!this.#running) return;
    const open = this.#lines.get(queue);
    if (open) {
      open.wake();
      return;
    }
    const line = this.#line(queue);
    this.#lines.set(queue, line);
    void line.run();
  }

  #line(queue: string): Line {
    return new Line({ ...this.#options, queue, heard: (error) => this.#heard(error) });
  }

  #stopLines(): void {
    for (const line of this.#lines.values()) line.stop();
    this.#lines.clear();
  }

  #seen({ queue: local, kind, by }: Change): void {
    const { names } = this.#options;
    if (!this.#running || kind !== "ready" || !local.startsWith(names.register)) return;
    const queue = names.target(local);
    if (queue === undefined) void this.#openAll();
    else if (by !== names.worker(queue)) this.#open(queue);
  }

  #heard(error: unknown): void {
    if (error === undefined && this.reach.lastError === undefined) return;
    const { unreachableSince = this.#options.clock.now() } = this.reach;
    this.reach = error === undefined ? {} : { lastError: toStoredError(error), unreachableSince };
    this.#news.tell({ reach: this.reach });
  }
}
