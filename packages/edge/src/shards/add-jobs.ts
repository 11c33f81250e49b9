import { QuaysideError } from "@quayside/core";
import {
  checkNames,
  type EnqueueReceipt,
  isTrouble,
  type NewJob,
  type NumberedRequest,
  type Outcomes,
  Plugins,
  storedInPart,
  storeOfId,
} from "@quayside/core/engine";
import { objectPlugins } from "../object/object-plugins.ts";
import { askShard, LAYOUTS_MOST, type ShardAsker } from "./ask-shard.ts";
import { homeOfUnit, shardOfKey, type Unit, unitsOf } from "./route.ts";
import { NOT_HELD } from "./shard-in-store.ts";

/** The plugins that every shard's object has, to check jobs before they are sent. */
const PLUGINS = new Plugins(objectPlugins());

export interface ShardAdderOptions extends ShardAsker {
  readonly outcomes: Outcomes;
  /** Returns a number in [0, 1). */
  readonly random: () => number;
}

/**
 * The condition on which a unit (jobs that must go to the same shard) is added to a shard: the shard has a job with one
 * of the unit's keys (`held`) or ids (`id`).
 */
type How = "held" | "id";

/** The units of a call that go to one shard. */
interface Share {
  readonly shard: number;
  readonly units: readonly Unit[];
}

/**
 * Adds jobs to the shards to which they belong. All jobs for one shard are stored together or not at all. Jobs without
 * a key go to the same shard as other jobs of the call.
 */
export class ShardAdder {
  readonly #options: ShardAdderOptions;
  #turn: number | undefined;

  constructor(options: ShardAdderOptions) {
    this.#options = options;
  }

  async add(jobs: readonly NewJob[], request: NumberedRequest | undefined): Promise<readonly EnqueueReceipt[]> {
    const { layout } = this.#options;
    // Refused before any job is stored.
    for (const job of jobs) checkNames(PLUGINS, job);
    const known = request ? undefined : this.#options.outcomes.take(jobs);
    if (known) return known;
    const units = unitsOf(jobs, layout.keyOf);
    const call = new Call(jobs, units, request, this.#options);
    for (let time = 0; time < LAYOUTS_MOST; time++) {
      const count = await call.run(() => this.#next(layout.count));
      if (count === undefined) return call.receipts();
      layout.adopt(count);
    }
    throw call.failed(
      new QuaysideError("conflict", "The number of shards changes faster than this call can follow.", {}),
    );
  }

  /** Chooses the shard for jobs without a key: the shards in turn, from a random one. */
  #next(count: number): number {
    this.#turn = (this.#turn ?? Math.floor(this.#options.random() * count)) + 1;
    return this.#turn % count;
  }
}

/** A call of `enqueue` that is in progress. */
class Call {
  readonly #jobs: readonly NewJob[];
  readonly #units: readonly Unit[];
  readonly #request: NumberedRequest | undefined;
  readonly #options: ShardAdderOptions;
  readonly #receipts: (EnqueueReceipt | undefined)[];
  readonly #errors: unknown[] = [];

  constructor(
    jobs: readonly NewJob[],
    units: readonly Unit[],
    request: NumberedRequest | undefined,
    options: ShardAdderOptions,
  ) {
    this.#jobs = jobs;
    this.#units = units;
    this.#request = request;
    this.#options = options;
    this.#receipts = new Array(jobs.length);
  }

  receipts(): readonly EnqueueReceipt[] {
    return this.#receipts as EnqueueReceipt[];
  }

  /**
   * Adds the jobs that were not added yet. Returns the new number of shards if a shard has stored another layout; the
   * call must then run again.
   */
  async run(anywhere: () => number): Promise<number | undefined> {
    const { count, previous } = this.#options.layout;
    if (!isOfOutbox(this.#request)) {
      // A generated id that is given again names the shard where its job may exist. If the job exists there, it is not
      // added elsewhere.
      const minted = (unit: Unit) => this.#mintedAt(unit) ?? homeOfUnit(unit, count);
      const again = this.#left.filter((unit) => unit.key !== undefined && minted(unit) !== homeOfUnit(unit, count));
      const found = await this.#send(shareOut(again, minted), "id");
      if (found !== undefined) return found;
    }
    if (previous !== undefined) {
      if (this.#request) await this.#recall(this.#request, previous);
      const moving = this.#left.filter(
        (unit) => unit.key !== undefined && homeOfUnit(unit, previous) !== homeOfUnit(unit, count),
      );
      const moved = await this.#send(
        shareOut(moving, (unit) => homeOfUnit(unit, previous)),
        "held",
      );
      if (moved !== undefined) return moved;
    }
    const shares = this.#shares(this.#left, count, anywhere);
    if (!this.#request) return this.#send(shares);
    return (
      (await this.#sendFirst(this.#request, shares, count)) ?? this.#send(this.#shares(this.#left, count, anywhere))
    );
  }

  /**
   * Sends a numbered request first to the shard of its sender, so that a repeat with jobs of other shards is refused
   * there (R7). If that shard does not respond, each shard records its own part.
   */
  async #sendFirst(request: NumberedRequest, shares: readonly Share[], count: number): Promise<number | undefined> {
    const gate = shardOfKey(request.sender, count);
    if (shares.length === 0 || (shares.length === 1 && shares[0]?.shard === gate)) return undefined;
    const own = shares.filter(({ shard }) => shard === gate);
    const { layout, shard } = this.#options;
    try {
      if (own.length > 0) return await this.#send(own);
      await shard(gate).shard("add", { shard: gate, jobs: [], request, layout: layout.asSent });
    } catch (error) {
      if (!isTrouble(error)) throw error;
    }
    return undefined;
  }

  /** Returns the shard that the first generated id in a unit names; undefined if the unit has none. */
  #mintedAt({ indices }: Unit): number | undefined {
    for (const at of indices) {
      const { id } = this.#jobs[at] as NewJob;
      const shard = id === undefined ? undefined : storeOfId(id);
      if (shard !== undefined && shard < this.#options.layout.reach) return shard;
    }
    return undefined;
  }

  get #left(): readonly Unit[] {
    return this.#units.filter(({ indices }) => this.#receipts[indices[0] as number] === undefined);
  }

