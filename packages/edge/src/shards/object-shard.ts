import { QuaysideError } from "@quayside/core";
import type { NewJob, Program, Transaction } from "@quayside/core/engine";
import { spendQuota } from "../object/caller-quota.ts";
import type { JobWriteObserver } from "../object/job-write-observer.ts";
import type { ShardVerbs } from "../rpc/queue-rpc.ts";
import { homeOfId, keysOf, namesNoShard, shardOfKey } from "./route.ts";
import {
  addToShard,
  type GroupsKnown,
  type GroupsStep,
  liveGroups,
  readGroups,
  recallInShard,
  type ShardAdded,
  shardSettings,
  unrouted,
} from "./shard-in-store.ts";

/** Time for which groups with jobs in this shard are cached, in ms: finding them reads all waiting jobs. */
const GROUPS_FRESH_MS = 10_000;

// biome-ignore lint/correctness/useYield: it reads the clock alone
function* now(tx: Transaction): Program<number> {
  return tx.now;
}

type Run = <T>(body: (tx: Transaction) => Program<T>) => Promise<T>;
type Verbs = {
  readonly [Verb in keyof ShardVerbs]: (ask: ShardVerbs[Verb]["ask"]) => Promise<ShardVerbs[Verb]["answer"]>;
};

/**
 * The groups of a queue that had jobs in this shard when they were last read, plus those added since. Other groups have
 * no jobs here, because only this shard's adds create them once the layout is stored.
 */
interface GroupsSeen {
  readonly at: number;
  readonly count: number;
  readonly live: Set<string>;
}

/** Answers the verbs of shards (`ShardVerbs`) in an object that is a shard of its queues. */
export class ObjectShard {
  readonly #shard: number;
  readonly #run: Run;
  readonly #writes: JobWriteObserver;
  readonly #verbs: Verbs;
  readonly #groups = new Map<string, GroupsSeen>();

  constructor(shard: number, run: Run, writes: JobWriteObserver) {
    this.#shard = shard;
    this.#writes = writes;
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
   * Adds jobs of a caller that does not route by shards: a handler of this object, or an earlier version of the app.
   *
   * @throws {QuaysideError} `invalid_option` for a job with a key of another shard.
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
    const told = await this.#lookAhead(ask, groups);
    if (told && !("receipts" in told)) return told;
    const answer = await this.#run((tx) => addToShard(tx, ask, groups));
    // After the commit (R3): until the layout is stored, other callers may add new groups.
    for (const [queue, seen] of looked) this.#groups.set(queue, seen);
    return told?.told && "receipts" in answer ? { ...answer, told: told.told } : answer;
  }

  /** Stores the layout, then reads the groups that an add needs, in limited steps (R32), before the add itself runs. */
  async #lookAhead(
    { request: _, ...ask }: ShardVerbs["add"]["ask"],
    groups: GroupsKnown,
  ): Promise<ShardAdded | undefined> {
    if (!ask.units) return undefined;
    const at = await this.#run(now);
    const { count } = ask.layout;
    const unknown = new Set<string>();
    for (const { queue, group } of ask.jobs) {
      const seen = this.#groups.get(queue);
      if (group && !(seen?.count === count && Math.abs(at - seen.at) < GROUPS_FRESH_MS)) unknown.add(queue);
    }
    if (unknown.size === 0) return undefined;
    const queues = [...new Set(ask.jobs.map(({ queue }) => queue))];
    const answer = await this.#run((tx) => addToShard(tx, { ...ask, queues, jobs: [], units: [] }, groups));
    if ("receipts" in answer) for (const queue of unknown) await this.#look(queue, count);
    return answer;
  }

  async #look(queue: string, count: number): Promise<void> {
    const live = new Set<string>();
    // Also records jobs that move to a part already read.
    const stop = this.#writes.listen((operation) => {
      if (operation.op !== "put" || operation.collection !== "jobs") return;
      for (const job of operation.records) if (job.group && job.queue === queue) live.add(job.group.key);
    });
    try {
      for (let from: GroupsStep | undefined = { range: 0 }; from; ) {
        const step: GroupsStep = from;
        const { next, at } = await this.#run(function* (tx) {
          return { next: yield* readGroups(queue, step, live), at: tx.now };
        });
        from = next;
        if (!next) this.#groups.set(queue, { at, count, live });
      }
    } finally {
      stop();
    }
  }

  /** Refuses a call for another shard's number, which would generate ids that name the wrong shard. */
  #checkNumber(shard: number): void {
    if (shard === this.#shard) return;
    throw new QuaysideError(
      "invalid_option",
      `This object is asked as shard ${shard}, and by its name it is shard ${this.#shard}: the name of a shard's object ends in # and its number.`,
      { option: "shard" },
    );
  }
}
