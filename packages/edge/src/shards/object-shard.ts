import { QuaysideError } from "@quayside/core";
import type { NewJob, Program, Transaction } from "@quayside/core/engine";
import { spendQuota } from "../object/caller-quota.ts";
import type { ShardVerbs } from "../rpc/queue-rpc.ts";
import { homeOfId, keysOf, namesNoShard, shardOfKey } from "./route.ts";
import { addToShard, liveGroups, recallInShard, shardSettings, unrouted } from "./shard-in-store.ts";

/** How long it is taken for granted that a group which had jobs here still has some: a look reads the whole line. */
const GROUPS_FRESH_MS = 10_000;

type Run = <T>(body: (tx: Transaction) => Program<T>) => Promise<T>;
type Verbs = {
  readonly [Verb in keyof ShardVerbs]: (ask: ShardVerbs[Verb]["ask"]) => Promise<ShardVerbs[Verb]["answer"]>;
};

/**
 * The groups of a queue that had jobs here when they were last looked for, and those that were added since: what is not
 * among them has none, for nothing else adds a new one once the layout is known here.
 */
interface GroupsSeen {
  readonly at: number;
  readonly count: number;
  readonly live: Set<string>;
}

/** What an object does as a shard of its queues, besides what every object does. */
export class ObjectShard {
  readonly #shard: number;
  readonly #run: Run;
  readonly #verbs: Verbs;
  readonly #groups = new Map<string, GroupsSeen>();

  constructor(shard: number, run: Run) {
    this.#shard = shard;
    this.#run = run;
    this.#verbs = {
      add: (ask) => this.#add(ask),
      recall: ({ jobs, request, count }) => run((tx) => recallInShard(tx, jobs, request, count)),
      spend: async ({ queues, request, quota }) => {
        const { refused } = await run((tx) => spendQuota(tx, queues, request, quota));
        if (refused) throw refused;
        return {};
      },
      settings: ({ queue }) => run((tx) => shardSettings(tx, queue)),
    };
  }

  answer<Verb extends keyof ShardVerbs>(verb: Verb, ask: ShardVerbs[Verb]["ask"]): Promise<ShardVerbs[Verb]["answer"]> {
    return this.#verbs[verb](ask);
  }

  /**
   * Adds what somebody brings who knows of no shards: a handler of this object, or a version of the app from before.
   *
   * @throws {QuaysideError} `invalid_option` for a job with a key that lies in another shard.
   */
  unrouted<T>(jobs: readonly NewJob[], work: () => Program<T>): Program<T> {
    return unrouted(
      jobs,
      (job, { count, custom }) => {
        if (!custom) this.#checkHome(job, count);
      },
      work,
    );
  }

  #checkHome({ queue, id, dedupe, group }: NewJob, count: number): void {
    const [key] = keysOf({ ...(id !== undefined && { id }), ...(dedupe && { dedupe }), ...(group && { group }) });
    if (key === undefined && this.#shard === 0 && namesNoShard(id as string)) return;
    const home = key === undefined ? homeOfId(id as string, count) : shardOfKey(key, count);
    if (home === this.#shard) return;
    throw new QuaysideError(
      "invalid_option",
      `Queue ${queue} is split over ${count} objects, and a job of the key ${JSON.stringify(key ?? id)} lies in shard ` +
        `${home}, not in shard ${this.#shard}: add it by a driver that is told of the shards.`,
      { option: "shards", queue, shard: home },
    );
  }

  async #add(ask: ShardVerbs["add"]["ask"]): Promise<ShardVerbs["add"]["answer"]> {
    this.#checkNumber(ask.shard);
    const { count } = ask.layout;
    const looked = new Map<string, GroupsSeen>();
    const groups = function* (this: ObjectShard, tx: Transaction, queue: string): Program<Set<string>> {
      const seen = looked.get(queue) ?? this.#groups.get(queue);
      if (seen?.count === count && Math.abs(tx.now - seen.at) < GROUPS_FRESH_MS) return seen.live;
      const live = yield* liveGroups(queue);
      looked.set(queue, { at: tx.now, count, live });
      return live;
    }.bind(this);
    const answer = await this.#run((tx) => addToShard(tx, ask, groups));
    // After the commit (R3): until the layout stands here, others may still add new groups.
    for (const [queue, seen] of looked) this.#groups.set(queue, seen);
    return answer;
  }

  /** Ids would name another shard than the one where their jobs lie. */
  #checkNumber(shard: number): void {
    if (shard === this.#shard) return;
    throw new QuaysideError(
      "invalid_option",
      `This object is asked as shard ${shard}, and by its name it is shard ${this.#shard}: the name of a shard's object ends in # and its number.`,
      { option: "shard" },
    );
  }
}
