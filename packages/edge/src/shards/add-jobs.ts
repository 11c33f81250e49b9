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
import type { ShardVerbs } from "../rpc/queue-rpc.ts";
import type { Layout } from "./layout.ts";
import { homeOfUnit, shardOfKey, type Unit, unitsOf } from "./route.ts";
import { NOT_HELD, type ShardSettings } from "./shard-in-store.ts";
import type { ShardPort } from "./shard-port.ts";

/** Those of the shards. */
const PLUGINS = new Plugins(objectPlugins());
/** Times that one call learns of a new layout: it changes by a deployment, and not often. */
export const LAYOUTS_MOST = 3;

export interface ShardAdderOptions {
  readonly layout: Layout;
  readonly shard: (index: number) => ShardPort;
  readonly outcomes: Outcomes;
  /** In [0, 1). */
  readonly random: () => number;
}

/** The condition under which a unit is added to a shard: one of its keys, or one of its ids, is held there. */
type How = "held" | "id";

/** Some of a call's jobs that go to one shard together. */
interface Share {
  readonly shard: number;
  readonly units: readonly Unit[];
}

/**
 * Adds jobs to the shards where they belong. What goes to one shard is stored all or none, and with it all that may lie
 * anywhere; where jobs belong in several, each shard's are.
 */
export class ShardAdder {
  readonly #options: ShardAdderOptions;
  #turn: number | undefined;

  constructor(options: ShardAdderOptions) {
    this.#options = options;
  }

  async add(jobs: readonly NewJob[], request: NumberedRequest | undefined): Promise<readonly EnqueueReceipt[]> {
    const { layout } = this.#options;
    // Refused before anything is stored anywhere.
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

  /** The shards take turns at jobs that may lie anywhere, each driver beginning somewhere else. */
  #next(count: number): number {
    this.#turn = (this.#turn ?? Math.floor(this.#options.random() * count)) + 1;
    return this.#turn % count;
  }
}

/** One call of `enqueue` on its way. */
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

  /** Adds what is left to add. Returns a number of shards when one of them has stored another layout. */
  async run(anywhere: () => number): Promise<number | undefined> {
    const { count, previous } = this.#options.layout;
    if (!isOfOutbox(this.#request)) {
      // A generated id that is given again: where it was made, its job may be. Then it is not added again elsewhere.
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
   * A numbered request is recorded first in the shard of its sender's name: sent again with jobs of other shards, it
   * is refused there (R7). While that shard does not answer, each shard has a record of its own part.
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

  /** The shard that made the first generated id in the unit; undefined: there is none, or no such shard. */
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

  /** Jobs that may go to any shard go with the first that may not, so that the call is all or none more often. */
  #shares(units: readonly Unit[], count: number, anywhere: () => number): readonly Share[] {
    const first = this.#units.find(({ key }) => key !== undefined);
    let free: number | undefined;
    const somewhere = () => {
      if (first) return homeOfUnit(first, count);
      // A repeat has to find what the first send has done.
      return this.#request ? shardOfKey(this.#request.sender, count) : anywhere();
    };
    return shareOut(units, (unit) => {
      if (unit.key !== undefined) return homeOfUnit(unit, count);
      free ??= somewhere();
      return free;
    });
  }

  /** Returns the outcome that the request has by the layout before. */
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

  /** The error, and where some of the jobs are stored nevertheless, which. */
  failed(error: unknown): unknown {
    // A numbered call is sent again as it is.
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

/** Outboxes number their requests from 1 on, and make the ids in them. A request under an `Idempotency-Key` lasts a while. */
const isOfOutbox = (request: NumberedRequest | undefined): boolean =>
  request !== undefined && request.ttlMs === undefined;

const indicesOf = (units: readonly Unit[]): readonly number[] =>
  units.flatMap(({ indices }) => indices).sort((a, b) => a - b);

/**
 * Has a shard take in what goes to it, and settles with it by how many shards that is routed.
 *
 * @returns its receipts; or a number of shards, where this layout's own has become that since.
 * @throws {QuaysideError} `invalid_option` where the queue is split over another number, of which the layout says nothing.
 */
export async function askShard(
  options: Pick<ShardAdderOptions, "layout" | "shard">,
  first: ShardVerbs["add"]["ask"],
): Promise<readonly EnqueueReceipt[] | number> {
  const { layout, shard } = options;
  const { shard: index } = first;
  let ask = first;
  for (;;) {
    const answer = await shard(index).shard("add", ask);
    if ("count" in answer) return answer.count;
    if ("other" in answer) {
      // The first shard gets every change. A shard that no job was added to since may have missed it.
      const { count } =
        index === 0 ? { count: answer.other } : await shard(0).shard("settings", { queue: answer.queue });
      if (count !== layout.count || ask.layout.previous === answer.other)
        throw layout.refused(answer.queue, answer.other);
      ask = { ...ask, layout: { ...ask.layout, previous: answer.other } };
    } else if ("wants" in answer) {
      const given = await settingsOf(options, answer.wants);
      if (typeof given === "number") return given;
      ask = { ...ask, settings: { ...ask.settings, ...given } };
    } else {
      if (answer.told && index > 0) {
        // The jobs are stored, whatever becomes of this.
        const first = { shard: 0, jobs: [], queues: answer.told, layout: layout.asSent };
        await askShard(options, first).catch(() => {});
      }
      return answer.receipts;
    }
  }
}

/**
 * The settings that a shard takes over where these queues are new to it: those of the first one.
 *
 * @returns a number of shards, where the first one has stored a newer layout.
 */
async function settingsOf(
  { layout, shard }: Pick<ShardAdderOptions, "layout" | "shard">,
  queues: readonly string[],
): Promise<Readonly<Record<string, ShardSettings>> | number> {
  const settings: Record<string, ShardSettings> = {};
  for (const queue of queues) {
    const { count, previous, ...given } = await shard(0).shard("settings", { queue });
    const newer = count === undefined ? undefined : layout.newerOf(queue, { count, ...(previous && { previous }) });
    if (newer !== undefined) return newer;
    settings[queue] = layout.reach > 1 ? checked(queue, given) : given;
  }
  return settings;
}

/** @throws {QuaysideError} `invalid_option` where the queue has limits that its shards cannot hold together. */
function checked(queue: string, settings: ShardSettings): ShardSettings {
  const { rateLimit, maxActive, ...rest } = settings;
  if (rateLimit === undefined && maxActive === undefined) return rest;
  const option = rateLimit === undefined ? "maxActive" : "rateLimit";
  throw new QuaysideError(
    "invalid_option",
    `Queue ${queue} has a ${option}, which cannot hold over several shards. Lift it before the queue is split.`,
    { option, queue },
  );
}
