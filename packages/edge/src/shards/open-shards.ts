import type { Change } from "@quayside/core/engine";
import type { ShardPort } from "./shard-port.ts";

export interface OpenShardsOptions {
  /** Returns the number of shards. */
  readonly reach: () => number;
  /** Creates the driver of a shard; called once per shard. */
  readonly open: (shard: number) => ShardPort;
}

/**
 * The drivers of a queue's shards that were used so far. Each reports changes of the followed queues to all listeners.
 */
export class OpenShards {
  readonly #options: OpenShardsOptions;
  readonly #shards: ShardPort[] = [];
  readonly #queues = new Set<string>();
  readonly #watches = new Map<(change: Change) => void, (() => void)[]>();

  constructor(options: OpenShardsOptions) {
    this.#options = options;
  }

  /** Returns the driver of a shard. Opens the shards up to it first. */
  at(index: number): ShardPort {
    for (let next = this.#shards.length; next <= index; next++) {
      const shard = this.#options.open(next);
      for (const queue of this.#queues) shard.follow(queue);
      for (const [entry, stops] of this.#watches) stops.push(shard.watch(entry));
      this.#shards.push(shard);
    }
    return this.#shards[index] as ShardPort;
  }

  all(): readonly ShardPort[] {
    return Array.from({ length: this.#options.reach() }, (_, shard) => this.at(shard));
  }

  /** Reports changes of this queue in every shard to the listeners. */
  follow(queue: string): void {
    if (this.#queues.has(queue)) return;
    this.#queues.add(queue);
    for (const shard of this.#shards) shard.follow(queue);
  }

  /** Calls the listener after changes in any shard. Returns a function that removes it. */
  watch(listener: (change: Change) => void): () => void {
    // An entry per call, so that the same function may listen twice.
    const entry = (change: Change) => listener(change);
    this.#watches.set(
      entry,
      this.all().map((shard) => shard.watch(entry)),
    );
    return () => {
      for (const stop of this.#watches.get(entry) ?? []) stop();
      this.#watches.delete(entry);
    };
  }

  unwatch(): void {
    this.#watches.clear();
  }

  /**
   * Reports a change of these queues to all listeners, so that workers make another exchange. Called when a slow shard
   * has answered.
   */
  wake(queues: readonly string[]): void {
    for (const listener of [...this.#watches.keys()])
      for (const queue of queues) for (const kind of ["cancel", "ready"] as const) listener({ queue, kind });
  }

  /** Returns how many changes of these queues a shard has reported, or undefined while its reports do not arrive. */
  heard(index: number, queues: readonly string[]): number | undefined {
    const shard = this.at(index);
    let sum = 0;
    for (const queue of queues) {
      const heard = shard.heard(queue);
      if (heard === undefined) return undefined;
      sum += heard;
    }
    return sum;
  }

  async close(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.close()));
  }
}
