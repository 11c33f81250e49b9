import {
  type Clock,
  type EnqueueReceipt,
  type ExchangeReply,
  type ExchangeRequest,
  type Liveness,
  type NewJob,
  type NextCron,
  type NumberedRequest,
  type Store,
  StoreDriver,
} from "@quayside/core";
import type { ShardVerbs } from "./queue-rpc.ts";
import { ObjectShard } from "./shards/object-shard.ts";

export interface ObjectDriverOptions {
  readonly clock: Clock;
  readonly cron?: NextCron;
  /** Resolves when all that was written is on disk. */
  readonly sync: () => Promise<void>;
  /** Which shard of its queues the object is: see `shardOfName`. Default 0. */
  readonly shard?: number;
}

/**
 * The driver inside a queue's object. Workers of this process live and die with it, so whoever holds a lease of that
 * kind and did not enlist here belongs to an earlier life of the object: its jobs are taken back at once.
 */
export class ObjectDriver extends StoreDriver {
  readonly #sync: () => Promise<void>;
  readonly #shard: ObjectShard;

  constructor(store: Store, { clock, sync, cron, shard = 0 }: ObjectDriverOptions) {
    const alive = new Set<string>();
    super(store, {
      clock,
      shard,
      ...(cron && { cron }),
      enlist: async (worker) => {
        alive.add(worker);
        return { liveness: "process", leave: () => void alive.delete(worker) };
      },
      deadWorkers: async (workers) =>
        new Set(workers.filter((other) => isGone(other, alive)).map(({ worker }) => worker)),
    });
    this.#sync = sync;
    this.#shard = new ObjectShard(shard, (body) => this.run(body));
  }

  /** Of a queue that is split, only what belongs here: whoever adds past the sharded driver is told of it. */
  override async enqueue(jobs: readonly NewJob[], request?: NumberedRequest): Promise<readonly EnqueueReceipt[]> {
    return jobs.length === 0 ? [] : this.#shard.enqueue(jobs, request);
  }

  /** Answers what only shards are asked. */
  shard<Verb extends keyof ShardVerbs>(verb: Verb, ask: ShardVerbs[Verb]["ask"]): Promise<ShardVerbs[Verb]["answer"]> {
    return this.#shard.answer(verb, ask);
  }

  /**
   * A claim is on disk before its first handler starts (R10): a job that kills the object must be found in a lease
   * afterwards, or it would kill it again and again, uncounted.
   */
  override async exchange(request: ExchangeRequest): Promise<ExchangeReply> {
    const reply = await super.exchange(request);
    if (reply.jobs.length > 0) await this.#sync();
    return reply;
  }
}

const isGone = ({ worker, liveness }: { worker: string; liveness: Liveness }, alive: ReadonlySet<string>): boolean =>
  liveness === "process" && !alive.has(worker);