  /**
   * Divides units over the shards. All units without a key go to the shard of the first job with a key, so that more
   * calls are stored all or none.
   */
  #shares(units: readonly Unit[], count: number, anywhere: () => number): readonly Share[] {
    const first = this.#units.find(({ key }) => key !== undefined);
    let free: number | undefined;
    const somewhere = () => {
      if (first) return homeOfUnit(first, count);
      // A repeated request must go to the same shard.
      return this.#request ? shardOfKey(this.#request.sender, count) : anywhere();
    };
    return shareOut(units, (unit) => {
      if (unit.key !== undefined) return homeOfUnit(unit, count);
      free ??= somewhere();
      return free;
    });
  }

  /**
   * Reads the receipts that an earlier send of the request got under the previous layout, so that its jobs are not
   * added again.
   */
  async #recall(request: NumberedRequest, count: number): Promise<void> {
    const gate = shardOfKey(request.sender, count);
    const shares = this.#shares(this.#units, count, () => 0);
    await Promise.all([
      this.#options.shard(gate).shard("recall", { jobs: [], request, count }),
      ...shares.map(async ({ shard, units }) => {
        const indices = indicesOf(units);
        const receipts = await this.#options
          .shard(shard)
          .shard("recall", { jobs: indices.map((at) => this.#jobs[at] as NewJob), request, count });
        if (receipts) this.#note(indices, receipts);
      }),
    ]);
  }

  async #send(shares: readonly Share[], how?: How): Promise<number | undefined> {
    const sends = await Promise.allSettled(shares.map((share) => this.#sendShare(share, how)));
    for (const [at, send] of sends.entries())
      if (send.status === "rejected")
        for (const index of indicesOf(shares[at]?.units ?? [])) this.#errors[index] = send.reason;
    const broken = sends.find((send) => send.status === "rejected");
    if (broken) throw this.failed(broken.reason);
    for (const send of sends) if (send.status === "fulfilled" && send.value !== undefined) return send.value;
    return undefined;
  }

  async #sendShare({ shard: index, units }: Share, how: How | undefined): Promise<number | undefined> {
    const { layout } = this.#options;
    const shard = this.#options.shard(index);
    const indices = indicesOf(units);
    const jobs = indices.map((at) => this.#jobs[at] as NewJob);
    const unitOf = new Map(units.flatMap((unit, number) => unit.indices.map((at) => [at, number])));
    const queues = [...new Set(jobs.map(({ queue }) => queue))];
    for (const queue of queues) shard.touch(queue);
    const ask = {
      shard: index,
      jobs,
      layout: layout.asSent,
      ...(this.#request && { request: this.#request }),
      ...(how && { units: indices.map((at) => unitOf.get(at) as number) }),
      ...(how === "id" && { byId: true }),
    };
    const answer = await askShard(this.#options, ask);
    if (typeof answer === "number") return answer;
    this.#note(indices, answer);
    return undefined;
  }

  #note(indices: readonly number[], receipts: readonly EnqueueReceipt[]): void {
    for (const [at, index] of indices.entries()) {
      const receipt = receipts[at] as EnqueueReceipt;
      if (receipt.id !== NOT_HELD.id) this.#receipts[index] = receipt;
    }
  }

  /** Returns the error of the call. If some jobs are stored, the error lists them. */
  failed(error: unknown): unknown {
    // A numbered request is repeated as a whole.
    if (!this.#request) this.#options.outcomes.note(this.#jobs, this.#receipts, this.#errors);
    return storedInPart(error, Array.from(this.#receipts));
  }
}

function shareOut(units: readonly Unit[], home: (unit: Unit) => number): readonly Share[] {
  const shares = new Map<number, Unit[]>();
  for (const unit of units) {
    const shard = home(unit);
    const share = shares.get(shard);
    if (share) share.push(unit);
    else shares.set(shard, [unit]);
  }
  return [...shares].map(([shard, share]) => ({ shard, units: share }));
}

/**
 * Returns whether a request comes from an outbox, which numbers its requests from 1 and generates the ids of its jobs.
 * A request with an `Idempotency-Key` is not from an outbox: it has a `ttlMs`.
 */
const isOfOutbox = (request: NumberedRequest | undefined): boolean =>
  request !== undefined && request.ttlMs === undefined;

const indicesOf = (units: readonly Unit[]): readonly number[] =>
  units.flatMap(({ indices }) => indices).sort((a, b) => a - b);
