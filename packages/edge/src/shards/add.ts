import {
  ALL,
  checkNames,
  type EnqueueReceipt,
  type NewJob,
  NOT_HELD,
  type NumberedRequest,
  QuaysideError,
  type ShardSettings,
} from "@quayside/core";
import type { Layout } from "./layout.ts";
import { homeOfUnit, shardOfKey, type Unit, unitsOf } from "./route.ts";
import type { ShardPort } from "./shard-port.ts";

/** Times that one call learns of a new layout: it changes by a deployment, and not often. */
const LAYOUTS_MOST = 3;

export interface ShardAdderOptions {
  readonly layout: Layout;
  readonly shard: (index: number) => ShardPort;
  /** In [0, 1). */
  readonly random: () => number;
}

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
    for (const job of jobs) checkNames(ALL, job);
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

  /** Adds what is left to add. Answers a number of shards when one of them was told of another layout. */
  async run(anywhere: () => number): Promise<number | undefined> {
    const { count, previous } = this.#options.layout;
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
    return this.#send(this.#shares(this.#left, count, anywhere));
  }

  get #left(): readonly Unit[] {
    return this.#units.filter(({ indices }) => this.#receipts[indices[0] as number] === undefined);
  }

  /** What may lie anywhere goes along with the first that may not: then the call is all or none more often. */
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

  /** What the request has done already, by the layout before. */
  async #recall(request: NumberedRequest, count: number): Promise<void> {
    const shares = this.#shares(this.#units, count, () => 0);
    await Promise.all(
      shares.map(async ({ shard, units }) => {
        const indices = indicesOf(units);
        const receipts = await this.#options
          .shard(shard)
          .shard("recall", { jobs: indices.map((at) => this.#jobs[at] as NewJob), request, count });
        if (receipts) this.#note(indices, receipts);
      }),
    );
  }

  async #send(shares: readonly Share[], how?: "held"): Promise<number | undefined> {
    const sends = await Promise.allSettled(shares.map((share) => this.#sendShare(share, how)));
    const broken = sends.find((send) => send.status === "rejected");
    if (broken) throw this.failed(broken.reason);
    for (const send of sends) if (send.status === "fulfilled" && send.value !== undefined) return send.value;
    return undefined;
  }

  async #sendShare({ shard: index, units }: Share, how: "held" | undefined): Promise<number | undefined> {
    const shard = this.#options.shard(index);
    const indices = indicesOf(units);
    const jobs = indices.map((at) => this.#jobs[at] as NewJob);
    const unitOf = new Map(units.flatMap((unit, number) => unit.indices.map((at) => [at, number])));
    const queues = [...new Set(jobs.map(({ queue }) => queue))];
    for (const queue of queues) shard.touch(queue);
    const ask = {
      shard: index,
      jobs,
      layout: this.#options.layout.asSent,
      ...(this.#request && { request: this.#request }),
      ...(how && { units: indices.map((at) => unitOf.get(at) as number) }),
    };
    // The first shard is the one that the others take after.
    let settings = index === 0 ? Object.fromEntries(queues.map((queue) => [queue, {}])) : undefined;
    for (;;) {
      const answer = await shard.shard("add", { ...ask, ...(settings && { settings }) });
      if ("count" in answer) return answer.count;
      if ("receipts" in answer) {
        this.#note(indices, answer.receipts);
        return undefined;
      }
      settings = { ...settings, ...(await this.#settings(answer.wants)) };
    }
  }

  async #settings(queues: readonly string[]): Promise<Readonly<Record<string, ShardSettings>>> {
    const first = this.#options.shard(0);
    const entries = queues.map(async (queue) => [queue, await first.shard("settings", { queue })] as const);
    return Object.fromEntries(
      (await Promise.all(entries)).map(([queue, settings]) => [queue, checked(queue, settings)]),
    );
  }

  #note(indices: readonly number[], receipts: readonly EnqueueReceipt[]): void {
    for (const [at, index] of indices.entries()) {
      const receipt = receipts[at] as EnqueueReceipt;
      if (receipt.id !== NOT_HELD.id) this.#receipts[index] = receipt;
    }
  }

  /** The error, and where some of the jobs are stored nevertheless, which. */
  failed(error: unknown): unknown {
    const stored = [...this.#receipts.keys()].filter((index) => this.#receipts[index] !== undefined);
    if (stored.length === 0) return error;
    const { code, message, details } =
      error instanceof QuaysideError ? error : new QuaysideError("internal", "A shard failed.");
    return new QuaysideError(
      // Not for what the jobs are: some of them stand, and who tries again without a number adds them twice.
      code === "network" ? code : "internal",
      `${message} Of the call's jobs ${stored.length} are stored, in other shards.`,
      { ...details, cause: code, stored, ids: stored.map((index) => this.#receipts[index]?.id) },
      error,
    );
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

const indicesOf = (units: readonly Unit[]): readonly number[] =>
  units.flatMap(({ indices }) => indices).sort((a, b) => a - b);

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
